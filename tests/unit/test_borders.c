/* SPDX-License-Identifier: MIT */
/*
 * What outlives a message: wishes at a border between two hosts, and generations begun on a host's word. The loop never
 * turns.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/history.h"
#include "tests/fake_loop.h"
#include "tests/still_agent.h"

static struct session session;

/* What it is sent: samples by their numbers; refused while `refuses`. */
static struct {
	unsigned samples;
	uint64_t last_seq;
	bool refuses;
} got;
static const struct line *got_line; /* the last sample */

static int take(struct session *peer, struct line *line)
{
	(void)peer;
	if (got.refuses)
		return -ENOBUFS;
	got.samples += line->class == LINE_SAMPLE;
	got_line = line->class == LINE_SAMPLE ? line : got_line;
	got.last_seq = line->class == LINE_SAMPLE ? line->seq : got.last_seq;
	return 0;
}

static size_t no_backlog(const struct session *peer)
{
	(void)peer;
	return 0;
}

static void begin_as(enum session_kind kind)
{
	memset(&got, 0, sizeof(got));
	session_init(&session, &agent.peers, kind, take);
	session.backlog = no_backlog;
	session.backlog_max = 1 << 20;
	snprintf(session.name, sizeof(session.name), "unit");
}

static int begin(void **state)
{
	(void)state;
	begin_as(SESSION_PORT);
	return 0;
}

static int begin_local(void **state)
{
	(void)state;
	begin_as(SESSION_LOCAL);
	return 0;
}

static int end(void **state)
{
	(void)state;
	session_done(&session);
	return 0;
}

/* Each line comes in a turn of its own. */
static void hear(const char *line)
{
	agent.loop.now.mono_ns += NS_PER_MS;
	session_receive(&session, line, strlen(line));
}

/* Between what the old host said and what the new one says. */
static uint64_t border(void)
{
	agent.loop.now.mono_ns += NS_PER_MS;
	return agent.loop.now.mono_ns;
}

static const char subscribe[] = "{\"type\":\"Subscribe\",\"id\":\"s\",\"topics\":[\"metrics\"]}\n";
static const char ack[] = "{\"type\":\"Ack\",\"seq\":0}\n";

static void an_ack_of_the_next_host_keeps_no_subscription_of_the_last(void **state)
{
	uint64_t gone_ns;

	(void)state;
	hear(subscribe);
	assert_true(publish_reads(&session.subscriber, PUBLISH_METRICS));
	gone_ns = border();
	hear(ack);
	session_border(&session, gone_ns);
	assert_false(publish_reads(&session.subscriber, PUBLISH_METRICS));
	assert_true(history_acked(&session));
}

static void a_subscription_of_the_next_host_keeps_no_ack_of_the_last(void **state)
{
	uint64_t gone_ns;

	(void)state;
	hear(ack);
	session.first_seq = 5;
	assert_true(history_acked(&session));
	gone_ns = border();
	hear(subscribe);
	session_border(&session, gone_ns);
	assert_true(publish_reads(&session.subscriber, PUBLISH_METRICS));
	assert_false(history_acked(&session));
	assert_int_equal(session.first_seq, 0);
}

static void a_border_before_all_that_was_asked_takes_nothing(void **state)
{
	uint64_t gone_ns = border();

	(void)state;
	hear(ack);
	hear(subscribe);
	session_border(&session, gone_ns);
	session_border(&session, 0);
	assert_true(history_acked(&session) && publish_reads(&session.subscriber, PUBLISH_METRICS));
}

/* Before a time is not at it. */
static void what_is_asked_at_the_very_border_stays(void **state)
{
	(void)state;
	hear(ack);
	session_border(&session, agent.loop.now.mono_ns);
	assert_true(history_acked(&session));
	session_border(&session, agent.loop.now.mono_ns + 1);
	assert_false(history_acked(&session));
	hear(subscribe);
	session_border(&session, agent.loop.now.mono_ns);
	assert_true(publish_reads(&session.subscriber, PUBLISH_METRICS));
	session_border(&session, agent.loop.now.mono_ns + 1);
	assert_false(publish_reads(&session.subscriber, PUBLISH_METRICS));
}

/*
 * ---------------------------------------------------------------------------------------- a pace, and what is asked
 * for besides
 */

static uint64_t newest_seq(void)
{
	return sampling_stats(agent.sampling).next_seq - 1;
}

