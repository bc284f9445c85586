/* SPDX-License-Identifier: MIT */
/*
 * The portable build's own bus: bytes that come from a peer who is the test, a real dbus-daemon where there is one, and
 * the executor's loop. What it says to libsystemd and hears from it is tested by test_bus.c and test_executor.c, which
 * are built with it too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <byteswap.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <systemd/sd-event.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/portable/wire.h"

#define PATH	  "/org/example"
#define INTERFACE "org.example.Thing"

struct fixture {
	sd_bus *bus;
	int peer;
	unsigned signals, replies, ends;
	char text[64], name[128];
};

/* ------------------------------------------------------------------------------------------------- a peer of bytes */

static void expect_text(int fd, const char *text, size_t len)
{
	char there[256];

	assert_true(len <= sizeof(there));
	assert_int_equal(recv(fd, there, len, MSG_WAITALL), len);
	assert_memory_equal(there, text, len);
}

static void process_all(sd_bus *bus)
{
	while (sd_bus_process(bus, NULL) > 0)
		;
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	char uid[16], hello[80];
	int ends[2], len;

	if (!fixture || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0 || sd_bus_new(&fixture->bus) < 0)
		return -1;
	fixture->peer = ends[1];
	*state = fixture;
	assert_int_equal(sd_bus_set_fd(fixture->bus, ends[0], ends[0]), 0);
	assert_true(sd_bus_start(fixture->bus) >= 0);
	process_all(fixture->bus);
	len = snprintf(uid, sizeof(uid), "%u", (unsigned)geteuid());
	memcpy(hello, "\0AUTH EXTERNAL ", 15);
	for (int i = 0; i < len; i++)
		sprintf(hello + 15 + 2 * i, "%02x", (unsigned char)uid[i]);
	strcpy(hello + 15 + 2 * len, "\r\nBEGIN\r\n");
	expect_text(fixture->peer, hello, 15 + 2 * (size_t)len + 9);
	assert_true(write(fixture->peer, "OK 0123456789abcdef0123456789abcdef\r\n", 37) == 37);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	sd_bus_close_unref(fixture->bus);
	close_fd(&fixture->peer);
	free(fixture);
	return 0;
}

/* A message in either byte order. */
struct text {
	uint8_t bytes[1024];
	size_t len;
	bool swapped;
};

static void pad(struct text *out, size_t to)
{
	while (out->len % to)
		out->bytes[out->len++] = 0;
}

static void word(struct text *out, uint32_t value)
{
	pad(out, 4);
	value = out->swapped ? bswap_32(value) : value;
	memcpy(out->bytes + out->len, &value, 4);
	out->len += 4;
}

static void string(struct text *out, const char *value)
{
	word(out, (uint32_t)strlen(value));
	memcpy(out->bytes + out->len, value, strlen(value) + 1);
	out->len += strlen(value) + 1;
}

static void field(struct text *out, uint8_t number, const char *type, const char *value)
{
	pad(out, 8);
	out->bytes[out->len++] = number;
	out->bytes[out->len++] = 1;
	out->bytes[out->len++] = (uint8_t)*type;
	out->bytes[out->len++] = 0;
	if (*type != 'g') {
		string(out, value);
		return;
	}
	out->bytes[out->len++] = (uint8_t)strlen(value);
	memcpy(out->bytes + out->len, value, strlen(value) + 1);
	out->len += strlen(value) + 1;
}

static void put_word(struct text *out, size_t at, uint32_t value)
{
	value = out->swapped ? bswap_32(value) : value;
	memcpy(out->bytes + at, &value, 4);
}

/* A signal that says `text`, and its state as properties do: "sa{sv}". */
static struct text signal_of(const char *interface, const char *text, bool swapped)
{
	struct text out = { .swapped = swapped }, body = { .swapped = swapped };
	size_t array;

