/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/base/helper.h"

struct fixture {
	int fd;
	pid_t pid;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fd = -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	closep(&f->fd);
	if (f->pid > 0) {
		kill(f->pid, SIGKILL);
		waitpid(f->pid, NULL, 0);
	}
	free(f);
	return 0;
}

/* One packet from the helper, at most 2 s away; its length, 0 at the end. */
static ssize_t receive(const struct fixture *f, void *out, size_t size)
{
	struct pollfd fd = { f->fd, POLLIN, 0 };

	assert_int_equal(poll(&fd, 1, 2000), 1);
	return recv(f->fd, out, size, 0);
}

/* What a helper sees of itself: open fds, blocked and ignored signals, name. */
static int describe(int fd, void *data)
{
	char text[512] = "", name[16];
	struct dirent *entry;
	DIR *dir = opendir("/proc/self/fd");
	sigset_t mask;
	size_t len = 0;
	struct sigaction action;

	while ((entry = readdir(dir)))
		if (atoi(entry->d_name) != dirfd(dir) && entry->d_name[0] != '.')
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s ", entry->d_name);
	closedir(dir);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	for (int sig = 1; sig < 32; sig++) {
		sigaction(sig, NULL, &action);
		if (sigismember(&mask, sig) == 1)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "blocked:%d ", sig);
		if (action.sa_handler == SIG_IGN)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "ignored:%d ", sig);
	}
	prctl(PR_GET_NAME, name);
	len += (size_t)snprintf(text + len, sizeof(text) - len, "%s %s", name, (const char *)data);
	return send(fd, text, len, 0) == (ssize_t)len ? 0 : 1;
}

static void on_signal(int sig)
{
	(void)sig;
}

