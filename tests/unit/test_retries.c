/* SPDX-License-Identifier: MIT */
/* Further tries of what failed, and actions that are done as parts of another one (frames). */
#include "tests/commands_fixture.h"

#include "agent/command/admission.h"

#define TWICE ",\"timeout\":100,\"retries\":2"

/* ------------------------------------------------------------------------------------------------- which, and when */

static void only_what_may_pass_is_tried_again(void **state)
{
	static const struct {
		enum error_code code;
		const char *reason;
		bool helps;
	} cases[] = {
		{ CODE_COMMAND_FAILED, NULL, true },	  { CODE_COMMAND_FAILED, "lock_busy", true },
		{ CODE_INTERNAL, "lock_busy", true },	  { CODE_INTERNAL, "resource", true },
		{ CODE_INTERNAL, "lost", false },	  { CODE_INTERNAL, NULL, false },
		{ CODE_INVALID_PARAMETERS, NULL, false }, { CODE_INVALID_MESSAGE, NULL, false },
		{ CODE_POLICY_DENIED, NULL, false },	  { CODE_PERMISSION_DENIED, NULL, false },
		{ CODE_NOT_FOUND, "not_found", false },	  { CODE_COMMAND_TIMEOUT, NULL, false },
		{ CODE_COMMAND_TIMEOUT, "stuck", false }, { CODE_CANCELLED, NULL, false },
		{ CODE_SHUTTING_DOWN, NULL, false },	  { CODE_UNSUPPORTED_PLATFORM, NULL, false },
		{ CODE_TOO_LARGE, "too_large", false },	  { CODE_NONE, NULL, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(retry_helps(cases[i].code, cases[i].reason), cases[i].helps);
}

static void waits_grow_with_jitter_up_to_a_limit(void **state)
{
	uint64_t before = 0;

	(void)state;
	assert_int_equal(retry_delay_ns(2, NULL, 0), 200 * NS_PER_MS);
	assert_int_equal(retry_delay_ns(2, "lock_busy", 0), NS_PER_S);
	assert_int_equal(retry_delay_ns(3, NULL, 0), 400 * NS_PER_MS);
	assert_int_equal(retry_delay_ns(11, NULL, 0), 15 * NS_PER_S);
	for (unsigned attempt = 2; attempt < 40; attempt++) {
		uint64_t least = retry_delay_ns(attempt, NULL, 0), most = retry_delay_ns(attempt, NULL, 255);

		assert_true(least >= before && most > least && most <= least + least / 4);
		assert_true(most < 19 * NS_PER_S);
		before = least;
	}
}

/* ------------------------------------------------------------------------------------------------------------ tries */

static void a_failure_is_told_when_all_tries_have_failed(void **state)
{
	(void)state;
	ask_with(&host, "Fail", "a", TWICE);
	later(10 * NS_PER_S);
	answered(&host, "a", "COMMAND_FAILED");
	answered(&host, "a", "\"attempts\":3");
	assert_int_equal(seen.begun, 3);
	assert_int_equal(seen.work_freed, 3);
	assert_int_equal(commands.stats.retried, 2);
}

static void a_later_try_that_succeeds_is_the_answer(void **state)
{
	(void)state;
	ask_with(&host, "Program", "a", TWICE);
	fail_with("a", CODE_INTERNAL, "resource");
	later(250 * NS_PER_MS);
	assert_true(runs("a"));
	finish("a");
	answered(&host, "a", "\"success\":true");
	answered(&host, "a", "\"attempts\":2");
}

static void one_try_is_not_counted_in_the_answer(void **state)
{
	(void)state;
	ask_with(&host, "Control", "a", TWICE);
	finish("a");
	assert_null(strstr(host.lines[0], "attempts"));
}

static void without_retries_the_first_failure_is_told(void **state)
{
	(void)state;
	ask(&host, "Fail", "a");
	answered(&host, "a", "COMMAND_FAILED");
}

static void what_would_fail_again_is_told_at_once(void **state)
{
	(void)state;
	ask_with(&host, "Control", "a", TWICE);
	fail_with("a", CODE_NOT_FOUND, "not_found");
	answered(&host, "a", "NOT_FOUND");
}

static void a_slot_is_given_back_while_a_try_pauses(void **state)
{
	(void)state;
	set("commands.max_concurrent=1");
	ask_with(&host, "Program", "a", TWICE);
	ask(&host, "Program", "b");
	fail_with("a", CODE_COMMAND_FAILED, NULL);
	turn();
	assert_true(find("a")->state == COMMAND_PAUSING && runs("b"));
	later(NS_PER_S);
	assert_true(is_queued("a"));
	finish("b");
	turn();
	assert_true(runs("a"));
	assert_int_equal(find("a")->attempts, 2);
}

static void a_pause_holds_up_nobody_of_those_that_wait(void **state)
{
	(void)state;
	ask_with(user(1000), "LookProgram", "a", TWICE);
	turn();
	fail_with("a", CODE_COMMAND_FAILED, NULL);
	ask(user(1001), "Look", "b");
	turn();
	assert_true(runs("b"));
	/* It overstays nobody who pauses. */
	later(NS_PER_S);
	finish("b");
	turn();
	assert_true(runs("a"));
}

static void no_try_begins_when_it_would_soon_be_ended(void **state)
{
	(void)state;
	ask_with(&host, "Program", "a", ",\"timeout\":10,\"retries\":2");
	later(7 * NS_PER_S - 200 * NS_PER_MS);
	fail_with("a", CODE_COMMAND_FAILED, NULL);
	answered(&host, "a", "COMMAND_FAILED");
	ask_with(&host, "Program", "b", ",\"timeout\":10,\"retries\":2");
	later(7 * NS_PER_S - 300 * NS_PER_MS);
	fail_with("b", CODE_COMMAND_FAILED, NULL);
	later(250 * NS_PER_MS);
	assert_true(runs("b"));
}

static void all_tries_have_one_deadline(void **state)
{
	uint64_t deadline_ns;

	(void)state;
	ask_with(&host, "Program", "a", TWICE);
	deadline_ns = find("a")->deadline_ns;
	fail_with("a", CODE_COMMAND_FAILED, NULL);
	later(NS_PER_S);
	assert_int_equal(find("a")->deadline_ns, deadline_ns);
	/* What waits again for its slot has it too. */
	set("commands.max_concurrent=1");
	ask(&host, "Program", "b");
	fail_with("a", CODE_COMMAND_FAILED, NULL);
	later(NS_PER_S);
	assert_true(is_queued("a"));
	later(100 * NS_PER_S);
	answered(&host, "a", "COMMAND_TIMEOUT");
	answered(&host, "a", "\"attempts\":2");
}

static void what_was_cancelled_is_not_tried_again(void **state)
{
	(void)state;
	ask_with(&host, "Program", "a", TWICE);
	cancel(&host, "c", "a");
	fail_with("a", CODE_COMMAND_FAILED, NULL);
	answered(&host, "a", "COMMAND_FAILED");
}

static void a_pausing_command_is_cancelled_at_once(void **state)
{
	(void)state;
	ask_with(&host, "Fail", "a", TWICE);
	turn();
	cancel(&host, "c", "a");
	answered(&host, "a", "CANCELLED");
	later(NS_PER_S);
	assert_int_equal(seen.begun, 1);
}

static void a_cancel_in_the_turn_of_the_failure_ends_the_tries(void **state)
{
	(void)state;
	ask_with(&host, "Program", "a", TWICE);
	ask_with(&host, "Control", "b", TWICE);
	fail_with("a", CODE_COMMAND_FAILED, NULL);
	fail_with("b", CODE_COMMAND_FAILED, NULL);
	command_cancel(find("a"), "cancelled");
	command_cancel(find("b"), "cancelled");
	turn();
	answered(&host, "a", "CANCELLED");
	answered(&host, "b", "CANCELLED");
	assert_null(commands.first);
}

static void an_agent_that_stops_tries_nothing_again(void **state)
{
	(void)state;
	ask_with(&host, "Program", "a", TWICE);
	ask_with(&host, "Fail", "b", TWICE);
	turn();
	commands_close(&commands);
	answered(&host, "b", "SHUTTING_DOWN");
	fail_with("a", CODE_COMMAND_FAILED, NULL);
	answered(&host, "a", "COMMAND_FAILED");
}

static void a_failure_in_the_turn_of_the_stop_is_still_answered(void **state)
{
	(void)state;
	ask_with(&host, "Program", "a", TWICE);
	fail_with("a", CODE_COMMAND_FAILED, NULL);
	commands_close(&commands);
	commands_kill(&commands);
	turn();
	answered(&host, "a", "SHUTTING_DOWN");
	assert_true(commands_idle(&commands));
}

static void a_question_without_a_slot_is_not_tried_again(void **state)
{
	(void)state;
	ask_with(&host, "Call", "a", TWICE);
	fail_with("a", CODE_COMMAND_FAILED, NULL);
	answered(&host, "a", "COMMAND_FAILED");
}

/* ----------------------------------------------------------------------------------------------------------- frames */

/* Takes over the answers of `parts` parts, and then lets one through. */
struct parts {
	struct command_frame frame;
	unsigned left, gone_on, seen_answers, freed;
	unsigned freed_work; /* when it went on last */
	bool with_program;
};
static struct parts parts;

static bool on_part_answer(struct command *command, struct response *response)
{
	parts.seen_answers++;
	if (parts.left == 0 || command->cancelled) {
		response->reason = "framed";
		return false;
	}
	parts.left--;
	return true;
}

static void on_part_over(struct command *command)
{
	parts.gone_on++;
	parts.freed_work = seen.work_freed;
	if (parts.with_program)
		run_program(command);
	else
		run_async(command);
}

static void free_parts(struct command_frame *frame)
{
	assert_ptr_equal(frame, &parts.frame);
	parts.freed++;
}

/* A command whose frame takes over so many answers. */
static void ask_framed(const char *id, unsigned count)
{
	ask_with(&host, "Program", id, ",\"timeout\":10");
	parts = (struct parts){ .frame = { .answer = on_part_answer, .go_on = on_part_over, .free = free_parts },
				.left = count };
	find(id)->frame = &parts.frame;
}

static void a_frame_sees_the_answer_before_it_goes_out(void **state)
{
	(void)state;
	ask_framed("a", 0);
	fail_with("a", CODE_COMMAND_FAILED, NULL);
	answered(&host, "a", "\"reason\":\"framed\"");
	assert_int_equal(parts.freed, 0);
	turn();
	assert_int_equal(parts.freed, 1);
}

static void a_frame_that_takes_an_answer_goes_on_when_nothing_of_the_part_is_left(void **state)
{
	(void)state;
	ask_framed("a", 1);
	finish("a");
	finish("a"); /* of the part there is one answer too */
	assert_int_equal(parts.gone_on, 0);
	assert_int_equal(seen.work_freed, 0);
	turn();
	assert_int_equal(parts.gone_on, 1);
	assert_int_equal(parts.freed_work, 1);
	assert_int_equal(host.count, 0);
	assert_true(runs("a"));
	finish("a");
	answered(&host, "a", "\"success\":true");
	assert_int_equal(parts.seen_answers, 2);
}

static void a_part_may_be_over_without_an_answer(void **state)
{
	(void)state;
	ask_framed("a", 0);
	job_dead(find("a"));
	command_end_part(find("a"));
	turn();
	assert_int_equal(parts.gone_on, 1);
	assert_int_equal(parts.seen_answers, 0);
}

static void a_part_that_goes_on_by_itself_has_the_deadline_of_the_command(void **state)
{
	(void)state;
	ask_framed("a", 1);
	later(4 * NS_PER_S);
	finish("a");
	later(5 * NS_PER_S);
	answered(&host, "a", "COMMAND_TIMEOUT");
	answered(&host, "a", "framed");
}

static void a_part_with_a_program_leaves_its_deadline_to_the_runner(void **state)
{
	(void)state;
	ask_framed("a", 1);
	parts.with_program = true;
	finish("a");
	later(100 * NS_PER_S);
	assert_true(runs("a"));
}

static void no_part_goes_on_when_the_agent_stops(void **state)
{
	(void)state;
	ask_framed("a", 9);
	finish("a");
	turn();
	commands_close(&commands);
	commands_kill(&commands);
	turn();
	answered(&host, "a", "SHUTTING_DOWN");
	assert_int_equal(parts.gone_on, 1);
	assert_true(commands_idle(&commands));
}

static void a_part_that_was_over_in_the_turn_of_the_stop_is_the_last(void **state)
{
	(void)state;
	ask_framed("a", 9);
	finish("a");
	commands_close(&commands);
	commands_kill(&commands);
	turn();
	answered(&host, "a", "SHUTTING_DOWN");
	assert_true(commands_idle(&commands));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_may_pass_is_tried_again),
		cmocka_unit_test(waits_grow_with_jitter_up_to_a_limit),
		commands_test(a_failure_is_told_when_all_tries_have_failed),
		commands_test(a_later_try_that_succeeds_is_the_answer),
		commands_test(one_try_is_not_counted_in_the_answer),
		commands_test(without_retries_the_first_failure_is_told),
		commands_test(what_would_fail_again_is_told_at_once),
		commands_test(a_slot_is_given_back_while_a_try_pauses),
		commands_test(a_pause_holds_up_nobody_of_those_that_wait),
		commands_test(no_try_begins_when_it_would_soon_be_ended),
		commands_test(all_tries_have_one_deadline),
		commands_test(what_was_cancelled_is_not_tried_again),
		commands_test(a_pausing_command_is_cancelled_at_once),
		commands_test(a_cancel_in_the_turn_of_the_failure_ends_the_tries),
		commands_test(an_agent_that_stops_tries_nothing_again),
		commands_test(a_failure_in_the_turn_of_the_stop_is_still_answered),
		commands_test(a_question_without_a_slot_is_not_tried_again),
		commands_test(a_frame_sees_the_answer_before_it_goes_out),
		commands_test(a_frame_that_takes_an_answer_goes_on_when_nothing_of_the_part_is_left),
		commands_test(a_part_may_be_over_without_an_answer),
		commands_test(a_part_that_goes_on_by_itself_has_the_deadline_of_the_command),
		commands_test(a_part_with_a_program_leaves_its_deadline_to_the_runner),
		commands_test(no_part_goes_on_when_the_agent_stops),
		commands_test(a_part_that_was_over_in_the_turn_of_the_stop_is_the_last),
	};

	return cmocka_run_group_tests_name("retries", tests, NULL, NULL);
}
