/* SPDX-License-Identifier: MIT */
/*
 * Expendable child processes: what may block (a disk, a mount, a command) runs in a child on a socketpair, so that the
 * loop never does. A helper is born with nothing of the agent's but its stderr and its end of the socket, ends when
 * that socket reports end of file, and never outlives the agent by more than a second.
 *
 * Reaping: the default libev loop reaps every child on SIGCHLD. Whoever wants to know, or to kill by pid, keeps an
 * ev_child on the pid: until that has fired the pid is still the helper's.
 */
#ifndef AGENT_BASE_HELPER_H
#define AGENT_BASE_HELPER_H

#include <sys/types.h>

/* The descriptor a helper finds its socket at. */
#define HELPER_FD 3

/* How long a helper may go on after the agent's death, to write what it still holds; then SIGALRM ends it. */
#define HELPER_ORPHAN_MS 700

/*
 * Forks a helper that runs `child(HELPER_FD, data)` and exits with what that returns.
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
 * The same with a program: executes `path` with `argv` and the environment `envp` (NULL: PATH only), its socket at
 * HELPER_FD. It is killed with the agent. An exec that fails is reported here: returns 0 or -errno of socketpair,
 * fork or execve.
 */
int helper_exec(const char *path, char *const argv[], char *const envp[], int socket_type, int *ret_fd, pid_t *ret_pid);

#endif
