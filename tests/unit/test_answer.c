/* SPDX-License-Identifier: MIT */
/* The one answer of a command: by its action, its deadline, a cancel or a stop; what waits, and what is freed when. */
#include "tests/commands_fixture.h"

static void deadlines_are_due_before_the_host_gives_up(void **state)
{
	static const struct {
		uint32_t timeout_s;
		uint64_t deadline_ms, term_ms;
	} cases[] = {
		{ 1, 750, 550 },   { 2, 1500, 1100 },  { 4, 3000, 2200 },
		{ 5, 4000, 3000 }, { 10, 9000, 7000 }, { 30, 29000, 27000 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t term_ns, deadline_ns, received_ns = 77 * NS_PER_S;

		command_deadlines(received_ns, cases[i].timeout_s, &term_ns, &deadline_ns);
		assert_int_equal((deadline_ns - received_ns) / NS_PER_MS, cases[i].deadline_ms);
		assert_int_equal((term_ns - received_ns) / NS_PER_MS, cases[i].term_ms);
	}
}

static void the_longest_timeout_does_not_overflow(void **state)
{
	uint64_t term_ns, deadline_ns;

	(void)state;
	command_deadlines(0, MESSAGE_TIMEOUT_MAX_S, &term_ns, &deadline_ns);
	assert_int_equal(deadline_ns, (MESSAGE_TIMEOUT_MAX_S - 1) * NS_PER_S);
}

static uint64_t timeout_of(const char *id)
{
	const struct command *command = find(id);

	return (command->deadline_ns - command->received_ns) / NS_PER_MS;
}

static void a_timeout_is_the_hosts_or_the_actions_or_the_owners(void **state)
{
	(void)state;
	set("commands.default_timeout_s=40");
	ask(&host, "Control", "owner");
	ask(&host, "Program", "action");
	ask_with(&host, "Program", "host", ",\"timeout\":10");
	assert_int_equal(timeout_of("owner"), 39000);
	assert_int_equal(timeout_of("action"), 99000);
	assert_int_equal(timeout_of("host"), 9000);
}

/* ----------------------------------------------------------------------------------------------------- exactly one */

static void the_second_answer_of_a_turn_is_none(void **state)
{
	(void)state;
	ask(&host, "Control", "a");
	command_succeed(find("a"), NULL, NULL);
	assert_null(find("a"));
	command_fail(commands.first, CODE_INTERNAL, NULL, "too late");
	command_succeed(commands.first, NULL, NULL);
	command_leave(commands.first);
	command_end_part(commands.first);
	command_on_deadline(commands.first);
	command_settle(commands.first);
	turn();
	answered(&host, "a", "\"success\":true");
	assert_int_equal(commands.stats.answered, 1);
	assert_null(commands.first);
}

static void what_an_action_holds_is_freed_once_and_not_by_those_who_answered(void **state)
{
	(void)state;
	ask(&host, "Control", "a");
	finish("a");
	assert_int_equal(seen.work_freed, 0);
	assert_int_equal(commands_running(&commands), 0); /* but its slot is free */
	turn();
	assert_int_equal(seen.work_freed, 1);
	assert_null(commands.first);
}

static void many_answered_in_one_turn_are_all_freed_in_it(void **state)
{
	(void)state;
	ask(&host, "Control", "a");
	ask(&host, "Program", "b");
	ask(&host, "Call", "c");
	finish("b");
	finish("a");
	fail_with("c", CODE_INTERNAL, NULL);
	turn();
	assert_null(commands.first);
	assert_int_equal(seen.work_freed, 3);
	assert_int_equal(host.count, 3);
}

static void the_time_it_took_is_in_the_answer(void **state)
{
	(void)state;
	ask(&host, "Control", "a");
	later(1234 * NS_PER_MS);
	finish("a");
	answered(&host, "a", "\"execution_time_ms\":1234");
}

static void emit_too_much(struct sink *out, const char *key, const void *arg)
{
	(void)arg;
	sink_object_end(out); /* none was begun */
	sink_null(out, key);
}

static void an_answer_that_cannot_be_written_is_still_one(void **state)
{
	(void)state;
	ask(&host, "Control", "a");
	command_succeed(find("a"), emit_too_much, NULL);
	answered(&host, "a", "INTERNAL");
	answered(&host, "a", "could not be encoded");
}

static void an_answer_that_the_peer_does_not_take_is_counted_and_not_tried_again(void **state)
{
	(void)state;
	ask(&host, "Control", "a");
	host.refuses = true;
	finish("a");
	turn();
	assert_int_equal(host.session.answers_lost, 1);
	assert_null(commands.first);
	assert_int_equal(commands.stats.answered, 1);
}

/* -------------------------------------------------------------------------------------------------------- deadlines */

static void a_command_without_a_program_is_answered_at_its_deadline(void **state)
{
	static const char *const actions[] = { "Control", "Call", "CallBus" };

	(void)state;
	seen.bus_is_missing = true;
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		ask_with(&host, actions[i], actions[i], ",\"timeout\":10");
	later(9 * NS_PER_S - 1);
	assert_int_equal(host.count, 0);
	later(1);
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		answered(&host, actions[i], "COMMAND_TIMEOUT");
	assert_null(commands.first);
	assert_int_equal(commands.stats.timed_out, 3);
}

static void an_answer_after_the_deadline_in_the_same_turn_is_none(void **state)
{
	struct command *command;

	(void)state;
	ask_with(&host, "Control", "a", ",\"timeout\":10");
	command = find("a");
	command_on_deadline(command);
	command_succeed(command, NULL, NULL);
	turn();
	answered(&host, "a", "COMMAND_TIMEOUT");
}

static void a_deadline_after_the_answer_in_the_same_turn_is_none(void **state)
{
	(void)state;
	ask_with(&host, "Control", "a", ",\"timeout\":10");
	later(9 * NS_PER_S - 1);
	finish("a");
	later(NS_PER_S);
	answered(&host, "a", "\"success\":true");
	assert_int_equal(fake_count, 0);
}

static void the_deadline_of_a_program_is_kept_by_its_runner(void **state)
{
	(void)state;
	ask_with(&host, "Program", "a", ",\"timeout\":10");
	later(100 * NS_PER_S);
	assert_true(runs("a"));
	fail_with("a", CODE_COMMAND_TIMEOUT, NULL);
	answered(&host, "a", "COMMAND_TIMEOUT");
}

static void what_waits_for_a_slot_at_its_deadline_was_never_started(void **state)
{
	(void)state;
	set("commands.max_concurrent=1");
	ask(&host, "Program", "a");
	ask_with(&host, "Program", "b", ",\"timeout\":10");
	later(9 * NS_PER_S);
	answered(&host, "b", "COMMAND_TIMEOUT");
	answered(&host, "b", "never started");
	assert_int_equal(seen.begun, 1);
	assert_int_equal(commands_queued(&commands), 0);
}

static void the_deadline_of_a_queued_command_counts_from_when_it_came(void **state)
{
	(void)state;
	set("commands.max_concurrent=1");
	ask(&host, "Program", "a");
	ask_with(&host, "Control", "b", ",\"timeout\":10");
	later(8 * NS_PER_S);
	finish("a");
	turn();
	assert_true(runs("b"));
	later(NS_PER_S);
	answered(&host, "b", "COMMAND_TIMEOUT");
}

static void answer_partly(struct command *command)
{
	command_succeed(command, NULL, NULL);
}

static void an_action_may_answer_with_what_it_knows_at_its_deadline(void **state)
{
	(void)state;
	ask_with(&host, "Call", "a", ",\"timeout\":10");
	find("a")->on_expired = answer_partly;
	later(9 * NS_PER_S);
	answered(&host, "a", "\"success\":true");
}

/* ----------------------------------------------------------------------------------------------------------- cancel */

static void what_has_not_begun_is_cancelled_at_once(void **state)
{
	(void)state;
	set("commands.max_concurrent=1");
	ask(&host, "Program", "a");
	ask(&host, "Program", "b");
	cancel(&host, "c", "b");
	answered(&host, "c", "\"success\":true");
	answered(&host, "b", "CANCELLED");
	assert_int_equal(commands_queued(&commands), 0);
}

static void what_goes_on_by_itself_is_cancelled_at_once(void **state)
{
	static const char *const actions[] = { "Control", "Call", "CallBus" };

	(void)state;
	seen.bus_is_missing = true;
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		ask(&host, actions[i], actions[i]);
		cancel(&host, "c", actions[i]);
		answered(&host, actions[i], "CANCELLED");
	}
	turn();
	assert_null(commands.first);
	assert_int_equal(commands.stats.cancelled, 3);
}

