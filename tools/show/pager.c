/* SPDX-License-Identifier: MIT */
/* The pager between stdout and the terminal. It is stdout's only reader, and this program waits for it at the end. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/show/show.h"

#define WORDS_MAX 16

static const char *pager_command(void)
{
	static const char *const variables[] = { "INFINICTL_PAGER", "PAGER" };
	const char *term = getenv("TERM");

	if (!isatty(STDOUT_FILENO) || !term || !*term || !strcmp(term, "dumb"))
		return NULL;
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		const char *value = getenv(variables[i]);

		if (value)
			return *value && strcmp(value, "cat") != 0 ? value : NULL;
	}
	return "less";
}

/* The child: the words of the command, or cat(1), when there is no such pager. */
__attribute__((noreturn)) static void run_pager(const char *command, int from)
{
	char *words[WORDS_MAX + 1] = { NULL }, *copy = strdup(command), *rest = NULL;
	size_t count = 0;

	dup2(from, STDIN_FILENO);
	setenv("LESS", "FRX", 0);
	if (geteuid() == 0)
		setenv("LESSSECURE", "1", 1);
	for (char *word = copy ? strtok_r(copy, " \t", &rest) : NULL; word && count < WORDS_MAX;
	     word = strtok_r(NULL, " \t", &rest))
		words[count++] = word;
	if (count)
		execvp(words[0], words);
	execlp("cat", "cat", NULL);
	_exit(1);
}

void show_pager_begin(void)
{
	const char *command;
	int ends[2];
	pid_t pid;

	unsetenv("INFINICTL_PAGED");
	command = pager_command();
	if (!command || pipe2(ends, O_CLOEXEC) < 0)
		return;
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		run_pager(command, ends[0]);
	if (pid > 0 && dup2(ends[1], STDOUT_FILENO) == STDOUT_FILENO)
		setenv("INFINICTL_PAGED", "1", 1);
	close(ends[0]);
	close(ends[1]);
}

void show_pager_end(void)
{
	void (*before)(int);

	if (!getenv("INFINICTL_PAGED"))
		return;
	/* Ctrl-C is the pager's while it is there. */
	before = signal(SIGINT, SIG_IGN);
	fflush(stdout);
	close(STDOUT_FILENO);
	while (wait(NULL) > 0)
		;
	unsetenv("INFINICTL_PAGED");
	signal(SIGINT, before);
}
