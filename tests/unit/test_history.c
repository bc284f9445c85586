/* SPDX-License-Identifier: MIT */
/* Histories that are asked for and gaps that an Ack shows, out of a child that says what the test has it say. */
#include "tests/actions_fixture.h"

#include "agent/actions/history.h"
#include "agent/metrics/history_reader.h"

/* What the child says: so many samples from the first that is wanted, and its last line (NULL: none, it goes on). */
static struct {
	unsigned samples;
	const char *last;
} child;

int history_child(int fd, void *data)
{
	const struct history_wanted *wanted = data;
	char line[96];

	for (unsigned i = 0; i < child.samples; i++) {
		unsigned long long seq = wanted->from_seq + i;
		int len = snprintf(line, sizeof(line), "%llu {\"seq\":%llu}\n", seq, seq);

		if (write(fd, line, (size_t)len) != len)
			return 1;
	}
	if (child.last && write(fd, child.last, strlen(child.last)) < 0)
		return 1;
	return child.last ? 0 : (int)read(fd, line, 1);
}

static int begin(void **state)
{
	child.samples = 3;
	child.last = ".\n";
	return actions_begin(state);
}

static int end(void **state)
{
	for (unsigned i = 0; i < FIXTURE_USERS_MAX; i++)
		if (users[i].session.peers)
			history_end(&users[i].session);
	history_end(&host.session);
	assert_null(env.histories);
	return actions_end(state);
}

/* Batches that the peer was sent. */
static unsigned batches(const struct peer *peer)
{
	unsigned count = 0;

	for (unsigned i = 0; i < peer->count; i++)
		count += strstr(peer->lines[i], "\"type\":\"metrics_batch\"") != NULL;
	return count;
}

/* Until nothing is read any more, or for five seconds. */
static void until_read(void)
{
	for (unsigned i = 0; i < 1000 && env.histories; i++) {
		loop_turn(loop.ev);
		later(NS_PER_MS);
	}
}

static const char *ask_history(struct peer *peer, const char *more)
{
	char members[256];

	snprintf(members, sizeof(members), "\"type\":\"GetHistory\"%s", more);
	return ask_message(peer, members);
}

/* -------------------------------------------------------------------------------------------------------- asked for */

static void what_is_asked_for_comes_in_batches_and_the_answer_counts_it(void **state)
{
	(void)state;
	ask_history(user(1000), ",\"from_seq\":7,\"limit\":5");
	until_read();
	answer_has("\"count\":3,\"first_seq\":7,\"last_seq\":9,\"more\":false");
	assert_int_equal(batches(user(1000)), 1);
	assert_non_null(
		strstr(user(1000)->lines[0], "\"last\":true,\"samples\":[{\"seq\":7},{\"seq\":8},{\"seq\":9}]"));
	child.samples = 0;
	child.last = "+\n";
	ask_history(user(1000), "");
	until_read();
	answer_has("\"count\":0,\"first_seq\":null,\"last_seq\":null,\"more\":true");
}

static void times_are_texts_or_numbers(void **state)
{
	(void)state;
	ask_history(&host, ",\"begin\":\"2026-01-02T03:04:05Z\",\"end\":1790000000000");
	until_read();
	answer_has("\"success\":true");
	ask_history(&host, ",\"begin\":\"yesterday\"");
	answer_has("begin and end are RFC 3339 times");
	ask_history(&host, ",\"end\":\"tomorrow\"");
	answer_has("begin and end are RFC 3339 times");
}

static void a_log_that_is_off_or_cannot_be_read_is_told(void **state)
{
	(void)state;
	child.last = "!the disk is gone\n";
	ask_history(&host, "");
	until_read();
	answer_has("the log could not be read: the disk is gone");
	config.log.enabled = false;
	ask_history(&host, "");
	answer_has("\"reason\":\"no_log\"");
}

static void a_peer_that_takes_no_line_fails_its_history(void **state)
{
	(void)state;
	user(1000)->refuses = true;
	ask_history(user(1000), "");
	until_read();
	assert_null(env.histories);
	assert_int_equal(user(1000)->session.answers_lost, 2); /* the batch, and the answer */
}

/* ---------------------------------------------------------------------------------------------------------- shares */

static void the_host_has_four_places_and_each_user_one(void **state)
{
	(void)state;
	child.last = NULL;
	for (unsigned i = 0; i < HISTORIES_HOST; i++)
		assert_null(ask_history(&host, ""));
	ask_history(&host, "");
	answer_has("four histories are being read for the host already");
	for (unsigned i = 0; i < HISTORIES_USERS; i++)
		assert_null(ask_history(user(1000 + i), ""));
	ask_history(user(1000), "");
	answer_has("a history is being read for this user already, or four for all users");
	ask_history(user(2000), "");
	answer_has("\"reason\":\"busy\"");
	assert_null(ask_history(user(0), ""));
}

static void who_does_not_read_loses_the_place_to_another_user(void **state)
{
	char slow[16];

	(void)state;
	child.last = NULL;
	for (unsigned i = 0; i < HISTORIES_USERS; i++) {
		assert_null(ask_history(user(1000 + i), ""));
		if (i == 1)
			strcpy(slow, asked);
	}
	user(1001)->backlog = 5000;
	assert_null(ask_history(user(2000), ""));
	answered(user(1001), slow, "its place was given to another user");
}

static void a_peer_that_is_gone_has_its_histories_ended(void **state)
{
	(void)state;
	child.last = NULL;
	assert_null(ask_history(&host, ""));
	assert_null(ask_history(&host, ""));
	history_leave(&host.session, loop.now.mono_ns);
	assert_non_null(env.histories);
	history_leave(&host.session, UINT64_MAX);
	assert_null(env.histories);
	turns();
	answer_has("CANCELLED");
	history_leave(&user(1000)->session, UINT64_MAX);
}

