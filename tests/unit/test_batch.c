/* SPDX-License-Identifier: MIT */
/* Batches: each member answered as if it had come alone, the batch last, with how they ended in the order given. */
#include "tests/commands_fixture.h"

#define MEMBER(action, id) "{\"type\":\"SafeCommand\",\"id\":\"" id "\",\"command_type\":{\"action\":\"" action "\"}}"
#define STOP		   ",\"on_error\":\"stop\""

static void ask_batch(struct peer *peer, const char *members, const char *more)
{
	say(peer, "{\"type\":\"CommandBatch\",\"id\":\"batch\",\"commands\":[%s]%s}", members, more);
}

/* The line that answers the id comes in this place (from 0) of all that the host was sent. */
static void assert_place(const char *id, unsigned place)
{
	assert_true(place < host.count);
	if (!line_is(host.lines[place], "response", id))
		fail_msg("line %u is not of %s: %s", place, id, host.lines[place]);
}

#define RESULT(id, success, code) "{\"id\":\"" id "\",\"success\":" success ",\"error_code\":" code "}"

static void members_are_answered_as_they_end_and_the_batch_last_in_the_order_given(void **state)
{
	(void)state;
	ask_batch(&host, MEMBER("Control", "a") "," MEMBER("Ask", "b") "," MEMBER("Program", "c"), "");
	assert_true(runs("a") && runs("c"));
	assert_place("b", 0);
	finish("c");
	turn();
	assert_int_equal(answers(&host, "batch"), 0);
	finish("a");
	turn();
	assert_place("c", 1);
	assert_place("a", 2);
	assert_place("batch", 3);
	answered(&host, "batch",
		 "\"results\":[" RESULT("a", "true", "null") "," RESULT("b", "true", "null") "," RESULT("c", "true",
													"null") "]");
	answered(&host, "batch", "\"success\":true");
	assert_null(commands.first);
}

static void a_batch_of_what_is_answered_at_once_is_answered_in_the_same_turn(void **state)
{
	(void)state;
	ask_batch(&host, MEMBER("Ask", "a") "," MEMBER("Nothing", "b"), "");
	turn();
	answered(&host, "batch", RESULT("a", "true", "null") "," RESULT("b", "false", "\"UNKNOWN_COMMAND\""));
	answered(&host, "batch", "1 of 2 commands did not succeed");
	answered(&host, "batch", "COMMAND_FAILED");
}

static void members_share_the_slots_and_the_queue_of_the_host(void **state)
{
	char members[2048] = "";

	(void)state;
	for (unsigned i = 0; i < 9; i++)
		append(members, sizeof(members),
		       "%s{\"type\":\"SafeCommand\",\"id\":\"c%u\",\"command_type\":{\"action\":\"Control\"}}",
		       i ? "," : "", i);
	ask_batch(&host, members, "");
	assert_int_equal(commands.host.running, 4);
	assert_int_equal(commands.host.queued, 4);
	answered(&host, "c8", "QUEUE_FULL");
	assert_int_equal(answers(&host, "batch"), 0);
}

static void a_failure_does_not_stop_the_others_unless_asked(void **state)
{
	(void)state;
	ask_batch(&host, MEMBER("Fail", "a") "," MEMBER("Control", "b"), ",\"on_error\":\"continue\"");
	turn();
	assert_true(runs("b"));
	finish("b");
	turn();
	answered(&host, "batch", RESULT("a", "false", "\"COMMAND_FAILED\"") "," RESULT("b", "true", "null"));
}

static void with_stop_the_first_failure_skips_what_has_not_been_started(void **state)
{
	(void)state;
	ask_batch(&host, MEMBER("Nothing", "a") "," MEMBER("Control", "b") "," MEMBER("Ask", "c"), STOP);
	turn();
	assert_int_equal(seen.begun, 0);
	answered(&host, "b", "CANCELLED");
	answered(&host, "b", "an earlier command of its batch failed");
	answered(&host, "c", "CANCELLED");
	answered(&host, "batch",
		 RESULT("a", "false", "\"UNKNOWN_COMMAND\"") "," RESULT("b", "false", "\"CANCELLED\"") "," RESULT(
			 "c", "false", "\"CANCELLED\""));
}

static void with_stop_a_member_that_cannot_be_read_skips_the_others(void **state)
{
	(void)state;
	ask_batch(&host, MEMBER("Control", "a") ",7," MEMBER("Control", "b"), STOP);
	turn();
	assert_int_equal(seen.begun, 1);
	answered(&host, "a", "CANCELLED");
	answered(&host, "b", "an earlier command of its batch failed");
	answered(&host, "batch", "3 of 3 commands did not succeed");
}