/* One is taken `ms` later, 200 at least, with what the collectors have by themselves: its number. */
static uint64_t sample_in(unsigned ms)
{
	uint64_t before = sampling_stats(agent.sampling).samples;

	fake_set_clocks(&agent.loop, agent.loop.now.mono_ns + ms * NS_PER_MS);
	sampling_soon(agent.sampling, SAMPLE_TO_PORT | SAMPLE_TO_LATEST);
	while (sampling_stats(agent.sampling).samples == before) {
		assert_true(fake_turn(&agent.loop, agent.loop.now.mono_ns) || prober_outstanding(agent.prober, NULL));
		sampling_probed(agent.sampling);
	}
	return newest_seq();
}

/* Since the last look. */
static void got_samples(unsigned count, uint64_t last_seq)
{
	assert_int_equal(got.samples, count);
	if (count)
		assert_int_equal(got.last_seq, last_seq);
	memset(&got, 0, sizeof(got));
}

static const char paced[] = "{\"type\":\"Subscribe\",\"id\":\"p\",\"topics\":[\"metrics\"],\"interval_ms\":1000}\n";
static const char metrics[] = "{\"type\":\"Metrics\"}\n";

/* It has the newest sample, and its first turn is over. */
static void subscribe_paced(void)
{
	sample_in(5000);
	hear(paced);
	memset(&got, 0, sizeof(got));
	got_samples(0, 0);
	sample_in(200);
	got_samples(1, newest_seq());
}

/* The host is away: it costs the others nothing, and they get the very same bytes. */
static void a_sample_that_misses_the_host_reaches_the_others(void **state)
{
	struct published before;

	(void)state;
	sample_in(1000); /* the clock that the test turns is new to the agent, which asks for a sample for all by itself
			  */
	before = agent.published;
	hear(subscribe);
	memset(&got, 0, sizeof(got));
	sample_in(1000);
	got_samples(1, newest_seq());
	assert_int_equal(got_line->seq, sampling_latest(agent.sampling)->seq);
	assert_int_equal(agent.published.port, before.port);
	assert_int_equal(agent.published.port_missed, before.port_missed + 1);
	assert_int_equal(agent.published.feed, before.feed + 1);
	assert_int_equal(agent.published.latest, before.latest + 1);
	assert_int_equal(agent.published.log, before.log); /* it was not for that */
}

static void a_subscriber_with_a_pace_gets_between_what_it_asks_for(void **state)
{
	(void)state;
	subscribe_paced();
	sample_in(200);
	got_samples(0, 0);
	hear(metrics);
	got_samples(0, 0); /* that one is yet to come */
	got_samples(1, sample_in(200));
	sample_in(200); /* asked once, answered once */
	got_samples(0, 0);
	got_samples(1, sample_in(400)); /* and its pace is as it was */
	sample_in(400);
	got_samples(0, 0);
}

static void a_subscriber_gets_no_sample_twice_for_having_asked_when_one_was_due(void **state)
{
	(void)state;
	subscribe_paced();
	hear(metrics);
	got_samples(1, sample_in(1000));
	sample_in(500);
	got_samples(0, 0);
	/* Without a pace too. */
	hear(subscribe);
	sample_in(1000);
	memset(&got, 0, sizeof(got));
	agent.loop.now.mono_ns += 2 * NS_PER_S;
	hear(metrics);
	got_samples(1, sample_in(200));
}

static void who_asks_again_within_a_second_gets_the_newest_at_once_and_later_not_by_its_pace(void **state)
{
	uint64_t newest;

	(void)state;
	subscribe_paced();
	agent.loop.now.mono_ns += 2 * NS_PER_S;
	hear(metrics);
	newest = sample_in(200);
	got_samples(1, newest);
	hear(metrics);
	got_samples(1, newest);
	publish_drained(&session.subscriber);
	got_samples(0, 0);
}

static void what_could_not_be_sent_is_still_due(void **state)
{
	(void)state;
	subscribe_paced();
	hear(metrics);
	got.refuses = true;
	sample_in(1000);
	got_samples(0, 0);
	publish_drained(&session.subscriber);
	got_samples(1, newest_seq());
}

/*
 * ------------------------------------------------------------------------------------------- what a peer says that it
 * holds
 */

static void let_log(bool let)
{
	agent.config.log.enabled = let;
}

static void say_held(uint64_t seq)
{
	char line[128];

	snprintf(line, sizeof(line), "{\"type\":\"Ack\",\"seq\":%llu,\"generation\":\"%s\"}\n", (unsigned long long)seq,
		 agent.id.generation);
	hear(line);
}

