/* SPDX-License-Identifier: MIT */
#include "agent/base/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/child_end.h>
#include <infiniservice/cleanup.h>
#include <infiniservice/libc.h>
#include <infiniservice/moment.h>

static void orphan_alarm(int sig)
{
	struct itimerval once = { .it_value = { .tv_usec = HELPER_ORPHAN_MS * 1000 } };

	(void)sig;
	setitimer(ITIMER_REAL, &once, NULL);
}

/*
 * Makes the new child a helper: its descriptors, its signals and its end with the agent. `sig` is what it receives when
 * the agent dies. Its socket is moved to HELPER_FD and `spare` (-1: none) to HELPER_FD + 1, close-on-exec; everything
 * above is closed. Dispositions and mask are reset: the agent's handlers (libev's) are of no use here, and programs
 * started by the helper would inherit the mask.
 */
static void become_helper(pid_t parent, int sig, int fd, int spare)
{
	static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE };
	struct sigaction action = { .sa_handler = SIG_DFL };
	int high = fcntl(fd, F_DUPFD, HELPER_FD + 2), high_spare = -1, null;
	sigset_t none;

	if (spare >= 0)
		high_spare = fcntl(spare, F_DUPFD, HELPER_FD + 2);
	if (high < 0 || dup2(high, HELPER_FD) < 0 || (spare >= 0 && dup3(high_spare, HELPER_FD + 1, O_CLOEXEC) < 0))
		_exit(EXIT_FAILURE);
	close_range((unsigned)HELPER_FD + (spare >= 0 ? 2 : 1), ~0U, 0);
	/* stdin and stdout may be the port of `--port stdio`: holding them would keep the host's connection open. */
	null = open("/dev/null", O_RDWR);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		if (null > STDERR_FILENO)
			close(null);
	}
	for (int number = 1; number < NSIG; number++)
		sigaction(number, &action, NULL); /* EINVAL for KILL, STOP and the two reserved by the C library */
	action.sa_handler = SIG_IGN;
	for (size_t i = 0; sig == SIGUSR1 && i < ARRAY_SIZE(ignored); i++)
		sigaction(ignored[i], &action, NULL);
	action = (struct sigaction){ .sa_handler = orphan_alarm, .sa_flags = SA_RESTART };
	if (sig == SIGUSR1)
		sigaction(SIGUSR1, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, sig);
	/* The agent may have died before prctl: then the child already has another parent. */
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
}

/* fork(2) with become_helper in the child. The parent gets the pid and the other end of the socket, or -errno. */
static pid_t helper_begin(int socket_type, int sig, int spare, int *ret_fd)
{
	pid_t parent = getpid(), pid;
	sigset_t all, before;
	int fds[2];

	if (socketpair(AF_UNIX, socket_type | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	/*
	 * Between fork and become_helper no handler of the agent may run in the child: it would write to the agent's
	 * wake-up fd.
	 */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0 ? -1 : fork();
	if (pid == 0) {
		become_helper(parent, sig, fds[1], spare);
		return 0;
	}
	if (pid < 0)
		pid = -errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(fds[1]);
	if (pid > 0)
		*ret_fd = fds[0];
	else
		close(fds[0]);
	return pid;
}

int helper_fork(const char *name, int (*child)(int fd, void *data), void *data, int socket_type, int *ret_fd,
		pid_t *ret_pid)
{
	pid_t pid = helper_begin(socket_type, SIGUSR1, -1, ret_fd);

	if (pid == 0) {
		prctl(PR_SET_NAME, name);
		child_end(child(HELPER_FD, data));
	}
	if (pid < 0)
		return pid;
	*ret_pid = pid;
	return 0;
}

#define EXEC_WAIT_MS 200

/*
 * Reads the result of execve from the report pipe: 0 when execve closed it, or its -errno. Waits EXEC_WAIT_MS at most,
 * in case the child hangs on a disk: a later failure shows as the end of its socket.
 */
static int exec_result(int report, pid_t pid)
{
	struct pollfd told = { .fd = report, .events = POLLIN };
	uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + EXEC_WAIT_MS * NS_PER_MS, now_ns;
	int error = 0;
	ssize_t got;

	do {
		now_ns = clock_ns(CLOCK_MONOTONIC);
		got = poll(&told, 1, now_ns < end_ns ? (int)((end_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS) : 0);
	} while (got < 0 && errno == EINTR && now_ns < end_ns);
	if (got <= 0)
		return 0;
	do
		got = read(report, &error, sizeof(error));
	while (got < 0 && errno == EINTR);
	if (got != sizeof(error))
		return 0;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return -error;
}

int helper_exec(const char *path, char *const argv[], char *const envp[], int socket_type, int *ret_fd, pid_t *ret_pid)
{
	static char search[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	char *const bare[] = { search, NULL };
	_cleanup_(closep) int ours = -1;
	int report[2], error;
	pid_t pid;

	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	pid = helper_begin(socket_type, SIGKILL, report[1], &ours);
	if (pid == 0) {
		execve(path, argv, envp ? envp : bare);
		error = errno;
		(void)!write(HELPER_FD + 1, &error, sizeof(error));
		_exit(127);
	}
	close(report[1]);
	error = pid < 0 ? pid : exec_result(report[0], pid);
	close(report[0]);
	if (error < 0)
		return error;
	*ret_fd = TAKE_FD(ours);
	*ret_pid = pid;
	return 0;
}
