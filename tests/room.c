/* SPDX-License-Identifier: MIT */
/*
 * Linked into every unit test: before anything of it runs, the program starts itself anew in a room
 * (tests/lib/room.py), where it can end, empty or break nothing of the machine, however wrong the code under test is.
 *
 * A test that could destroy something defines `const bool test_can_destroy = true;` and is skipped as a whole where
 * there is no room; any other then runs as it is.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "room.h"

#define REFUSED	      "INFINISERVICE_NO_ROOM"
#define ARGUMENTS_MAX 60

#pragma weak test_can_destroy

bool test_in_room(void)
{
	static const char name[] = "test-room\n";
	char text[sizeof(name) + 8] = "";
	int fd = open("/proc/1/comm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

	if (fd >= 0)
		close(fd);
	return n > 0 && strcmp(text, name) == 0;
}

/* The GNU C library hands main's arguments to constructors too. */
__attribute__((constructor)) static void enter_room(int argc, char **argv)
{
	static char room[] = TEST_FOLDER "/lib/room.py", or_without[] = "--or-without", self[4096];
	char *arguments[ARGUMENTS_MAX + 4] = { room, or_without, self };
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (test_in_room())
		return;
	if (!getenv(REFUSED) && n > 0 && argc <= ARGUMENTS_MAX) {
		for (int i = 1; i < argc; i++)
			arguments[i + 2] = argv[i];
		execv(room, arguments);
		setenv(REFUSED, "tests/lib/room.py cannot be run", 0);
	}
	if (&test_can_destroy && test_can_destroy) {
		printf("1..0 # SKIP could destroy something of this machine: %s\n",
		       getenv(REFUSED) ? getenv(REFUSED) : "no room");
		exit(77);
	}
}
