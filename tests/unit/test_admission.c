/* SPDX-License-Identifier: MIT */
/* Which commands are taken, and the one answer of those that are not. */
#include "tests/commands_fixture.h"

static void a_command_that_is_taken_is_run_and_answered_to_its_asker_alone(void **state)
{
	(void)state;
	ask(&host, "Control", "a");
	assert_true(runs("a"));
	assert_int_equal(host.count, 0);
	finish("a");
	answered(&host, "a", "\"success\":true");
	answered(&host, "a", "\"command_type\":\"Control\"");
	assert_int_equal(host.count, 1);
}

static void what_is_answered_from_the_cache_is_answered_in_the_turn_it_came(void **state)
{
	(void)state;
	ask(&host, "Ask", "a");
	answered(&host, "a", "\"success\":true");
	assert_null(find("a"));
}

static void while_file_systems_are_frozen_nothing_begins_that_writes_or_starts_a_program(void **state)
{
	(void)state;
	set("commands.max_concurrent=1");
	ask(&host, "Control", "runs");
	ask(&host, "Control", "queued");
	commands_freeze(&commands, true);
	ask(&host, "Control", "a");
	answered(&host, "a", "\"error_code\":\"COMMAND_FAILED\"");
	answered(&host, "a", "\"reason\":\"frozen\"");
	ask(&host, "Program", "b");
	answered(&host, "b", "\"reason\":\"frozen\"");
	ask(&host, "Ask", "c");
	answered(&host, "c", "\"success\":true");
	/* What was taken before goes on or waits. */
	finish("runs");
	answered(&host, "runs", "\"success\":true");
	turn();
	assert_false(runs("queued"));
	commands_freeze(&commands, false);
	pass_time(&loop, NS_PER_MS);
	assert_true(runs("queued"));
	finish("queued");
	answered(&host, "queued", "\"success\":true");
}

/* ------------------------------------------------------------------------------------------------------------ shape */

static void an_action_nobody_knows_is_refused(void **state)
{
	(void)state;
	ask(&host, "Nothing", "a");
	ask(&host, "control", "b");
	ask(&host, "Control ", "c");
	answered(&host, "a", "\"error_code\":\"UNKNOWN_COMMAND\"");
	answered(&host, "a", "\"reason\":\"unknown_action\"");
	answered(&host, "b", "UNKNOWN_COMMAND");
	answered(&host, "c", "UNKNOWN_COMMAND");
	assert_int_equal(commands.stats.refused, 3);
}

static void an_action_of_another_platform_is_told_apart(void **state)
{
	(void)state;
	ask(&host, "CheckWindowsUpdates", "a");
	answered(&host, "a", "UNSUPPORTED_PLATFORM");
}

static void a_message_type_that_is_a_command_is_no_name_of_one(void **state)
{
	(void)state;
	ask(&host, "unsafe", "a");
	ask(&host, "CancelCommand", "b");
	answered(&host, "a", "UNKNOWN_COMMAND");
	answered(&host, "b", "UNKNOWN_COMMAND");
	say(&host, "{\"type\":\"UnsafeCommand\",\"id\":\"c\",\"raw_command\":\"true\"}");
	assert_true(runs("c"));
	finish("c");
	answered(&host, "c", "\"command_type\":\"unsafe\"");
}

/* ----------------------------------------------------------------------------------------------------------- policy */

static void what_the_owner_denies_is_refused_to_the_host(void **state)
{
	(void)state;
	set("commands.deny=Control, packages");
	ask(&host, "Control", "a");
	ask(&host, "Package", "b");
	ask(&host, "Program", "c");
	answered(&host, "a", "POLICY_DENIED");
	answered(&host, "b", "POLICY_DENIED");
	assert_true(runs("c"));
	set("commands.allow=observe");
	ask(&host, "Power", "d");
	answered(&host, "d", "POLICY_DENIED");
	set("commands.enabled=no");
	ask(&host, "Ask", "e");
	answered(&host, "e", "POLICY_DENIED");
}

static void programs_of_the_host_need_a_grant_of_their_own(void **state)
{
	(void)state;
	set("commands.allow_unsafe=no");
	say(&host, "{\"type\":\"UnsafeCommand\",\"id\":\"a\",\"raw_command\":\"true\"}");
	answered(&host, "a", "POLICY_DENIED");
	answered(&host, "a", "\"command_type\":\"unsafe\"");
}