	string(&body, text);
	word(&body, 0);
	array = body.len;
	pad(&body, 8);
	string(&body, "Kind");
	memcpy(body.bytes + body.len, "\1s", 3);
	body.len += 3;
	string(&body, "something");
	put_word(&body, array - 4, (uint32_t)(body.len - ((array + 7) & ~7UL)));

	memcpy(out.bytes, (uint8_t[]){ swapped ? 'B' : 'l', WIRE_SIGNAL, 1, 1 }, 4);
	out.len = 4;
	word(&out, (uint32_t)body.len);
	word(&out, 7);
	word(&out, 0);
	field(&out, 1, "o", PATH);
	field(&out, 2, "s", interface);
	field(&out, 3, "s", "Said");
	field(&out, 8, "g", "sa{sv}");
	put_word(&out, 12, (uint32_t)out.len - 16);
	pad(&out, 8);
	memcpy(out.bytes + out.len, body.bytes, body.len);
	out.len += body.len;
	return out;
}

static int on_signal(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct fixture *fixture = data;
	const char *text, *name, *value;

	(void)error;
	if (sd_bus_message_read(message, "s", &text) < 0 || sd_bus_message_enter_container(message, 'a', "{sv}") < 0)
		return 0;
	while (sd_bus_message_enter_container(message, 'e', "sv") > 0)
		if (sd_bus_message_read(message, "sv", &name, "s", &value) < 0 ||
		    sd_bus_message_exit_container(message) < 0)
			return 0;
	snprintf(fixture->text, sizeof(fixture->text), "%s", text);
	fixture->signals++;
	return 0;
}

static int on_end(sd_bus_message *message, void *data, sd_bus_error *error)
{
	(void)message;
	(void)error;
	((struct fixture *)data)->ends++;
	return 0;
}

static int on_reply(sd_bus_message *message, void *data, sd_bus_error *error)
{
	const sd_bus_error *failed = sd_bus_message_get_error(message);
	struct fixture *fixture = data;

	(void)error;
	fixture->replies++;
	snprintf(fixture->name, sizeof(fixture->name), "%s", failed ? failed->name : "");
	return 1;
}

static void listen_to_all(struct fixture *fixture)
{
	assert_int_equal(sd_bus_match_signal(fixture->bus, NULL, NULL, PATH, INTERFACE, "Said", on_signal, fixture), 0);
	assert_int_equal(sd_bus_match_signal(fixture->bus, NULL, NULL, NULL, "org.freedesktop.DBus.Local",
					     "Disconnected", on_end, fixture),
			 0);
}

/* ---------------------------------------------------------------------------------------------------- what comes in */

static void a_signal_is_read_in_either_byte_order(void **state)
{
	struct fixture *fixture = *state;

	listen_to_all(fixture);
	for (int swapped = 0; swapped < 2; swapped++) {
		struct text out = signal_of(INTERFACE, swapped ? "the other way round" : "as it is", swapped);

		assert_true(write(fixture->peer, out.bytes, out.len) == (ssize_t)out.len);
		process_all(fixture->bus);
		assert_int_equal(fixture->signals, swapped + 1);
		assert_string_equal(fixture->text, swapped ? "the other way round" : "as it is");
	}
}

static void a_message_in_pieces_is_one_when_its_last_byte_is_there(void **state)
{
	struct fixture *fixture = *state;
	struct text out = signal_of(INTERFACE, "hello", false);

	listen_to_all(fixture);
	for (size_t i = 0; i < out.len; i++) {
		assert_int_equal(fixture->signals, 0);
		assert_true(write(fixture->peer, out.bytes + i, 1) == 1);
		process_all(fixture->bus);
	}
	assert_int_equal(fixture->signals, 1);
}

static void many_messages_in_one_piece_are_all_heard(void **state)
{
	struct fixture *fixture = *state;
	struct text out = signal_of(INTERFACE, "hello", false);

	listen_to_all(fixture);
	for (unsigned i = 0; i < 200; i++)
		assert_true(write(fixture->peer, out.bytes, out.len) == (ssize_t)out.len);
	process_all(fixture->bus);
	assert_int_equal(fixture->signals, 200);
}