static void with_stop_a_failure_ends_what_runs_and_what_waits(void **state)
{
	(void)state;
	set("commands.max_concurrent=2");
	ask_batch(&host, MEMBER("Program", "a") "," MEMBER("Program", "b") "," MEMBER("Program", "c"), STOP);
	assert_true(is_queued("c"));
	fail_with("a", CODE_COMMAND_FAILED, NULL);
	turn();
	answered(&host, "c", "CANCELLED");
	assert_true(find("b")->job->cancelled);
	assert_int_equal(answers(&host, "batch"), 0);
	fail_with("b", CODE_CANCELLED, NULL);
	turn();
	answered(&host, "batch", "3 of 3 commands did not succeed");
	answered(&host, "batch", "\"error_code\":\"COMMAND_FAILED\"");
}

static void a_cancelled_batch_is_answered_when_all_its_members_have_ended(void **state)
{
	(void)state;
	ask_batch(&host, MEMBER("Program", "a") "," MEMBER("Call", "b") "," MEMBER("Ask", "c"), "");
	cancel(&host, "x", "batch");
	answered(&host, "x", "\"success\":true");
	answered(&host, "b", "CANCELLED");
	turn();
	assert_int_equal(answers(&host, "batch"), 0);
	fail_with("a", CODE_CANCELLED, NULL);
	turn();
	answered(&host, "batch", "2 of 3 commands did not succeed\",\"error_code\":\"CANCELLED\"");
	answered(&host, "batch", RESULT("c", "true", "null"));
}

static void a_member_may_be_cancelled_alone(void **state)
{
	(void)state;
	ask_batch(&host, MEMBER("Control", "a") "," MEMBER("Control", "b"), "");
	cancel(&host, "x", "a");
	turn();
	assert_true(runs("b"));
	finish("b");
	turn();
	answered(&host, "batch", RESULT("a", "false", "\"CANCELLED\"") "," RESULT("b", "true", "null"));
}

static void a_member_that_is_tried_again_is_waited_for(void **state)
{
	(void)state;
	ask_batch(
		&host,
		"{\"type\":\"SafeCommand\",\"id\":\"a\",\"retries\":1,\"command_type\":{\"action\":\"Fail\"}}," MEMBER(
			"Ask", "b"),
		"");
	turn();
	assert_int_equal(answers(&host, "batch"), 0);
	later(NS_PER_S);
	answered(&host, "a", "\"attempts\":2");
	answered(&host, "batch", RESULT("a", "false", "\"COMMAND_FAILED\""));
}

/* --------------------------------------------------------------------------------------------------------- deadlines
 */

static void a_batch_waits_a_second_longer_than_the_last_of_its_members(void **state)
{
	(void)state;
	ask_batch(&host, MEMBER("Program", "a") "," MEMBER("Control", "b"), ""); /* 100 s, and 30 s */
	later(99 * NS_PER_S + NS_PER_S - 1);
	answered(&host, "b", "COMMAND_TIMEOUT");
	assert_int_equal(answers(&host, "batch"), 0);
	later(1);
	answered(&host, "batch", "COMMAND_TIMEOUT");
}

static void members_outlive_a_batch_that_was_answered_at_its_deadline(void **state)
{
	(void)state;
	ask_batch(&host, MEMBER("Program", "a"), "");
	later(200 * NS_PER_S);
	answered(&host, "batch", "COMMAND_TIMEOUT");
	assert_true(runs("a") && !find("a")->batch);
	finish("a");
	turn();
	answered(&host, "a", "\"success\":true");
	assert_int_equal(answers(&host, "batch"), 1);
}

static void a_member_that_ends_in_the_turn_of_the_batchs_deadline_is_no_second_answer(void **state)
{
	(void)state;
	ask_batch(&host, MEMBER("Program", "a"), "");
	command_on_deadline(find("batch"));
	finish("a");
	turn();
	assert_int_equal(answers(&host, "batch") + answers(&host, "a"), 2);
	assert_null(commands.first);
}

/* -------------------------------------------------------------------------------------------------------------- shape
 */

static void a_batch_has_one_to_a_hundred_members(void **state)
{
	char members[2 * BATCH_MEMBERS_MAX + 1] = "1";

	(void)state;
	ask_batch(&host, "", "");
	answered(&host, "batch", "INVALID_PARAMETERS");
	answered(&host, "batch", "1 to 100");
	turn();
	for (unsigned i = 1; i < BATCH_MEMBERS_MAX; i++)
		append(members, sizeof(members), ",1");
	say(&host, "{\"type\":\"CommandBatch\",\"id\":\"most\",\"commands\":[%s]}", members);
	answered(&host, "most", "100 of 100 commands");
	say(&host, "{\"type\":\"CommandBatch\",\"id\":\"more\",\"commands\":[%s,1]}", members);
	answered(&host, "more", "INVALID_PARAMETERS");
}