static void what_only_touches_the_senders_own_needs_no_grant(void **state)
{
	(void)state;
	set("commands.enabled=no");
	cancel(&host, "a", "b");
	answered(&host, "a", "NOT_FOUND");
}

static void a_local_client_may_look_and_no_more(void **state)
{
	struct peer *client = user(1000);

	(void)state;
	set("commands.enabled=no"); /* that is about the host */
	ask(client, "Ask", "a");
	answered(client, "a", "\"success\":true");
	ask(client, "Look", "b");
	turn();
	assert_true(runs("b"));
	ask(client, "Control", "c");
	answered(client, "c", "POLICY_DENIED");
	ask(user(0), "Control", "d");
	answered(user(0), "d", "POLICY_DENIED");
	say(client, "{\"type\":\"UnsafeCommand\",\"id\":\"e\",\"raw_command\":\"true\"}");
	answered(client, "e", "POLICY_DENIED");
}

static void metrics_are_the_one_look_that_the_owner_can_deny_to_local_clients(void **state)
{
	(void)state;
	assert_true(commands_permit(&commands, &user(1000)->session, "Metrics", GROUP_OBSERVE));
	set("commands.deny=Metrics, Ask");
	assert_false(commands_permit(&commands, &user(1000)->session, "Metrics", GROUP_OBSERVE));
	assert_true(commands_permit(&commands, &user(1000)->session, "Ask", GROUP_OBSERVE));
	assert_false(commands_permit(&commands, &host.session, "Ask", GROUP_OBSERVE));
}

static void what_only_observes_by_its_parameters_is_judged_so_and_takes_no_slot(void **state)
{
	(void)state;
	set("commands.allow=observe");
	ask(&host, "Either", "a");
	answered(&host, "a", "POLICY_DENIED");
	ask_with(&host, "Either", "b", ",\"params\":{\"look\":true}");
	assert_int_equal(find("b")->state, COMMAND_WAITING);
	assert_int_equal(commands_running(&commands), 0);
}

static void what_another_name_stands_for_is_judged_by_who_asks(void **state)
{
	const struct action *action = NULL;

	(void)state;
	set("commands.allow=observe, Program");
	assert_int_equal(action_find(&table, "Control", &action), ACTION_KNOWN);
	ask(&host, "Program", "a");
	assert_false(command_permits(find("a"), action));
	set("commands.allow=observe, control");
	assert_true(command_permits(find("a"), action));
	/* One whose asker has gone is still the host's. */
	session_border(&host.session, UINT64_MAX);
	assert_true(command_permits(find("a"), action));
	ask(user(1000), "Look", "b");
	assert_false(command_permits(find("b"), action));
	set("commands.allow=observe");
	assert_false(command_permits(find("a"), action));
}

/* ------------------------------------------------------------------------------------------------------------- rate */

static void each_source_has_a_rate_of_its_own(void **state)
{
	(void)state;
	set("commands.rate_per_s=2");
	ask(&host, "Ask", "a");
	ask(&host, "Ask", "b");
	ask(&host, "Ask", "c");
	answered(&host, "b", "\"success\":true");
	answered(&host, "c", "QUEUE_FULL");
	answered(&host, "c", "\"reason\":\"rate\"");
	ask(user(1000), "Ask", "d");
	answered(user(1000), "d", "\"success\":true");
	later(NS_PER_S);
	ask(&host, "Ask", "e");
	answered(&host, "e", "\"success\":true");
	assert_int_equal(commands.stats.queue_full, 1);
}

static void a_rate_of_zero_is_no_limit(void **state)
{
	(void)state;
	set("commands.rate_per_s=0");
	for (unsigned i = 0; i < 100; i++)
		ask(&host, "Ask", "a");
	assert_int_equal(commands.stats.queue_full, 0);
}

static void a_user_is_one_source_with_however_many_clients(void **state)
{
	struct peer *first = user(1000);

	(void)state;
	set("commands.rate_per_s=1");
	ask(first, "Ask", "a");
	peer_gone(first);
	ask(user(1000), "Ask", "b");
	answered(user(1000), "b", "QUEUE_FULL");
}