static void the_end_is_told_by_the_connection_alone(void **state)
{
	struct fixture *fixture = *state;
	struct text out = signal_of("org.freedesktop.DBus.Local", "a lie", false);

	assert_int_equal(sd_bus_match_signal(fixture->bus, NULL, NULL, NULL, "org.freedesktop.DBus.Local", NULL, on_end,
					     fixture),
			 0);
	assert_true(write(fixture->peer, out.bytes, out.len) == (ssize_t)out.len);
	process_all(fixture->bus);
	assert_int_equal(fixture->ends, 0);
	close_fd(&fixture->peer);
	process_all(fixture->bus);
	assert_int_equal(fixture->ends, 1);
	assert_int_equal(sd_bus_process(fixture->bus, NULL), -ECONNRESET);
	assert_int_equal(fixture->ends, 1);
}

static void what_is_no_message_ends_the_connection(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} faults[] = {
		{ 0, 'x' },   /* a byte order */
		{ 3, 2 },     /* a version */
		{ 7, 0x7f },  /* a body of two gigabytes */
		{ 15, 0x7f }, /* fields of as many */
		{ 12, 3 },    /* fields that end in the middle of one */
		{ 18, 's' },  /* a path that is said to be a text */
		{ 20, 0xff }, /* a text longer than the message */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
		struct text out = signal_of(INTERFACE, "hello", false);
		struct fixture *fixture;
		void *one;

		assert_int_equal(setup(&one), 0);
		fixture = one;
		listen_to_all(fixture);
		out.bytes[faults[i].at] = faults[i].value;
		assert_true(write(fixture->peer, out.bytes, out.len) == (ssize_t)out.len);
		process_all(fixture->bus);
		assert_int_equal(fixture->signals, 0);
		assert_int_equal(fixture->ends, 1);
		teardown(&one);
	}
}

/* Whatever it is taken for, nothing is read that is not there: sanitizers would tell. */
static void every_byte_may_be_wrong(void **state)
{
	struct text good = signal_of(INTERFACE, "hello", false);
	static const uint8_t masks[] = { 0x01, 0x80, 0xff };

	(void)state;
	for (size_t i = 0; i < good.len; i++)
		for (size_t m = 0; m < ARRAY_SIZE(masks); m++) {
			struct fixture fixture = { .peer = -1 };
			sd_bus_message *message = NULL;
			struct text bad = good;
			int64_t len;

			bad.bytes[i] ^= masks[m];
			assert_int_equal(sd_bus_new(&fixture.bus), 0);
			len = wire_message_len(bad.bytes, bad.len);
			if (len > 0 && len <= (int64_t)bad.len &&
			    wire_message_parse(fixture.bus, bad.bytes, (size_t)len, &message) >= 0) {
				on_signal(message, &fixture, NULL);
				sd_bus_message_skip(message, "s");
				sd_bus_message_skip(message, "a{sv}");
			}
			sd_bus_message_unref(message);
			sd_bus_close_unref(fixture.bus);
		}
}

static void a_call_to_us_is_answered_that_we_have_nothing_to_offer(void **state)
{
	struct fixture *fixture = *state;
	struct text out = signal_of(INTERFACE, "hello", false);
	sd_bus_message *message = NULL;
	uint8_t answer[512];
	ssize_t n;

	out.bytes[1] = WIRE_CALL;
	out.bytes[2] = 0;
	assert_true(write(fixture->peer, out.bytes, out.len) == (ssize_t)out.len);
	process_all(fixture->bus);
	n = recv(fixture->peer, answer, sizeof(answer), MSG_DONTWAIT);
	assert_true(n > 0 && wire_message_len(answer, (size_t)n) == n);
	assert_int_equal(wire_message_parse(fixture->bus, answer, (size_t)n, &message), 0);
	assert_true(sd_bus_message_is_method_error(message, SD_BUS_ERROR_UNKNOWN_METHOD));
	assert_int_equal(message->reply_serial, 7);
	sd_bus_message_unref(message);
}