/* ---------------------------------------------------------------------------------------------------------- the gap */

static void the_first_ack_of_a_session_has_the_gap_offered(void **state)
{
	(void)state;
	seen.next_seq = 14;
	assert_false(history_acked(&host.session));
	history_ack(&env, &host.session, 10);
	assert_true(history_acked(&host.session));
	until_read();
	assert_int_equal(host.count, 1);
	assert_non_null(strstr(host.lines[0],
			       "\"id\":null,\"last\":true,\"samples\":[{\"seq\":11},{\"seq\":12},{\"seq\":13}]"));
	assert_int_equal(host.session.past->gap.to, 0);
	history_ack(&env, &host.session, 5);
	assert_int_equal(host.session.past->acked_seq, 10);
	until_read();
	assert_int_equal(host.count, 1);
	history_forget_ack(&host.session);
	assert_false(history_acked(&host.session));
	history_ack(&env, &host.session, 13);
	assert_null(env.histories);
}

static void a_long_gap_is_offered_piece_by_piece(void **state)
{
	(void)state;
	seen.next_seq = 14;
	child.samples = 2;
	child.last = "+\n";
	history_ack(&env, &host.session, 9);
	until_read();
	assert_true(deadline_is_set(&host.session.past->gap.again));
	assert_int_equal(host.session.past->gap.from, 12);
	child.last = ".\n";
	later(HISTORY_PACE_NS);
	until_read();
	assert_int_equal(batches(&host), 2);
	assert_non_null(strstr(host.lines[1], "\"last\":true,\"samples\":[{\"seq\":12},{\"seq\":13}]"));
	assert_int_equal(host.session.past->gap.to, 0);
}

static void samples_that_are_not_in_the_log_yet_are_offered_later(void **state)
{
	(void)state;
	seen.next_seq = 14;
	seen.log = (struct logger_stats){ .queued = 2, .last_seq = 11 };
	child.samples = 1;
	history_ack(&env, &host.session, 10);
	until_read();
	assert_non_null(strstr(host.lines[0], "\"last\":false"));
	assert_int_equal(host.session.past->gap.from, 12);
	assert_true(deadline_is_set(&host.session.past->gap.again));
	seen.log.queued = 0;
	child.samples = 2;
	later(NS_PER_S);
	until_read();
	assert_non_null(strstr(host.lines[1], "\"last\":true,\"samples\":[{\"seq\":12},{\"seq\":13}]"));
}

static void a_failure_is_told_to_the_host_once_and_tried_again_less_and_less_often(void **state)
{
	struct history_gap *gap;
	uint64_t before_ns;

	(void)state;
	seen.next_seq = 14;
	child.samples = 0;
	child.last = "!no\n";
	history_ack(&env, &host.session, 10);
	gap = &host.session.past->gap;
	until_read();
	assert_string_equal(seen.events,
			    "warn history: samples 11 to 13 cannot be offered now, and will be later: no\n");
	*seen.events = '\0';
	before_ns = gap->again.at_ns;
	later(NS_PER_S);
	until_read();
	assert_string_equal(seen.events, "");
	assert_int_equal(gap->failures, 2);
	assert_true(gap->again.at_ns >= before_ns + 2 * NS_PER_S);
	child.last = ".\n";
	later(10 * NS_PER_S);
	until_read();
	assert_int_equal(gap->failures, 0);
	assert_int_equal(gap->to, 0);
}

static void a_gap_without_a_place_or_a_log_waits_or_ends(void **state)
{
	struct peer *client = user(1000);

	(void)state;
	seen.next_seq = 14;
	child.last = NULL;
	for (unsigned i = 0; i < HISTORIES_HOST; i++)
		assert_null(ask_history(&host, ""));
	history_ack(&env, &host.session, 10);
	assert_null(host.session.past->gap.reading);
	assert_true(deadline_is_set(&host.session.past->gap.again));
	client->backlog = 5000;
	history_ack(&env, &client->session, 10);
	assert_null(client->session.past->gap.reading);
	client->backlog = 0;
	later(2 * NS_PER_S);
	assert_non_null(client->session.past->gap.reading);
	/* Its client does not read, and another user asks. */
	for (unsigned i = 1; i < HISTORIES_USERS; i++)
		assert_null(ask_history(user(1000 + i), ""));
	client->backlog = 5000;
	assert_null(ask_history(user(2000), ""));
	assert_null(client->session.past->gap.reading);
	assert_true(deadline_is_set(&client->session.past->gap.again));
	config.log.enabled = false;
	later(2 * NS_PER_S);
	assert_int_equal(client->session.past->gap.to, 0);
	assert_int_equal(host.session.past->gap.to, 0);
	history_forget_ack(&user(3000)->session);
}

#define history_test(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		history_test(what_is_asked_for_comes_in_batches_and_the_answer_counts_it),
		history_test(times_are_texts_or_numbers),
		history_test(a_log_that_is_off_or_cannot_be_read_is_told),
		history_test(a_peer_that_takes_no_line_fails_its_history),
		history_test(the_host_has_four_places_and_each_user_one),
		history_test(who_does_not_read_loses_the_place_to_another_user),
		history_test(a_peer_that_is_gone_has_its_histories_ended),
		history_test(the_first_ack_of_a_session_has_the_gap_offered),
		history_test(a_long_gap_is_offered_piece_by_piece),
		history_test(samples_that_are_not_in_the_log_yet_are_offered_later),
		history_test(a_failure_is_told_to_the_host_once_and_tried_again_less_and_less_often),
		history_test(a_gap_without_a_place_or_a_log_waits_or_ends),
	};

	return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