static void a_cancel_is_never_too_many(void **state)
{
	(void)state;
	set("commands.rate_per_s=1");
	ask(&host, "Control", "a");
	cancel(&host, "b", "a");
	answered(&host, "b", "\"success\":true");
	answered(&host, "a", "CANCELLED");
}

/* ------------------------------------------------------------------------------------------------------ duplicate ids
 */

static void an_id_under_way_is_told_by_an_error_and_never_by_a_response(void **state)
{
	const char *text = NULL;

	(void)state;
	ask(&host, "Control", "a");
	ask(&host, "Ask", "a");
	assert_int_equal(answers(&host, "a"), 0);
	assert_int_equal(lines_with(&host, "error", "a", &text), 1);
	assert_non_null(strstr(text, "DUPLICATE_ID"));
	finish("a");
	assert_int_equal(answers(&host, "a"), 1);
}

static void an_id_may_be_used_again_once_it_is_answered_in_the_same_turn_too(void **state)
{
	(void)state;
	ask(&host, "Control", "a");
	finish("a");
	ask(&host, "Control", "a");
	assert_true(runs("a"));
	finish("a");
	turn();
	ask(&host, "Ask", "a");
	assert_int_equal(answers(&host, "a"), 3);
	assert_int_equal(host.count, 3);
}

static void two_peers_may_use_the_same_id(void **state)
{
	(void)state;
	ask(&host, "Look", "a");
	ask(user(1000), "Look", "a");
	ask(user(1001), "Ask", "a");
	answered(user(1001), "a", "\"success\":true");
	turn();
	assert_true(host.count == 0 && user(1000)->count == 0 && commands_running(&commands) == 2);
}

static void the_next_host_may_use_an_id_of_the_last_one(void **state)
{
	(void)state;
	ask(&host, "Control", "a");
	session_border(&host.session, UINT64_MAX);
	ask(&host, "Ask", "a");
	answered(&host, "a", "\"success\":true");
}

/* ------------------------------------------------------------------------------------------------- no place, the end
 */

static void a_full_queue_is_refused_as_busy(void **state)
{
	char id[8];

	(void)state;
	for (unsigned i = 0; i < 9; i++) {
		snprintf(id, sizeof(id), "c%u", i);
		ask(&host, "Control", id);
	}
	assert_int_equal(commands.host.running, 4);
	assert_int_equal(commands.host.queued, 4);
	answered(&host, "c8", "QUEUE_FULL");
	answered(&host, "c8", "\"reason\":\"busy\"");
	assert_int_equal(host.count, 1);
	assert_int_equal(commands.stats.queue_full, 1);
	/* What takes no slot needs no place there. */
	ask(&host, "Ask", "d");
	answered(&host, "d", "\"success\":true");
}

static void questions_that_wait_have_a_limit_and_a_cancel_has_none(void **state)
{
	char id[8];

	(void)state;
	seen.bus_is_missing = true;
	for (unsigned i = 0; i < 5; i++) {
		snprintf(id, sizeof(id), "c%u", i);
		ask(&host, i % 2 ? "CallBus" : "Call", id);
	}
	answered(&host, "c4", "\"reason\":\"busy\"");
	cancel(&host, "d", "c0");
	answered(&host, "d", "\"success\":true");
	ask(&host, "Call", "e");
	assert_non_null(find("e"));
}

static void an_agent_that_stops_takes_nothing_more(void **state)
{
	(void)state;
	commands_close(&commands);
	ask(&host, "Ask", "a");
	ask(&host, "Control", "b");
	ask(user(0), "Ask", "c");
	answered(&host, "a", "SHUTTING_DOWN");
	answered(&host, "b", "SHUTTING_DOWN");
	answered(user(0), "c", "SHUTTING_DOWN");
}

/* --------------------------------------------------------------------------------------- commands of no message */

static const struct action script = { .name = "script",
				      .type = MESSAGE_PENDING_SCRIPTS,
				      .group = GROUP_EXEC,
				      .slot = true,
				      .slots = SLOTS_SCRIPTS,
				      .run = run_async };