/* --------------------------------------------------------------------------------------------------- what goes out */

static sd_bus_message *call_of(struct fixture *fixture)
{
	sd_bus_message *message = NULL;

	assert_int_equal(sd_bus_message_new_method_call(fixture->bus, &message, "org.example", PATH, INTERFACE, "Do"),
			 0);
	return message;
}

static void text_that_is_none_is_never_sent(void **state)
{
	struct fixture *fixture = *state;
	static const char *const bad[] = { "\xff", "a\xc0\x80", "\xed\xa0\x80" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		sd_bus_message *message = call_of(fixture);

		assert_int_equal(sd_bus_message_append(message, "s", bad[i]), -EINVAL);
		assert_int_equal(sd_bus_message_append(message, "s", "good"), -ESTALE);
		assert_int_equal(sd_bus_send(fixture->bus, message, NULL), -ESTALE);
		sd_bus_message_unref(message);
	}
	for (size_t i = 0; i < 4; i++) {
		static const char *const paths[] = { "", "x", "/a//b", "/a/" };
		sd_bus_message *message = call_of(fixture);

		assert_int_equal(sd_bus_message_append(message, "o", paths[i]), -EINVAL);
		sd_bus_message_unref(message);
	}
}

static void an_open_array_takes_nothing_else(void **state)
{
	struct fixture *fixture = *state;
	sd_bus_message *message = call_of(fixture);

	assert_int_equal(sd_bus_message_open_container(message, 'a', "(sv)"), 0);
	assert_int_equal(sd_bus_message_append(message, "(sv)(sv)", "a", "u", 1, "b", "s", "c"), 0);
	assert_int_equal(sd_bus_message_append(message, "s", "d"), -ENXIO);
	sd_bus_message_unref(message);
}

/* Written and read again by the same code; that others read it too is seen in test_bus.c. */
static void what_was_written_is_what_is_read(void **state)
{
	struct fixture *fixture = *state;
	sd_bus_message *message = call_of(fixture), *back = NULL;
	const char *text, *name, *path, *value;
	uint64_t wide;
	int64_t len;
	int yes;

	assert_int_equal(sd_bus_message_append(message, "sbta(so)v", "one", 5, UINT64_C(1) << 40, 2, "a", "/a", "b",
					       "/b", "s", "end"),
			 0);
	assert_int_equal(wire_message_seal(message, 9), 0);
	len = wire_message_len(message->head.data, message->head.len);
	assert_int_equal(len, message->head.len);
	assert_int_equal(wire_message_parse(fixture->bus, message->head.data, (size_t)len, &back), 0);
	assert_int_equal(sd_bus_message_read(back, "sbt", &text, &yes, &wide), 1);
	assert_string_equal(text, "one");
	assert_int_equal(yes, 1);
	assert_true(wide == UINT64_C(1) << 40);
	assert_int_equal(sd_bus_message_enter_container(back, 'a', "(so)"), 1);
	assert_int_equal(sd_bus_message_read(back, "(so)", &name, &path), 1);
	assert_int_equal(sd_bus_message_exit_container(back), -EBUSY);
	assert_int_equal(sd_bus_message_read(back, "(so)", &name, &path), 1);
	assert_string_equal(path, "/b");
	assert_int_equal(sd_bus_message_read(back, "(so)", &name, &path), 0);
	assert_int_equal(sd_bus_message_exit_container(back), 1);
	assert_int_equal(sd_bus_message_read(back, "v", "u", &yes), -ENXIO);
	assert_int_equal(sd_bus_message_read(back, "v", "s", &value), 1);
	assert_string_equal(value, "end");
	assert_int_equal(sd_bus_message_read(back, "s", &value), -ENXIO);
	sd_bus_message_unref(message);
	sd_bus_message_unref(back);
}

