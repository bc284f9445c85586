/* SPDX-License-Identifier: MIT */
/*
 * Linked into an agent whose functions are instrumented (-finstrument-functions, gcc(1)): writes the place of each
 * function when it is first entered to the file that STEPS names, and begins anew after SIGPROF. Forked children and
 * what they run write nothing.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNTRACED __attribute__((no_instrument_function))
#define SEEN_MAX 16384 /* a power of two, above the number of functions */

void __cyg_profile_func_enter(void *function, void *site);
void __cyg_profile_func_exit(void *function, void *site);

extern char __executable_start;

static volatile sig_atomic_t anew;
static uintptr_t seen[SEEN_MAX];
static int out = -1;
static pid_t owner;

UNTRACED static void on_signal(int signal)
{
	(void)signal;
	anew = 1;
}

__attribute__((constructor)) UNTRACED static void begin(void)
{
	const char *path = getenv("STEPS");

	if (!path)
		return;
	out = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	owner = getpid();
	signal(SIGPROF, on_signal);
	unsetenv("STEPS");
}

UNTRACED static bool is_new(uintptr_t place)
{
	size_t at = (place >> 4) & (SEEN_MAX - 1);

	while (seen[at] && seen[at] != place)
		at = (at + 1) & (SEEN_MAX - 1);
	if (seen[at])
		return false;
	seen[at] = place;
	return true;
}

UNTRACED void __cyg_profile_func_enter(void *function, void *site)
{
	uintptr_t place = (uintptr_t)function - (uintptr_t)&__executable_start;
	char line[32];
	int len;

	(void)site;
	if (out < 0 || getpid() != owner)
		return;
	if (anew) {
		anew = 0;
		memset(seen, 0, sizeof(seen));
		(void)!write(out, "-\n", 2);
	}
	if (!is_new(place))
		return;
	len = snprintf(line, sizeof(line), "%lx\n", (unsigned long)place);
	(void)!write(out, line, (size_t)len);
}

UNTRACED void __cyg_profile_func_exit(void *function, void *site)
{
	(void)function;
	(void)site;
}