static void what_runs_is_killed_and_answered_when_it_is_dead(void **state)
{
	(void)state;
	ask(&host, "Program", "a");
	cancel(&host, "c", "a");
	answered(&host, "c", "\"success\":true");
	assert_true(find("a")->job->cancelled);
	assert_int_equal(find("a")->job->grace_ns, 2 * NS_PER_S);
	later(NS_PER_S);
	assert_int_equal(answers(&host, "a"), 0);
	assert_true(runs("a"));
	cancel(&host, "d", "a");
	answered(&host, "d", "\"success\":true");
	fail_with("a", CODE_CANCELLED, NULL);
	answered(&host, "a", "CANCELLED");
}

static void what_waits_for_d_bus_with_its_slot_is_cancelled_at_once(void **state)
{
	(void)state;
	seen.bus_is_missing = true;
	ask(&host, "Bus", "a");
	assert_true(runs("a"));
	assert_int_equal(seen.begun, 0);
	cancel(&host, "c", "a");
	answered(&host, "a", "CANCELLED");
	seen.bus_is_missing = false;
	commands_bus_ready(&commands);
	turn();
	assert_int_equal(seen.begun, 0);
}

static void a_command_between_two_steps_is_ended_before_its_next(void **state)
{
	(void)state;
	ask(&host, "Program", "a");
	job_dead(find("a"));
	cancel(&host, "c", "a");
	assert_int_equal(answers(&host, "a"), 0);
	assert_true(find("a")->cancelled);
	fail_with("a", CODE_CANCELLED, NULL);
}