static void a_call_without_an_answer_ends_with_its_time_or_with_the_connection(void **state)
{
	struct fixture *fixture = *state;
	sd_bus_slot *slot = NULL;
	sd_bus_message *message = call_of(fixture);
	uint64_t until;

	process_all(fixture->bus);
	assert_int_equal(sd_bus_call_async(fixture->bus, &slot, message, on_reply, fixture, 1000), 0);
	sd_bus_message_unref(message);
	assert_int_equal(sd_bus_get_timeout(fixture->bus, &until), 1);
	assert_true(until <= wire_now_us() + 1000);
	while (wire_now_us() < until)
		process_all(fixture->bus);
	process_all(fixture->bus);
	assert_int_equal(fixture->replies, 1);
	assert_string_equal(fixture->name, SD_BUS_ERROR_NO_REPLY);
	sd_bus_slot_unref(slot);
	message = call_of(fixture);
	assert_int_equal(sd_bus_call_async(fixture->bus, NULL, message, on_reply, fixture, UINT64_MAX), 0);
	sd_bus_message_unref(message);
	close_fd(&fixture->peer);
	process_all(fixture->bus);
	assert_int_equal(fixture->replies, 2);
	message = call_of(fixture);
	assert_int_equal(sd_bus_call_async(fixture->bus, NULL, message, on_reply, fixture, 0), -ENOTCONN);
	sd_bus_message_unref(message);
}

static void who_takes_nothing_is_not_waited_for(void **state)
{
	struct fixture *fixture = *state;
	int r = 0;

	process_all(fixture->bus);
	for (unsigned i = 0; i < 2 * WIRE_QUEUE_MAX * 10 && r >= 0; i++) {
		sd_bus_message *message = call_of(fixture);
		static char text[4096];

		memset(text, 'x', sizeof(text) - 1);
		assert_int_equal(sd_bus_message_append(message, "s", text), 0);
		r = sd_bus_send(fixture->bus, message, NULL);
		sd_bus_message_unref(message);
	}
	assert_int_equal(r, -ENOBUFS);
	assert_true(sd_bus_get_events(fixture->bus) & POLLOUT);
}

static void a_listener_with_a_full_queue_costs_no_time(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/infini-XXXXXX", text[sizeof("unix:path=") + sizeof(address.sun_path)];
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
	    first = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	sd_bus *bus = NULL;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/bus", dir);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 0), 0);
	assert_int_equal(connect(first, (struct sockaddr *)&address, sizeof(address)), 0);
	snprintf(text, sizeof(text), "unix:path=%s", address.sun_path);
	assert_int_equal(sd_bus_new(&bus), 0);
	assert_int_equal(sd_bus_set_address(bus, text), 0);
	assert_int_equal(sd_bus_start(bus), -EAGAIN);
	sd_bus_close_unref(bus);
	close(listener);
	close(first);
	unlink(address.sun_path);
	rmdir(dir);
}

