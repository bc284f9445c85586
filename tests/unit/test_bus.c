/* SPDX-License-Identifier: MIT */
/*
 * Conversations on a bus: the other end is sd-bus as a server on a socketpair, in the same loop, and plays the service
 * manager.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <cmocka.h>

#include <ev.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-id128.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/bus/bus.h"
#include "agent/actions/bus_work.h"

struct fixture {
	struct ev_loop *loop;
	struct bus *bus;
	sd_bus *peer;
	int peer_fd; /* while no peer has been made of it */
	bool mute;   /* the peer never says a word */
	ev_io io;
	ev_timer guard;
	unsigned connections;

	unsigned replies;
	int error;
	char text[256], name[128];
};

/*
 * ------------------------------------------------------------------------------------------------- the manager's part
 */

static int on_echo(sd_bus_message *message, void *data, sd_bus_error *error)
{
	const char *text;
	int r = sd_bus_message_read(message, "s", &text);

	(void)data;
	(void)error;
	return r < 0 ? r : sd_bus_reply_method_return(message, "s", text);
}

static int on_silent(sd_bus_message *message, void *data, sd_bus_error *error)
{
	(void)message;
	(void)data;
	(void)error;
	return 1;
}

static int on_refuse(sd_bus_message *message, void *data, sd_bus_error *error)
{
	(void)message;
	(void)data;
	return sd_bus_error_set(error, "org.example.No", "I will not");
}

static const sd_bus_vtable manager[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Echo", "s", "s", on_echo, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("Silent", "", "", on_silent, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_METHOD("Refuse", "", "", on_refuse, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

static void peer_end(struct fixture *fixture)
{
	if (fixture->peer)
		ev_io_stop(fixture->loop, &fixture->io);
	fixture->peer = sd_bus_close_unref(fixture->peer);
	close_fd(&fixture->peer_fd);
}

static void on_peer(struct ev_loop *loop, ev_io *io, int events)
{
	struct fixture *fixture = io->data;
	int r;

	(void)loop;
	(void)events;
	while (fixture->peer && (r = sd_bus_process(fixture->peer, NULL)) > 0)
		;
}

static int peer_connect(void *data)
{
	struct fixture *fixture = data;
	sd_id128_t id = SD_ID128_MAKE(01, 02, 03, 04, 05, 06, 07, 08, 09, 0a, 0b, 0c, 0d, 0e, 0f, 10);
	int ends[2];

	peer_end(fixture);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return -errno;
	fixture->connections++;
	fixture->peer_fd = ends[1];
	if (fixture->mute)
		return ends[0];
	if (sd_bus_new(&fixture->peer) < 0 || sd_bus_set_fd(fixture->peer, ends[1], ends[1]) < 0)
		return -EIO;
	fixture->peer_fd = -1;
	if (sd_bus_set_server(fixture->peer, true, id) < 0 || sd_bus_set_anonymous(fixture->peer, true) < 0 ||
	    sd_bus_start(fixture->peer) < 0 ||
	    sd_bus_add_object_vtable(fixture->peer, NULL, SYSTEMD_PATH, SYSTEMD_MANAGER, manager, fixture) < 0)
		return -EIO;
	ev_io_init(&fixture->io, on_peer, ends[1], EV_READ);
	fixture->io.data = fixture;
	ev_io_start(fixture->loop, &fixture->io);
	return ends[0];
}

/*
 * -------------------------------------------------------------------------------------------------------- the fixture
 */

static void on_guard(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)timer;
	(void)events;
	ev_break(loop, EVBREAK_ALL);
}

static int setup_with(void **state, double idle_s)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	struct bus_config config = { .connect = peer_connect, .connect_data = fixture, .idle_s = idle_s };

	if (!fixture || libsystemd_open(NULL, 0, NULL) < 0)
		return -1;
	fixture->peer_fd = -1;
	fixture->loop = ev_loop_new(0);
	fixture->bus = bus_new(fixture->loop, &config);
	ev_timer_init(&fixture->guard, on_guard, 2, 0);
	ev_timer_start(fixture->loop, &fixture->guard);
	ev_unref(fixture->loop);
	*state = fixture;
	return fixture->bus ? 0 : -1;
}

