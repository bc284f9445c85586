/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>

#include "agent/metrics/hub.h"

struct taker {
	struct line *last;
	unsigned count;
	int answer;
};

static int take(void *data, struct line *line)
{
	struct taker *taker = data;

	if (taker->answer < 0)
		return taker->answer;
	line_unref(taker->last);
	taker->last = line_ref(line);
	taker->count++;
	return 0;
}

struct fixture {
	struct hub hub;
	struct taker port, log;
	struct line *line;
};

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){ .line = line_new(LINE_SAMPLE, "{}\n", 3) };
	hub_subscribe(&f.hub, "port", HUB_PORT, take, &f.port);
	hub_subscribe(&f.hub, "log", HUB_LOG, take, &f.log);
	*state = &f;
	return f.line ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	hub_done(&f->hub);
	line_unref(f->port.last);
	line_unref(f->log.last);
	line_unref(f->line);
	return 0;
}

static void hands_the_same_bytes_to_everyone(void **state)
{
	struct fixture *f = *state;

	hub_publish(&f->hub, HUB_PORT | HUB_LOG, f->line);
	assert_ptr_equal(f->port.last, f->line);
	assert_ptr_equal(f->log.last, f->line);
	assert_ptr_equal(f->hub.latest, f->line);
	assert_int_equal(f->line->refs, 4);
}

static void a_subscriber_that_fails_costs_the_other_nothing(void **state)
{
	struct fixture *f = *state;

	f->port.answer = -ENOTCONN;
	for (unsigned i = 0; i < 5; i++)
		hub_publish(&f->hub, HUB_PORT | HUB_LOG, f->line);
	assert_int_equal(f->log.count, 5);
	assert_int_equal(f->hub.subscribers[0].missed, 5);
	assert_int_equal(f->hub.subscribers[0].taken, 0);
	assert_int_equal(f->hub.subscribers[1].taken, 5);
}

static void reaches_only_the_topics_asked_for(void **state)
{
	struct fixture *f = *state;

	hub_publish(&f->hub, HUB_LOG, f->line);
	assert_int_equal(f->port.count, 0);
	assert_int_equal(f->log.count, 1);
	assert_int_equal(f->hub.subscribers[0].missed, 0);
}

static void refuses_more_subscribers_than_it_has_places(void **state)
{
	struct fixture *f = *state;
	unsigned places = f->hub.count;

	while (hub_subscribe(&f->hub, "more", HUB_LATEST, take, &f->log) == 0)
		places++;
	assert_int_equal(places, HUB_SUBSCRIBERS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(hands_the_same_bytes_to_everyone, setup, teardown),
		cmocka_unit_test_setup_teardown(a_subscriber_that_fails_costs_the_other_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(reaches_only_the_topics_asked_for, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_more_subscribers_than_it_has_places, setup, teardown),
	};

	return cmocka_run_group_tests_name("hub", tests, NULL, NULL);
}
