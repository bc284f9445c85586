/* SPDX-License-Identifier: MIT */
#include "helper.h"

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
 * Resets dispositions and mask: the agent's handlers (libev's) are of no use here, and programs started by the helper
 * would inherit the mask.
 */
static void signals_reset(bool ignore)
{
	static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE };
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &action, NULL); /* EINVAL for KILL, STOP and the two reserved by the C library */
	action.sa_handler = SIG_IGN;
	for (size_t i = 0; ignore && i < ARRAY_SIZE(ignored); i++)
		sigaction(ignored[i], &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The agent may have died before prctl: then the child already has another parent. */
static void die_with(pid_t parent, int sig)
{
	struct sigaction action = { .sa_handler = orphan_alarm, .sa_flags = SA_RESTART };

	if (sig == SIGUSR1)
		sigaction(SIGUSR1, &action, NULL);
	prctl(PR_SET_PDEATHSIG, sig);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
}

/* stdin and stdout may be the port of `--port stdio`: a helper holding them would keep the host's connection open. */
static void stdio_detach(void)
{
	int fd = open("/dev/null", O_RDWR);

	if (fd < 0)
		return;
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

/* Moves `fd` to HELPER_FD and `spare` (-1: none) to HELPER_FD + 1, close-on-exec; closes everything above. */
static void fds_arrange(int fd, int spare)
{
	int high = fcntl(fd, F_DUPFD, HELPER_FD + 2), high_spare = -1;

	if (spare >= 0)
		high_spare = fcntl(spare, F_DUPFD, HELPER_FD + 2);
	if (high < 0 || dup2(high, HELPER_FD) < 0 || (spare >= 0 && dup3(high_spare, HELPER_FD + 1, O_CLOEXEC) < 0))
		_exit(EXIT_FAILURE);
	close_range((unsigned)HELPER_FD + (spare >= 0 ? 2 : 1), ~0U, 0);
	stdio_detach();
}

static int pair_open(int type, int *ours, int *theirs)
{
	int fds[2];

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	if (fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0) {
		int error = -errno;

		close(fds[0]);
		close(fds[1]);
		return error;
	}
	*ours = fds[0];
	*theirs = fds[1];
	return 0;
}

int helper_fork(const char *name, int (*child)(int fd, void *data), void *data, int socket_type, int *ret_fd,
		pid_t *ret_pid)
{
	_cleanup_(closep) int ours = -1;
	_cleanup_(closep) int theirs = -1;
	pid_t parent = getpid(), pid;
	sigset_t all, before;
	int error = pair_open(socket_type, &ours, &theirs);

	if (error < 0)
		return error;
	/*
	 * Between fork and signals_reset no handler of the agent may run in the child: it would write to the agent's
	 * wake-up fd.
	 */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0) {
		fds_arrange(theirs, -1);
		signals_reset(true);
		die_with(parent, SIGUSR1);
		prctl(PR_SET_NAME, name);
		child_end(child(HELPER_FD, data));
	}
	error = -errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		return error;
	*ret_fd = TAKE_FD(ours);
	*ret_pid = pid;
	return 0;
}

static void exec_child(const char *path, char *const argv[], char *const envp[], int fd, int report, pid_t parent)
{
	static char search[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	char *const bare[] = { search, NULL };
	int error;

	fds_arrange(fd, report);
	signals_reset(false);
	die_with(parent, SIGKILL);
	execve(path, argv, envp ? envp : bare);
	error = errno;
	if (write(HELPER_FD + 1, &error, sizeof(error)) < 0)
		_exit(EXIT_FAILURE);
	_exit(127);
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
	_cleanup_(closep) int ours = -1;
	_cleanup_(closep) int theirs = -1;
	_cleanup_(closep) int report_in = -1;
	_cleanup_(closep) int report_out = -1;
	pid_t parent = getpid(), pid;
	sigset_t all, before;
	int report[2], error = pair_open(socket_type, &ours, &theirs);

	if (error < 0)
		return error;
	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	report_in = report[0];
	report_out = report[1];
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		exec_child(path, argv, envp, theirs, report_out, parent);
	error = -errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (pid < 0)
		return error;
	close_fd(&report_out);
	error = exec_result(report_in, pid);
	if (error < 0)
		return error;
	*ret_fd = TAKE_FD(ours);
	*ret_pid = pid;
	return 0;
}