static int setup(void **state)
{
	return setup_with(state, 0);
}

static int setup_impatient(void **state)
{
	return setup_with(state, 0.02);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	bus_free(fixture->bus);
	peer_end(fixture);
	ev_ref(fixture->loop);
	ev_timer_stop(fixture->loop, &fixture->guard);
	ev_loop_destroy(fixture->loop);
	free(fixture);
	return 0;
}

static void on_reply(void *data, const struct bus_reply *reply)
{
	struct fixture *fixture = data;
	const char *text = reply->text;

	fixture->replies++;
	fixture->error = reply->error;
	if (reply->message)
		sd_bus_message_read(reply->message, "s", &text);
	strncpy(fixture->text, text, sizeof(fixture->text) - 1);
	strncpy(fixture->name, reply->name, sizeof(fixture->name) - 1);
	ev_break(fixture->loop, EVBREAK_ALL);
}

static struct bus_call *ask(struct fixture *fixture, const char *member, const char *text, uint64_t timeout_ns)
{
	sd_bus_message *message = NULL;
	struct bus_call *call = NULL;

	assert_int_equal(bus_message(fixture->bus, NULL, SYSTEMD_PATH, SYSTEMD_MANAGER, member, &message), 0);
	if (text)
		assert_true(sd_bus_message_append(message, "s", text) >= 0);
	assert_int_equal(bus_call(fixture->bus, message, timeout_ns, on_reply, fixture, &call), 0);
	sd_bus_message_unref(message);
	return call;
}

/*
 * ---------------------------------------------------------------------------------------------------------- the tests
 */

static void nothing_is_opened_before_it_is_needed(void **state)
{
	struct fixture *fixture = *state;

	ev_run(fixture->loop, EVRUN_NOWAIT);
	assert_int_equal(fixture->connections, 0);
	assert_int_equal(bus_generation(fixture->bus), 0);
}

static void a_call_is_answered_once_and_never_from_within_itself(void **state)
{
	struct fixture *fixture = *state;

	ask(fixture, "Echo", "hello", TIME_NEVER);
	assert_int_equal(fixture->replies, 0);
	ev_run(fixture->loop, 0);
	assert_int_equal(fixture->replies, 1);
	assert_int_equal(fixture->error, 0);
	assert_string_equal(fixture->text, "hello");
	ask(fixture, "Echo", "again", TIME_NEVER);
	assert_int_equal(fixture->replies, 1);
	ev_run(fixture->loop, 0);
	assert_int_equal(fixture->replies, 2);
	assert_int_equal(fixture->connections, 1);
}

static void a_refusal_comes_with_name_and_words(void **state)
{
	struct fixture *fixture = *state;

	ask(fixture, "Refuse", NULL, TIME_NEVER);
	ev_run(fixture->loop, 0);
	assert_int_equal(fixture->error, -EREMOTEIO);
	assert_string_equal(fixture->name, "org.example.No");
	assert_string_equal(fixture->text, "I will not");
}

static void what_is_not_answered_ends_at_its_time(void **state)
{
	struct fixture *fixture = *state;

	ask(fixture, "Silent", NULL, 20 * NS_PER_MS);
	ev_run(fixture->loop, 0);
	assert_int_equal(fixture->replies, 1);
	assert_int_equal(fixture->error, -ETIMEDOUT);
}

/* Connected, but not even the authentication is answered. */
static void a_bus_that_says_nothing_at_all_costs_the_time_of_the_call(void **state)
{
	struct fixture *fixture = *state;

	fixture->mute = true;
	ask(fixture, "Echo", "hello", 20 * NS_PER_MS);
	ev_run(fixture->loop, 0);
	assert_int_equal(fixture->replies, 1);
	assert_int_equal(fixture->error, -ETIMEDOUT);
}

