/* SPDX-License-Identifier: MIT */
/* What is said to a service manager and what it passes: datagrams, the watchdog, descriptors, the name of the unit. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/base/notify.h"

/* A datagram socket at `name`, which $NOTIFY_SOCKET tells. */
static int manager_at(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(name);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memcpy(address.sun_path, name, len);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	assert_int_equal(
		bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	return fd;
}

/* One datagram; the descriptor that came with it, or -1. */
static int expect_datagram(int fd, const char *wanted)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr head;
	} control;
	char text[128] = "";
	struct iovec iov = { .iov_base = text, .iov_len = sizeof(text) - 1 };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	int passed = -1;

	assert_true(recvmsg(fd, &message, MSG_CMSG_CLOEXEC) >= 0);
	assert_string_equal(text, wanted);
	if (CMSG_FIRSTHDR(&message) && control.head.cmsg_type == SCM_RIGHTS)
		memcpy(&passed, CMSG_DATA(&control.head), sizeof(passed));
	return passed;
}

static void a_manager_hears_what_it_is_told(void **state)
{
	char dir[] = "/tmp/infini-XXXXXX", name[64];
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(name, sizeof(name), "%s/notify", dir);
	fd = manager_at(name);
	notify_ready();
	assert_int_equal(expect_datagram(fd, "READY=1"), -1);
	notify_status("%d of %s", 3, "x");
	expect_datagram(fd, "STATUS=3 of x");
	notify_reloading(5000);
	expect_datagram(fd, "RELOADING=1\nMONOTONIC_USEC=5");
	notify_stopping();
	expect_datagram(fd, "STOPPING=1");
	close(fd);
	unlink(name);
	rmdir(dir);
}

static void a_manager_in_the_abstract_namespace_hears_it_too(void **state)
{
	char name[64];
	int fd;

	(void)state;
	snprintf(name, sizeof(name), "@infini-test-%d", (int)getpid());
	fd = manager_at(name);
	notify_watchdog();
	expect_datagram(fd, "WATCHDOG=1");
	close(fd);
}

static void a_descriptor_is_left_with_the_manager(void **state)
{
	struct stat before, after;
	char name[64];
	int fd, kept, pipes[2];

	(void)state;
	snprintf(name, sizeof(name), "@infini-test-%d", (int)getpid());
	fd = manager_at(name);
	assert_int_equal(pipe(pipes), 0);
	notify_keep(NOTIFY_PORT, pipes[0]);
	kept = expect_datagram(fd, "FDSTORE=1\nFDPOLL=0\nFDNAME=port");
	assert_true(kept >= 0);
	assert_int_equal(fstat(kept, &after) | fstat(pipes[0], &before), 0);
	assert_int_equal(after.st_ino, before.st_ino);
	close(kept);
	close(pipes[0]);
	close(pipes[1]);
	close(fd);
}

/* The fd stays what it was: nothing is sent anywhere, and nothing fails. */
static void without_a_manager_nothing_is_said(void **state)
{
	static char endless[200];

	(void)state;
	memset(endless, '/', sizeof(endless) - 1);
	unsetenv("NOTIFY_SOCKET");
	notify_ready();
	setenv("NOTIFY_SOCKET", "relative", 1);
	notify_ready();
	setenv("NOTIFY_SOCKET", endless, 1);
	notify_ready();
	setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
	notify_ready();
	unsetenv("NOTIFY_SOCKET");
}

static void a_watchdog_is_ours_only_by_our_pid(void **state)
{
	char pid[24];

	(void)state;
	unsetenv("WATCHDOG_USEC");
	assert_int_equal(notify_watchdog_ns(), 0);
	setenv("WATCHDOG_USEC", "30000000", 1);
	assert_int_equal(notify_watchdog_ns(), 15 * NS_PER_S);
	setenv("WATCHDOG_PID", "1", 1);
	assert_int_equal(notify_watchdog_ns(), 0);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	assert_int_equal(notify_watchdog_ns(), 15 * NS_PER_S);
	setenv("WATCHDOG_USEC", "soon", 1);
	assert_int_equal(notify_watchdog_ns(), 0);
	setenv("WATCHDOG_USEC", "99999999999999999999", 1);
	assert_int_equal(notify_watchdog_ns(), 0);
	setenv("WATCHDOG_USEC", "18446744073709552", 1); /* whose nanoseconds no 64 bits hold */
	assert_int_equal(notify_watchdog_ns(), 0);
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

/* ------------------------------------------------------------------------------------------- passed descriptors */

static int setup_passed(void **state)
{
	static int kept;
	char pid[24];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	kept = fcntl(PASSED_FIRST, F_DUPFD_CLOEXEC, 10);
	*state = &kept;
	if (fd != PASSED_FIRST) {
		dup2(fd, PASSED_FIRST);
		close(fd);
	}
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "1", 1);
	return 0;
}

