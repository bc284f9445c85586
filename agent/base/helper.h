/* SPDX-License-Identifier: MIT */
/*
 * Expendable child processes: work that may block (a disk, a mount, a command) runs in a child on a socketpair, so that
 * the loop never blocks. A helper inherits only stderr and its end of the socket, exits when that socket reports end of
 * file, and outlives the agent by at most a second.
 *
 * Reaping: the default libev loop reaps every child on SIGCHLD. A caller that needs a helper's exit, or kills it by
 * pid, has an ev_child on the pid: until that has fired, the pid is still the helper's.
 */
#ifndef AGENT_BASE_HELPER_H
#define AGENT_BASE_HELPER_H

#include <sys/types.h>

/* The descriptor of a helper's socket. */
#define HELPER_FD 3

/* How long a helper may go on after the agent's death, to write pending data; then SIGALRM ends it. */
#define HELPER_ORPHAN_MS 700

/*
 * Forks a helper that runs `child(HELPER_FD, data)` and exits with its return value.
 *
 * The child: named `name` (at most 15 bytes are shown), stdin and stdout on /dev/null, stderr kept, the socket at
 * HELPER_FD (blocking), every other fd closed, signal dispositions default and mask empty except that SIGINT,
 * SIGTERM, SIGHUP and SIGPIPE are ignored (the agent decides when it ends). When the agent dies it receives SIGUSR1,
 * whose handler only starts the timer of HELPER_ORPHAN_MS: system calls that do not restart may return EINTR then.
 * The child must not touch the loop.
 *
 * `socket_type` is SOCK_SEQPACKET, SOCK_STREAM or SOCK_DGRAM. The parent's end is close-on-exec and non-blocking.
 * Returns 0 and sets *ret_fd and *ret_pid, or -errno.
 */
int helper_fork(const char *name, int (*child)(int fd, void *data), void *data, int socket_type, int *ret_fd,
		pid_t *ret_pid);

/*
 * Starts a program as a helper: executes `path` with `argv` and the environment `envp` (NULL: PATH only), its socket at
 * HELPER_FD. It is killed when the agent dies. Returns 0, or -errno of socketpair, fork or execve.
 */
int helper_exec(const char *path, char *const argv[], char *const envp[], int socket_type, int *ret_fd, pid_t *ret_pid);

#endif