static void a_bus_that_goes_away_fails_what_is_outstanding(void **state)
{
	struct fixture *fixture = *state;

	ask(fixture, "Echo", "hello", TIME_NEVER);
	ev_run(fixture->loop, 0);
	ask(fixture, "Silent", NULL, TIME_NEVER);
	ask(fixture, "Silent", NULL, TIME_NEVER);
	peer_end(fixture);
	ev_run(fixture->loop, 0);
	if (fixture->replies == 2)
		ev_run(fixture->loop, 0);
	assert_int_equal(fixture->replies, 3);
	assert_int_equal(fixture->error, -ENOTCONN);
	ask(fixture, "Echo", "anew", TIME_NEVER);
	ev_run(fixture->loop, 0);
	assert_string_equal(fixture->text, "anew");
	assert_int_equal(fixture->connections, 2);
}

static void a_cancelled_call_is_never_answered(void **state)
{
	struct fixture *fixture = *state;

	bus_cancel(ask(fixture, "Echo", "forget me", TIME_NEVER));
	ask(fixture, "Echo", "me not", TIME_NEVER);
	ev_run(fixture->loop, 0);
	assert_int_equal(fixture->replies, 1);
	assert_string_equal(fixture->text, "me not");
}

static void too_many_calls_at_once_are_refused(void **state)
{
	struct fixture *fixture = *state;
	sd_bus_message *message = NULL;
	struct bus_call *call = NULL;

	for (unsigned i = 0; i < BUS_CALLS_MAX; i++)
		ask(fixture, "Silent", NULL, TIME_NEVER);
	assert_int_equal(bus_message(fixture->bus, NULL, SYSTEMD_PATH, SYSTEMD_MANAGER, "Silent", &message), 0);
	assert_int_equal(bus_call(fixture->bus, message, TIME_NEVER, on_reply, fixture, &call), -EBUSY);
	sd_bus_message_unref(message);
}

static void an_idle_connection_is_closed_and_opened_anew_when_needed(void **state)
{
	struct fixture *fixture = *state;

	ask(fixture, "Echo", "hello", TIME_NEVER);
	ev_run(fixture->loop, 0);
	ev_set_timeout_collect_interval(fixture->loop, 0);
	for (unsigned i = 0; i < 5; i++)
		ev_run(fixture->loop, EVRUN_ONCE);
	ask(fixture, "Echo", "anew", TIME_NEVER);
	ev_run(fixture->loop, 0);
	assert_int_equal(fixture->connections, 2);
	assert_string_equal(fixture->text, "anew");
}

static void an_address_where_nobody_listens_refuses_at_once(void **state)
{
	struct bus_config config = { .address = "unix:path=/nonexistent/socket" };
	struct ev_loop *loop = ev_loop_new(0);
	struct bus *bus = bus_new(loop, &config);
	sd_bus_message *message = NULL;

	(void)state;
	assert_non_null(bus);
	assert_int_equal(bus_message(bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "Echo", &message), -ENOENT);
	bus_free(bus);
	ev_loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_is_opened_before_it_is_needed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_call_is_answered_once_and_never_from_within_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(a_refusal_comes_with_name_and_words, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_not_answered_ends_at_its_time, setup, teardown),
		cmocka_unit_test_setup_teardown(a_bus_that_says_nothing_at_all_costs_the_time_of_the_call, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_bus_that_goes_away_fails_what_is_outstanding, setup, teardown),
		cmocka_unit_test_setup_teardown(a_cancelled_call_is_never_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(too_many_calls_at_once_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(an_idle_connection_is_closed_and_opened_anew_when_needed,
						setup_impatient, teardown),
		cmocka_unit_test(an_address_where_nobody_listens_refuses_at_once),
	};

	return cmocka_run_group_tests_name("bus", tests, NULL, NULL);
}