static void what_is_finished_or_unknown_or_anothers_cannot_be_cancelled(void **state)
{
	(void)state;
	ask(&host, "Control", "a");
	ask(user(1000), "Look", "b");
	turn();
	finish("a");
	assert_null(commands_find(&commands, &host.session, "a"));
	cancel(&host, "c", "a");
	cancel(&host, "d", "b");
	cancel(&host, "e", "x");
	answered(&host, "c", "NOT_FOUND");
	answered(&host, "d", "NOT_FOUND");
	answered(&host, "e", "NOT_FOUND");
	assert_true(runs("b"));
}

/* -------------------------------------------------------------------------------------------------- what is awaited */

static void work_begins_when_d_bus_is_ready(void **state)
{
	(void)state;
	seen.bus_is_missing = true;
	ask(&host, "Bus", "a");
	ask(&host, "CallBus", "b");
	ask(&host, "Control", "c");
	assert_int_equal(seen.begun, 1);
	commands_bus_ready(&commands);
	assert_int_equal(seen.begun, 1);
	seen.bus_is_missing = false;
	commands_bus_ready(&commands);
	assert_int_equal(seen.begun, 3);
	commands_bus_ready(&commands);
	assert_int_equal(seen.begun, 3);
	finish("a");
	finish("b");
	answered(&host, "a", "\"success\":true");
	answered(&host, "b", "\"success\":true");
}

static void what_waits_for_d_bus_has_its_first_deadline(void **state)
{
	(void)state;
	seen.bus_is_missing = true;
	ask_with(&host, "Bus", "a", ",\"timeout\":10");
	ask_with(&host, "CallBus", "b", ",\"timeout\":10");
	later(5 * NS_PER_S);
	commands_bus_ready(&commands);
	later(4 * NS_PER_S);
	answered(&host, "a", "COMMAND_TIMEOUT");
	answered(&host, "b", "COMMAND_TIMEOUT");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deadlines_are_due_before_the_host_gives_up),
		cmocka_unit_test(the_longest_timeout_does_not_overflow),
		commands_test(a_timeout_is_the_hosts_or_the_actions_or_the_owners),
		commands_test(the_second_answer_of_a_turn_is_none),
		commands_test(what_an_action_holds_is_freed_once_and_not_by_those_who_answered),
		commands_test(many_answered_in_one_turn_are_all_freed_in_it),
		commands_test(the_time_it_took_is_in_the_answer),
		commands_test(an_answer_that_cannot_be_written_is_still_one),
		commands_test(an_answer_that_the_peer_does_not_take_is_counted_and_not_tried_again),
		commands_test(a_command_without_a_program_is_answered_at_its_deadline),
		commands_test(an_answer_after_the_deadline_in_the_same_turn_is_none),
		commands_test(a_deadline_after_the_answer_in_the_same_turn_is_none),
		commands_test(the_deadline_of_a_program_is_kept_by_its_runner),
		commands_test(what_waits_for_a_slot_at_its_deadline_was_never_started),
		commands_test(the_deadline_of_a_queued_command_counts_from_when_it_came),
		commands_test(an_action_may_answer_with_what_it_knows_at_its_deadline),
		commands_test(what_has_not_begun_is_cancelled_at_once),
		commands_test(what_goes_on_by_itself_is_cancelled_at_once),
		commands_test(what_runs_is_killed_and_answered_when_it_is_dead),
		commands_test(what_waits_for_d_bus_with_its_slot_is_cancelled_at_once),
		commands_test(a_command_between_two_steps_is_ended_before_its_next),
		commands_test(what_is_finished_or_unknown_or_anothers_cannot_be_cancelled),
		commands_test(work_begins_when_d_bus_is_ready),
		commands_test(what_waits_for_d_bus_has_its_first_deadline),
	};

	return cmocka_run_group_tests_name("answer", tests, NULL, NULL);
}