static void what_was_said_to_be_held_is_forgotten_with_all_that_came_of_it(void **state)
{
	(void)state;
	let_log(true);
	while (newest_seq() < 9)
		sample_in(1000);
	say_held(3);
	assert_true(history_acked(&session));
	assert_int_equal(session.past->acked_seq, 3);
	assert_true(session.past->gap.to > 3);
	assert_non_null(session.past->gap.reading);
	history_forget_ack(&session);
	assert_false(history_acked(&session));
	assert_int_equal(session.past->acked_seq, 0);
	assert_int_equal(session.past->gap.to, 0);
	assert_null(session.past->gap.reading);
	assert_null(agent.actions.histories);
	/* It may say less than before, and is offered that. */
	say_held(1);
	assert_int_equal(session.past->acked_seq, 1);
	assert_int_equal(session.past->gap.from, 2);
	assert_non_null(session.past->gap.reading);
	let_log(false);
}

/* What could not be offered is not tried again either. */
static void no_try_of_what_was_forgotten_is_left(void **state)
{
	(void)state;
	let_log(true);
	say_held(1);
	deadline_after(&session.past->gap.again, NS_PER_S);
	history_forget_ack(&session);
	assert_false(deadline_is_set(&session.past->gap.again));
	let_log(false);
}

static void a_host_begins_only_so_many_generations_by_its_acks(void **state)
{
	uint64_t before = agent.counters.generations;
	char line[80];

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		snprintf(line, sizeof(line), "{\"type\":\"Ack\",\"seq\":%u}\n", 1000000 + i);
		hear(line);
	}
	assert_int_equal(agent.counters.generations - before, 4);
	/* One comes back every 30 s, and never more than there were. */
	agent.generation.word_ns -= 31 * NS_PER_S;
	hear("{\"type\":\"Ack\",\"seq\":2000000}\n");
	hear("{\"type\":\"Ack\",\"seq\":2000001}\n");
	assert_int_equal(agent.counters.generations - before, 5);
}

static void the_same_ack_that_names_no_generation_begins_one_once(void **state)
{
	uint64_t before;

	(void)state;
	agent.generation.words = 0;
	before = agent.counters.generations;
	for (unsigned i = 0; i < 3; i++)
		hear("{\"type\":\"Ack\",\"seq\":3000000}\n");
	assert_int_equal(agent.counters.generations - before, 1);
}

static void a_host_begins_only_so_many_generations_by_its_clock(void **state)
{
	uint64_t before;
	char line[128];

	(void)state;
	agent.generation.words = 0;
	before = agent.counters.generations;
	for (unsigned i = 0; i < 20; i++) {
		snprintf(line, sizeof(line),
			 "{\"type\":\"keep_alive_request\",\"sequence_number\":1,\"timestamp\":%lld}\n",
			 (long long)agent.loop.now.wall_ms + 60000LL * i);
		hear(line);
	}
	assert_int_equal(agent.counters.generations - before, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_ack_of_the_next_host_keeps_no_subscription_of_the_last, begin, end),
		cmocka_unit_test_setup_teardown(a_subscription_of_the_next_host_keeps_no_ack_of_the_last, begin, end),
		cmocka_unit_test_setup_teardown(a_border_before_all_that_was_asked_takes_nothing, begin, end),
		cmocka_unit_test_setup_teardown(what_is_asked_at_the_very_border_stays, begin, end),
		cmocka_unit_test_setup_teardown(a_sample_that_misses_the_host_reaches_the_others, begin_local, end),
		cmocka_unit_test_setup_teardown(a_subscriber_with_a_pace_gets_between_what_it_asks_for, begin_local,
						end),
		cmocka_unit_test_setup_teardown(a_subscriber_gets_no_sample_twice_for_having_asked_when_one_was_due,
						begin_local, end),
		cmocka_unit_test_setup_teardown(
			who_asks_again_within_a_second_gets_the_newest_at_once_and_later_not_by_its_pace, begin_local,
			end),
		cmocka_unit_test_setup_teardown(what_could_not_be_sent_is_still_due, begin_local, end),
		cmocka_unit_test_setup_teardown(what_was_said_to_be_held_is_forgotten_with_all_that_came_of_it, begin,
						end),
		cmocka_unit_test_setup_teardown(no_try_of_what_was_forgotten_is_left, begin, end),
		cmocka_unit_test_setup_teardown(a_host_begins_only_so_many_generations_by_its_acks, begin, end),
		cmocka_unit_test_setup_teardown(the_same_ack_that_names_no_generation_begins_one_once, begin, end),
		cmocka_unit_test_setup_teardown(a_host_begins_only_so_many_generations_by_its_clock, begin, end),
	};

	return cmocka_run_group_tests(tests, make_agent, remove_folder);
}
