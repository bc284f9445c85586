/* SPDX-License-Identifier: MIT */
/*
 * The pidfd is opened first and the process identified afterwards: if the pid has been reused meanwhile, the signal
 * goes to the first process, which is dead; see pidfd_open(2).
 */
#include "agent/executor/kill.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/rules/kill_rule.h"
#include "agent/runner/tree.h"

static bool number_parse(const char *text, uint64_t max, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : UINT64_MAX;
	return *ret <= max && errno == 0 && *end == '\0';
}

static int process_read(pid_t pid, struct tree_process *ret)
{
	char path[32], text[4096];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	len = fd < 0 ? -1 : read(fd, text, sizeof(text));
	return len < 0 ? -errno : tree_stat_parse(text, (size_t)len, ret);
}

static int process_signal(pid_t pid, uint64_t start_ticks, int sig)
{
	_cleanup_(closep) int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct tree_process process;

	/* EINVAL: `pid` is a thread, not a process */
	if (pidfd < 0)
		return errno == ESRCH || errno == EINVAL ? KILL_EXIT_GONE : KILL_EXIT_FAILED;
	if (process_read(pid, &process) < 0 || process.start_ticks != start_ticks)
		return KILL_EXIT_GONE;
	if (pid == 1 || process.kernel)
		return KILL_EXIT_PROTECTED;
	if (syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) == 0)
		return KILL_EXIT_DONE;
	return errno == ESRCH ? KILL_EXIT_GONE : KILL_EXIT_FAILED;
}

int kill_main(int argc, char *argv[])
{
	uint64_t pid, start_ticks;

	if (argc != 4 || !number_parse(argv[1], INT32_MAX, &pid) || pid == 0 ||
	    !number_parse(argv[2], UINT64_MAX - 1, &start_ticks) ||
	    (strcmp(argv[3], "TERM") != 0 && strcmp(argv[3], "KILL") != 0)) {
		fputs("usage: infiniservice-exec kill PID START_TICKS TERM|KILL\n", stderr);
		return KILL_EXIT_USAGE;
	}
	return process_signal((pid_t)pid, start_ticks, strcmp(argv[3], "KILL") == 0 ? SIGKILL : SIGTERM);
}