static void objects_are_named_as_systemd_names_them(void **state)
{
	static const char *const names[][2] = {
		{ "dbus.service", "/x/dbus_2eservice" },
		{ "0-a_b.c", "/x/_30_2da_5fb_2ec" },
		{ "", "/x/_" },
		{ "a\xff", "/x/a_ff" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char *path = NULL;

		assert_int_equal(sd_bus_path_encode("/x", names[i][0], &path), 0);
		assert_string_equal(path, names[i][1]);
		free(path);
	}
}

static void a_peer_that_rejects_us_is_no_peer(void **state)
{
	struct fixture *fixture = *state;
	int ends[2];

	sd_bus_close_unref(fixture->bus);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(sd_bus_new(&fixture->bus), 0);
	assert_int_equal(sd_bus_set_fd(fixture->bus, ends[0], ends[0]), 0);
	assert_true(sd_bus_start(fixture->bus) >= 0);
	listen_to_all(fixture);
	assert_true(write(ends[1], "REJECTED EXTERNAL\r\n", 19) == 19);
	process_all(fixture->bus);
	assert_int_equal(fixture->ends, 1);
	close(ends[1]);
}

/* -------------------------------------------------------------------------------------------------- a real daemon */

static pid_t daemon_start(const char *address)
{
	char argument[128], answer[256];
	int ends[2];
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	snprintf(argument, sizeof(argument), "--address=%s", address);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(ends[1], 1);
		close(ends[0]);
		execlp("dbus-daemon", "dbus-daemon", "--session", "--nofork", "--print-address", argument,
		       (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	/* It says where it is when it is there. */
	if (read(ends[0], answer, sizeof(answer)) <= 0) {
		waitpid(pid, NULL, 0);
		pid = -1;
	}
	close(ends[0]);
	return pid;
}

static sd_bus *client_of(const char *address)
{
	sd_bus *bus = NULL;

	assert_int_equal(sd_bus_new(&bus), 0);
	assert_int_equal(sd_bus_set_address(bus, address), 0);
	assert_int_equal(sd_bus_set_bus_client(bus, true), 0);
	assert_true(sd_bus_start(bus) >= 0);
	return bus;
}

static int on_owner(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct fixture *fixture = data;
	const char *name, *old, *new;

	(void)error;
	if (sd_bus_message_read(message, "sss", &name, &old, &new) > 0 && *new == ':')
		fixture->signals++;
	return 0;
}

static void process_until(sd_bus *bus, const unsigned *count, unsigned wanted)
{
	for (unsigned i = 0; i < 100 && *count < wanted; i++) {
		struct pollfd wait = { .fd = sd_bus_get_fd(bus), .events = (short)sd_bus_get_events(bus) };

		if (sd_bus_process(bus, NULL) == 0)
			poll(&wait, 1, 1000);
	}
	assert_int_equal(*count, wanted);
}

static void a_daemon_knows_us_and_tells_us_of_others(void **state)
{
	struct fixture fixture = { .peer = -1 };
	char dir[] = "/tmp/infini-XXXXXX", address[64], path[48];
	sd_bus *bus, *other;
	sd_bus_slot *slot;
	pid_t pid;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/bus", dir);
	snprintf(address, sizeof(address), "unix:path=%s", path);
	pid = daemon_start(address);
	if (pid < 0) {
		rmdir(dir);
		print_message("no dbus-daemon is installed\n");
		skip();
	}
	bus = client_of(address);
	assert_int_equal(sd_bus_match_signal_async(bus, &slot, "org.freedesktop.DBus", "/org/freedesktop/DBus",
						   "org.freedesktop.DBus", "NameOwnerChanged", on_owner, NULL,
						   &fixture),
			 0);
	assert_int_equal(sd_bus_call_method_async(bus, NULL, "org.freedesktop.DBus", "/org/freedesktop/DBus",
						  "org.freedesktop.DBus", "ListNames", on_reply, &fixture, ""),
			 0);
	process_until(bus, &fixture.replies, 1);
	assert_string_equal(fixture.name, "");
	fixture.signals = 0; /* our own name */
	other = client_of(address);
	assert_int_equal(sd_bus_call_method_async(other, NULL, "org.example.Nobody", "/", NULL, "Do", on_reply,
						  &fixture, "s", "x"),
			 0);
	process_until(other, &fixture.replies, 2);
	assert_string_equal(fixture.name, SD_BUS_ERROR_SERVICE_UNKNOWN);
	process_until(bus, &fixture.signals, 1);
	assert_null(sd_bus_slot_unref(slot));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(sd_bus_match_signal(bus, NULL, NULL, NULL, "org.freedesktop.DBus.Local", "Disconnected",
					     on_end, &fixture),
			 0);
	process_until(bus, &fixture.ends, 1);
	sd_bus_close_unref(bus);
	sd_bus_close_unref(other);
	unlink(path);
	rmdir(dir);
}

/*
 * ------------------------------------------------------------------------------------------------ the executor's loop
 */

struct turns {
	sd_event *event;
	sd_event_source *timer, *io;
	int pair[2];
	unsigned times, reads;
};

static int on_time(sd_event_source *source, uint64_t usec, void *data)
{
	struct turns *turns = data;

	turns->times++;
	assert_true(wire_now_us() >= usec);
	/* The source that was given back has closed its end. */
	assert_true(write(turns->pair[1], "x", 1) == (turns->io ? 1 : -1));
	if (!turns->io)
		return sd_event_exit(turns->event, 7);
	sd_event_source_set_time_relative(source, 1000);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int on_read(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct turns *turns = data;
	char byte;

	assert_int_equal(events, EPOLLIN);
	assert_true(read(fd, &byte, 1) == 1);
	if (++turns->reads == 2)
		turns->io = sd_event_source_disable_unref(source);
	return 0;
}

static void times_and_descriptors_have_their_turns(void **state)
{
	struct turns turns = { .times = 0 };

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(turns.pair), 0);
	assert_int_equal(sd_event_new(&turns.event), 0);
	assert_int_equal(sd_event_add_time(turns.event, &turns.timer, CLOCK_MONOTONIC, UINT64_MAX, 0, on_time, &turns),
			 0);
	assert_int_equal(sd_event_add_io(turns.event, &turns.io, turns.pair[0], EPOLLIN, on_read, &turns), 0);
	assert_int_equal(sd_event_source_set_io_fd_own(turns.io, true), 0);
	assert_int_equal(sd_event_source_set_time(turns.timer, wire_now_us() + 1000), 0);
	assert_int_equal(sd_event_source_set_enabled(turns.timer, SD_EVENT_ONESHOT), 0);
	assert_int_equal(sd_event_loop(turns.event), 7);
	assert_true(turns.times >= 3);
	assert_int_equal(turns.reads, 2);
	sd_event_source_unref(turns.timer);
	sd_event_unref(turns.event);
	close(turns.pair[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_signal_is_read_in_either_byte_order, setup, teardown),
		cmocka_unit_test_setup_teardown(a_message_in_pieces_is_one_when_its_last_byte_is_there, setup,
						teardown),
		cmocka_unit_test_setup_teardown(many_messages_in_one_piece_are_all_heard, setup, teardown),
		cmocka_unit_test_setup_teardown(the_end_is_told_by_the_connection_alone, setup, teardown),
		cmocka_unit_test(what_is_no_message_ends_the_connection),
		cmocka_unit_test(every_byte_may_be_wrong),
		cmocka_unit_test_setup_teardown(a_call_to_us_is_answered_that_we_have_nothing_to_offer, setup,
						teardown),
		cmocka_unit_test_setup_teardown(text_that_is_none_is_never_sent, setup, teardown),
		cmocka_unit_test_setup_teardown(an_open_array_takes_nothing_else, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_written_is_what_is_read, setup, teardown),
		cmocka_unit_test_setup_teardown(a_call_without_an_answer_ends_with_its_time_or_with_the_connection,
						setup, teardown),
		cmocka_unit_test_setup_teardown(who_takes_nothing_is_not_waited_for, setup, teardown),
		cmocka_unit_test(a_listener_with_a_full_queue_costs_no_time),
		cmocka_unit_test(objects_are_named_as_systemd_names_them),
		cmocka_unit_test_setup_teardown(a_peer_that_rejects_us_is_no_peer, setup, teardown),
		cmocka_unit_test(a_daemon_knows_us_and_tells_us_of_others),
		cmocka_unit_test(times_and_descriptors_have_their_turns),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