static void a_member_that_cannot_be_read_has_its_answer_and_its_place(void **state)
{
	(void)state;
	ask_batch(&host,
		  "{\"type\":\"SafeCommand\",\"id\":\"a\"},7,{\"type\":\"SafeCommand\",\"command_type\":{\"action\":"
		  "\"Ask\"}}," MEMBER("Ask", "b"),
		  "");
	turn();
	answered(&host, "a", "missing_field");
	answered(&host, "batch",
		 RESULT("a", "false", "\"INVALID_MESSAGE\"") ",{\"id\":null,\"success\":false,\"error_code\":");
	answered(&host, "batch", "3 of 4 commands");
	assert_int_equal(host.count, 5); /* two of them `error`s */
	assert_int_equal(host.session.bad_lines, 0);
}

static void a_batch_holds_commands_and_no_other_messages(void **state)
{
	(void)state;
	ask_batch(&host,
		  "{\"type\":\"CommandBatch\",\"id\":\"a\",\"commands\":[]},{\"type\":\"CancelCommand\",\"id\":\"b\","
		  "\"target_id\":\"batch\"},{\"type\":\"Status\",\"id\":\"c\"},{\"type\":\"UnsafeCommand\",\"id\":"
		  "\"d\",\"raw_command\":\"true\"}",
		  "");
	answered(&host, "a", "INVALID_PARAMETERS");
	answered(&host, "b", "SafeCommand, UnsafeCommand and Status only");
	answered(&host, "c", "\"success\":true");
	assert_true(runs("d"));
}

static void an_id_that_is_under_way_is_a_failed_member(void **state)
{
	const char *text;

	(void)state;
	ask_batch(&host, MEMBER("Control", "a") "," MEMBER("Ask", "a") "," MEMBER("Ask", "batch"), "");
	finish("a");
	turn();
	assert_int_equal(lines_with(&host, "error", "a", &text), 1);
	answered(&host, "batch",
		 RESULT("a", "true", "null") "," RESULT("a", "false", "\"DUPLICATE_ID\"") "," RESULT(
			 "batch", "false", "\"DUPLICATE_ID\""));
}

/* -------------------------------------------------------------------------------------------------------- its asker */

static void a_batch_whose_asker_has_gone_goes_on_and_is_told_to_nobody(void **state)
{
	(void)state;
	ask_batch(&host, MEMBER("Control", "a") "," MEMBER("Control", "b"), "");
	session_border(&host.session, UINT64_MAX);
	finish("a");
	finish("b");
	turn();
	assert_int_equal(host.count, 0);
	assert_int_equal(commands.stats.unclaimed, 3);
	assert_null(commands.first);
}

static void a_batch_at_the_stop_is_answered_at_once_and_its_programs_when_they_are_dead(void **state)
{
	(void)state;
	set("commands.max_concurrent=1");
	ask_batch(&host, MEMBER("Program", "a") "," MEMBER("Program", "b"), "");
	commands_close(&commands);
	turn();
	answered(&host, "b", "SHUTTING_DOWN");
	answered(&host, "batch", "SHUTTING_DOWN");
	finish("a");
	turn();
	answered(&host, "a", "\"success\":true");
	assert_true(commands_idle(&commands));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		commands_test(members_are_answered_as_they_end_and_the_batch_last_in_the_order_given),
		commands_test(a_batch_of_what_is_answered_at_once_is_answered_in_the_same_turn),
		commands_test(members_share_the_slots_and_the_queue_of_the_host),
		commands_test(a_failure_does_not_stop_the_others_unless_asked),
		commands_test(with_stop_the_first_failure_skips_what_has_not_been_started),
		commands_test(with_stop_a_member_that_cannot_be_read_skips_the_others),
		commands_test(with_stop_a_failure_ends_what_runs_and_what_waits),
		commands_test(a_cancelled_batch_is_answered_when_all_its_members_have_ended),
		commands_test(a_member_may_be_cancelled_alone),
		commands_test(a_member_that_is_tried_again_is_waited_for),
		commands_test(a_batch_waits_a_second_longer_than_the_last_of_its_members),
		commands_test(members_outlive_a_batch_that_was_answered_at_its_deadline),
		commands_test(a_member_that_ends_in_the_turn_of_the_batchs_deadline_is_no_second_answer),
		commands_test(a_batch_has_one_to_a_hundred_members),
		commands_test(a_member_that_cannot_be_read_has_its_answer_and_its_place),
		commands_test(a_batch_holds_commands_and_no_other_messages),
		commands_test(an_id_that_is_under_way_is_a_failed_member),
		commands_test(a_batch_whose_asker_has_gone_goes_on_and_is_told_to_nobody),
		commands_test(a_batch_at_the_stop_is_answered_at_once_and_its_programs_when_they_are_dead),
	};

	return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