static void a_helper_starts_with_its_socket_and_fresh_signals_only(void **state)
{
	struct fixture *f = *state;
	char text[512] = "";
	int extra = open("/dev/null", O_RDONLY); /* without close-on-exec */

	signal(SIGUSR2, on_signal);
	assert_int_equal(helper_fork("describe", describe, (char[]){ "data" }, SOCK_SEQPACKET, &f->fd, &f->pid), 0);
	close(extra);
	signal(SIGUSR2, SIG_DFL);
	assert_true(receive(f, text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "0 1 2 3 ignored:1 ignored:2 ignored:13 ignored:15 describe data");
}

static void the_parents_end_is_non_blocking_and_close_on_exec(void **state)
{
	struct fixture *f = *state;
	char text[8];

	assert_int_equal(helper_fork("describe", describe, (char[]){ "" }, SOCK_STREAM, &f->fd, &f->pid), 0);
	assert_true(fcntl(f->fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(f->fd, F_GETFD) & FD_CLOEXEC);
	waitpid(f->pid, NULL, 0);
	f->pid = 0;
	while (recv(f->fd, text, sizeof(text), 0) > 0)
		;
}

static int until_end(int fd, void *data)
{
	char byte;

	(void)data;
	while (recv(fd, &byte, 1, 0) > 0)
		;
	return 5;
}

static void a_helper_outlives_term_and_ends_with_its_socket(void **state)
{
	struct fixture *f = *state;
	int status;

	assert_int_equal(helper_fork("end", until_end, NULL, SOCK_SEQPACKET, &f->fd, &f->pid), 0);
	while (send(f->fd, "x", 1, 0) < 0)
		;
	kill(f->pid, SIGTERM);
	kill(f->pid, SIGINT);
	close_fd(&f->fd);
	assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
	f->pid = 0;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 5);
}

static int for_ever(int fd, void *data)
{
	(void)data;
	while (fd >= 0)
		pause();
	return 0;
}

/* The agent of row 38: starts a helper that never ends by itself, tells its pid and dies. */
static int short_lived_agent(int fd, void *data)
{
	pid_t pid;
	int other;

	(void)data;
	if (helper_fork("for-ever", for_ever, NULL, SOCK_SEQPACKET, &other, &pid) < 0)
		return 1;
	usleep(20000); /* let it ask for its death signal */
	send(fd, &pid, sizeof(pid), 0);
	kill(getpid(), SIGKILL);
	return 0;
}

/* Row 38. */
static void a_helper_that_hangs_dies_within_a_second_of_the_agent(void **state)
{
	struct fixture *f = *state;
	int status = 0;
	pid_t pid = 0, reaped = 0;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	assert_int_equal(helper_fork("agent", short_lived_agent, NULL, SOCK_SEQPACKET, &f->fd, &f->pid), 0);
	assert_int_equal(receive(f, &pid, sizeof(pid)), sizeof(pid));
	waitpid(f->pid, NULL, 0);
	f->pid = 0;
	for (int i = 0; i < 100 && reaped == 0; i++) {
		usleep(10000);
		reaped = waitpid(pid, &status, WNOHANG);
	}
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	assert_int_equal(reaped, pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGALRM);
}

static void a_program_gets_its_socket_and_environment(void **state)
{
	struct fixture *f = *state;
	char text[64] = "";
	char *argv[] = { (char[]){ "sh" }, (char[]){ "-c" },
			 (char[]){ "test -e /proc/$$/fd/4 || printf \"$A $(cat)\" >&3" }, NULL };
	char *envp[] = { (char[]){ "A=b" }, (char[]){ "PATH=/usr/bin:/bin" }, NULL };

	assert_int_equal(helper_exec("/bin/sh", argv, envp, SOCK_SEQPACKET, &f->fd, &f->pid), 0);
	assert_true(receive(f, text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "b ");
}

static void a_program_that_cannot_be_executed_is_an_error_and_no_child(void **state)
{
	struct fixture *f = *state;
	char *argv[] = { (char[]){ "x" }, NULL };

	assert_int_equal(helper_exec("/no/such/program", argv, NULL, SOCK_SEQPACKET, &f->fd, &f->pid), -ENOENT);
	assert_int_equal(helper_exec("/usr/bin", argv, NULL, SOCK_SEQPACKET, &f->fd, &f->pid), -EACCES);
	assert_int_equal(f->fd, -1);
	assert_int_equal(f->pid, 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void repeat_alarm(unsigned ms)
{
	const struct timeval every = { .tv_usec = (suseconds_t)ms * 1000 };

	setitimer(ITIMER_REAL, &(struct itimerval){ every, every }, NULL);
}

static unsigned alarms_left;

static void on_alarm(int sig)
{
	(void)sig;
	if (--alarms_left == 0)
		repeat_alarm(0);
}

/*
 * A program that cannot be opened until its lease is given back, as one on a disk that hangs: a script that says
 * "late".
 */
static int hanging_program(char *path)
{
	static const char script[] = "#!/bin/sh\nprintf late >&3\n";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, script, sizeof(script) - 1), sizeof(script) - 1);
	assert_int_equal(fchmod(fd, 0700), 0);
	close(fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	signal(SIGIO, SIG_IGN);
	assert_int_equal(fcntl(fd, F_SETLEASE, F_WRLCK), 0);
	return fd;
}

/* A signal starts the wait for an exec that hangs not anew: the loop waits for it in there. */
static void an_exec_that_hangs_holds_up_nobody_whatever_signals_come(void **state)
{
	struct fixture *f = *state;
	struct sigaction before, action = { .sa_handler = on_alarm };
	char path[] = "/tmp/test-helper-XXXXXX", text[8] = "";
	char *argv[] = { path, NULL };
	int lease = hanging_program(path), r;
	uint64_t begin_ns, end_ns;

	alarms_left = 100;
	sigaction(SIGALRM, &action, &before);
	repeat_alarm(20);
	begin_ns = clock_ns(CLOCK_MONOTONIC);
	r = helper_exec(path, argv, NULL, SOCK_SEQPACKET, &f->fd, &f->pid);
	end_ns = clock_ns(CLOCK_MONOTONIC);
	repeat_alarm(0);
	sigaction(SIGALRM, &before, NULL);
	assert_int_equal(r, 0);
	assert_true(alarms_left < 100);
	assert_true(end_ns - begin_ns < NS_PER_S);
	assert_int_equal(fcntl(lease, F_SETLEASE, F_UNLCK), 0);
	close(lease);
	assert_int_equal(receive(f, text, sizeof(text) - 1), 4);
	unlink(path);
	assert_string_equal(text, "late");
}

static void a_wrong_socket_type_is_an_error(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(helper_fork("x", until_end, NULL, 99, &f->fd, &f->pid), -EINVAL);
	assert_int_equal(f->fd, -1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_helper_starts_with_its_socket_and_fresh_signals_only),
		T(the_parents_end_is_non_blocking_and_close_on_exec),
		T(a_helper_outlives_term_and_ends_with_its_socket),
		T(a_helper_that_hangs_dies_within_a_second_of_the_agent),
		T(a_program_gets_its_socket_and_environment),
		T(a_program_that_cannot_be_executed_is_an_error_and_no_child),
		T(an_exec_that_hangs_holds_up_nobody_whatever_signals_come),
		T(a_wrong_socket_type_is_an_error),
	};

	return cmocka_run_group_tests_name("helper", tests, NULL, NULL);
}