static int submit_script(const char *id)
{
	struct message message = { .type = MESSAGE_PENDING_SCRIPTS, .root = json_object_new_object() };
	int r;

	snprintf(message.id, sizeof(message.id), "%s", id);
	seen.work_begun++;
	r = commands_submit_action(&commands, &host.session, &message, &script, calloc(1, 1), work_free);
	if (r < 0) {
		seen.refused++;
		seen.work_begun--;
	}
	return r;
}

static void a_command_of_no_message_of_its_own_has_a_slot_a_place_or_none(void **state)
{
	struct message message = { .type = MESSAGE_PENDING_SCRIPTS, .id = "s" };
	void *work = calloc(1, 1);

	(void)state;
	for (unsigned i = 0; i < 7; i++) {
		char id[8];

		snprintf(id, sizeof(id), "s%u", i);
		assert_int_equal(submit_script(id), 0);
	}
	assert_int_equal(commands.host.running, 3);
	assert_int_equal(commands.host.queued, 4);
	assert_int_equal(commands_submit_action(&commands, &host.session, &message, &script, work, work_free),
			 -ENOBUFS);
	seen.refused++;
	free(work); /* it is still the caller's */
	assert_int_equal(host.count, 0);
}

static void what_an_earlier_agent_has_begun_runs_on_in_its_slot_with_nobody_who_asked(void **state)
{
	struct message message = { .type = MESSAGE_SAFE_COMMAND, .id = "a", .root = json_object_new_object() };
	const struct action *action = NULL;
	struct command *command;

	(void)state;
	assert_int_equal(action_find(&table, "Package", &action), ACTION_KNOWN);
	command = commands_adopt(&commands, &message, action);
	seen.adopted++;
	assert_true(runs("a"));
	ask(&host, "Package", "b");
	assert_true(is_queued("b"));
	cancel(&host, "c", "a");
	assert_true(command->cancelled);
	assert_int_equal(answers(&host, "a"), 0);
	fail_with("a", CODE_CANCELLED, NULL);
	assert_int_equal(seen.resumed, 1);
	turn();
	assert_true(runs("b"));
	assert_int_equal(commands.stats.unclaimed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		commands_test(a_command_that_is_taken_is_run_and_answered_to_its_asker_alone),
		commands_test(what_is_answered_from_the_cache_is_answered_in_the_turn_it_came),
		commands_test(an_action_nobody_knows_is_refused),
		commands_test(while_file_systems_are_frozen_nothing_begins_that_writes_or_starts_a_program),
		commands_test(an_action_of_another_platform_is_told_apart),
		commands_test(a_message_type_that_is_a_command_is_no_name_of_one),
		commands_test(what_the_owner_denies_is_refused_to_the_host),
		commands_test(programs_of_the_host_need_a_grant_of_their_own),
		commands_test(what_only_touches_the_senders_own_needs_no_grant),
		commands_test(a_local_client_may_look_and_no_more),
		commands_test(metrics_are_the_one_look_that_the_owner_can_deny_to_local_clients),
		commands_test(what_only_observes_by_its_parameters_is_judged_so_and_takes_no_slot),
		commands_test(what_another_name_stands_for_is_judged_by_who_asks),
		commands_test(each_source_has_a_rate_of_its_own),
		commands_test(a_rate_of_zero_is_no_limit),
		commands_test(a_user_is_one_source_with_however_many_clients),
		commands_test(a_cancel_is_never_too_many),
		commands_test(an_id_under_way_is_told_by_an_error_and_never_by_a_response),
		commands_test(an_id_may_be_used_again_once_it_is_answered_in_the_same_turn_too),
		commands_test(two_peers_may_use_the_same_id),
		commands_test(the_next_host_may_use_an_id_of_the_last_one),
		commands_test(a_full_queue_is_refused_as_busy),
		commands_test(questions_that_wait_have_a_limit_and_a_cancel_has_none),
		commands_test(an_agent_that_stops_takes_nothing_more),
		commands_test(a_command_of_no_message_of_its_own_has_a_slot_a_place_or_none),
		commands_test(what_an_earlier_agent_has_begun_runs_on_in_its_slot_with_nobody_who_asked),
	};

	return cmocka_run_group_tests_name("admission", tests, NULL, NULL);
}
