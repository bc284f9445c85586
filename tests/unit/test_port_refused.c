/* SPDX-License-Identifier: MIT */
/*
 * Writes that the kernel takes in part or not at all, as a virtio port's driver does it: 0 for a ring without room,
 * ENOMEM for a buffer that it could not have, a piece of what was given. send(2) is replaced (-Wl,--wrap=send), the
 * rest is a real socket.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "transport/port.h"
#include "transport/port_private.h"

static char dir[64], spec[112];
static int listener = -1, host = -1;
static struct port *port;
static struct moment now;
static unsigned sent, dropped;

/* What the next sends do: refuse with an error (0: the driver's own way), then take at most `piece` bytes each. */
static unsigned refusals, attempts;
static int refusal;
static size_t piece;

ssize_t __real_send(int fd, const void *bytes, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags);

ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags)
{
	attempts++;
	if (refusals > 0) {
		refusals--;
		errno = refusal;
		return refusal ? -1 : 0;
	}
	return __real_send(fd, bytes, piece && piece < len ? piece : len, flags);
}

static void on_sent(void *data, const struct line *line)
{
	(void)data;
	(void)line;
	sent++;
}

static void on_dropped(void *data, const struct line *line)
{
	(void)data;
	(void)line;
	dropped++;
}

static const struct port_events events = { .sent = on_sent, .dropped = on_dropped };

static void settle(void)
{
	for (int i = 0; i < 100; i++)
		port_dispatch(port, &now);
}

static int setup(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct err err = { 0 };

	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/test_port_refused.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/sock", dir);
	snprintf(spec, sizeof(spec), "unix:%s/sock", dir);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 1) < 0)
		return -1;
	refusals = attempts = sent = dropped = 0;
	piece = 0;
	now.mono_ns = 1000 * NS_PER_S;
	if (port_new(&(struct port_config){ .spec = spec }, &events, NULL, 1, &port, &err) < 0)
		return -1;
	settle();
	host = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	return host >= 0 && port_state(port) == PORT_CONNECTED ? 0 : -1;
}

static int teardown(void **state)
{
	char path[80];

	(void)state;
	port = port_free(port);
	close_fd(&host);
	close_fd(&listener);
	snprintf(path, sizeof(path), "%s/sock", dir);
	unlink(path);
	return rmdir(dir);
}

static void reply(const char *text)
{
	struct line *line = line_new(LINE_REPLY, text, strlen(text));

	assert_non_null(line);
	assert_int_equal(port_send(port, line), 0);
	line_unref(line);
}

static void expect_host_has(const char *text)
{
	char bytes[256];
	ssize_t n = read(host, bytes, sizeof(bytes) - 1);

	bytes[n > 0 ? n : 0] = '\0';
	assert_string_equal(bytes, text);
}

static void what_is_refused_goes_out_later_whole_and_once(void **state)
{
	static const int errors[] = { 0, ENOMEM, ENOBUFS };

	(void)state;
	reply("first\n");
	expect_host_has("\nfirst\n");
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		refusal = errors[i];
		refusals = 3;
		attempts = 0;
		reply("again\n");
		assert_int_equal(attempts, 1);
		for (int turns = 0; refusals > 0 && turns < 20; turns++) {
			uint64_t due = port_deadline_ns(port);

			assert_true(due != TIME_NEVER);
			now.mono_ns = due > now.mono_ns ? due : now.mono_ns;
			port_dispatch(port, &now);
		}
		assert_int_equal(refusals, 0);
		now.mono_ns += 60 * NS_PER_S;
		port_dispatch(port, &now);
		expect_host_has("again\n");
		assert_int_equal(attempts, 4);
	}
	assert_int_equal(sent, 4);
	assert_int_equal(dropped, 0);
	assert_int_equal(port_state(port), PORT_CONNECTED);
}

/*
 * No edge follows such a refusal: without a pause of its own the loop would spin, and without a deadline it would wait
 * for ever.
 */
static void refusals_are_tried_again_ever_more_rarely(void **state)
{
	uint64_t begin = now.mono_ns;

	(void)state;
	refusal = ENOMEM;
	refusals = 1000000;
	attempts = 0;
	reply("x\n");
	while (now.mono_ns < begin + 20 * NS_PER_S) {
		uint64_t due = port_deadline_ns(port);

		assert_true(due != TIME_NEVER);
		now.mono_ns = due > now.mono_ns ? due : now.mono_ns;
		port_dispatch(port, &now);
		assert_true(attempts < 200);
	}
	assert_in_range(attempts, 5, 200);
	refusals = 0;
	now.mono_ns += 60 * NS_PER_S;
	settle();
	expect_host_has("\nx\n");
}

static void a_line_taken_in_pieces_is_one_line(void **state)
{
	(void)state;
	piece = 3;
	reply("a longer line\n");
	reply("and another\n");
	settle();
	expect_host_has("\na longer line\nand another\n");
	assert_int_equal(sent, 2);
}

/*
 * A host that may be new has not seen the head: its tail must not reach it, and what comes next begins on a line of its
 * own.
 */
static void a_line_that_had_begun_is_not_ended_for_a_new_host(void **state)
{
	(void)state;
	reply("first\n");
	expect_host_has("\nfirst\n");
	port->blocked = true;
	reply("12345678\n");
	reply("after\n");
	/* The kernel took "1234" of the chunk, then the host was replaced. */
	outq_consume(&port->queue, true, 4);
	port_session_renew(port, 0);
	assert_int_equal(dropped, 1);
	port_flush(port);
	expect_host_has("\nafter\n");
	assert_int_equal(sent, 2);
}

/* Nothing had begun: all that waits is for whichever host is there. */
static void a_renewal_between_lines_loses_none(void **state)
{
	(void)state;
	reply("first\n");
	port->blocked = true;
	reply("second\n");
	port_session_renew(port, 0);
	port_flush(port);
	expect_host_has("\nfirst\n\nsecond\n");
	assert_int_equal(dropped, 0);
	assert_int_equal(sent, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_refused_goes_out_later_whole_and_once),
		TEST(refusals_are_tried_again_ever_more_rarely),
		TEST(a_line_taken_in_pieces_is_one_line),
		TEST(a_line_that_had_begun_is_not_ended_for_a_new_host),
		TEST(a_renewal_between_lines_loses_none),
	};

	return cmocka_run_group_tests_name("port_refused", tests, NULL, NULL);
}