static int teardown_passed(void **state)
{
	int kept = *(int *)*state;

	close(PASSED_FIRST);
	if (kept >= 0) {
		dup2(kept, PASSED_FIRST);
		close(kept);
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return 0;
}

static void sockets_are_passed_to_our_pid_alone(void **state)
{
	(void)state;
	assert_int_equal(passed_count(), 1);
	assert_int_equal(fcntl(PASSED_FIRST, F_GETFD), FD_CLOEXEC);
	setenv("LISTEN_PID", "1", 1);
	assert_int_equal(passed_count(), 0);
	unsetenv("LISTEN_PID");
	assert_int_equal(passed_count(), 0);
}

static void a_count_that_makes_no_sense_is_none(void **state)
{
	static const char *const bad[] = { "", "one", "-1", "1x", "65", "99999999999999999999", "900" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		setenv("LISTEN_FDS", bad[i], 1);
		assert_int_equal(passed_count(), 0);
	}
}

static void what_was_taken_is_not_in_the_environment_of_children(void **state)
{
	(void)state;
	setenv("LISTEN_FDNAMES", "port", 1);
	assert_int_equal(passed_take(), 1);
	assert_null(getenv("LISTEN_PID"));
	assert_null(getenv("LISTEN_FDS"));
	assert_null(getenv("LISTEN_FDNAMES"));
	assert_int_equal(passed_take(), 0);
}

static void names_of_passed_descriptors_are_cut_at_their_colons(void **state)
{
	int more = dup2(PASSED_FIRST, PASSED_FIRST + 1), last = dup2(PASSED_FIRST, PASSED_FIRST + 2);

	(void)state;
	setenv("LISTEN_FDS", "3", 1);
	setenv("LISTEN_FDNAMES", "port::half-line:too-many", 1);
	assert_int_equal(passed_find("port"), PASSED_FIRST);
	assert_int_equal(passed_find("half-line"), PASSED_FIRST + 2);
	assert_int_equal(passed_find("half"), -1);
	assert_int_equal(passed_find("too-many"), -1);
	unsetenv("LISTEN_FDNAMES");
	assert_int_equal(passed_find("port"), -1);
	close(more);
	close(last);
}

static void a_listening_socket_is_told_by_its_type(void **state)
{
	struct sockaddr_un nameless = { .sun_family = AF_UNIX };
	int null = open("/dev/null", O_RDONLY), other = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	assert_false(passed_is_listener(PASSED_FIRST, SOCK_STREAM));
	assert_false(passed_is_listener(null, SOCK_STREAM));
	/* bound to a name of the kernel's choice */
	assert_int_equal(bind(PASSED_FIRST, (struct sockaddr *)&nameless, sizeof(sa_family_t)), 0);
	assert_int_equal(listen(PASSED_FIRST, 1), 0);
	assert_true(passed_is_listener(PASSED_FIRST, SOCK_STREAM));
	assert_false(passed_is_listener(PASSED_FIRST, SOCK_SEQPACKET));
	assert_int_equal(listen(other, 1), 0);
	assert_false(passed_is_listener(other, SOCK_STREAM));
	close(null);
	close(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_manager_hears_what_it_is_told),
		cmocka_unit_test(a_manager_in_the_abstract_namespace_hears_it_too),
		cmocka_unit_test(a_descriptor_is_left_with_the_manager),
		cmocka_unit_test(without_a_manager_nothing_is_said),
		cmocka_unit_test(a_watchdog_is_ours_only_by_our_pid),
		cmocka_unit_test_setup_teardown(sockets_are_passed_to_our_pid_alone, setup_passed, teardown_passed),
		cmocka_unit_test_setup_teardown(a_count_that_makes_no_sense_is_none, setup_passed, teardown_passed),
		cmocka_unit_test_setup_teardown(what_was_taken_is_not_in_the_environment_of_children, setup_passed,
						teardown_passed),
		cmocka_unit_test_setup_teardown(names_of_passed_descriptors_are_cut_at_their_colons, setup_passed,
						teardown_passed),
		cmocka_unit_test_setup_teardown(a_listening_socket_is_told_by_its_type, setup_passed, teardown_passed),
	};

	return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
