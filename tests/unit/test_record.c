/* SPDX-License-Identifier: MIT */
/*
 * What others learn of commands: the audit, the journal of what is owed, subscribers, Status; and what becomes of
 * commands whose asker, or whose agent, goes.
 */
#include "tests/commands_fixture.h"

static void assert_recorded(const char *part, bool is)
{
	read_records();
	if ((strstr(seen.recorded, part) != NULL) != is)
		fail_msg("'%s' is%s in: %s", part, is ? " not" : "", seen.recorded);
}

/* ------------------------------------------------------------------------------------------------------ subscribers */

static void subscribers_learn_of_each_turn_of_a_commands_life(void **state)
{
	(void)state;
	set("commands.max_concurrent=1");
	ask(&host, "Control", "a");
	ask(&host, "Control", "b");
	ask(&host, "Nothing", "c");
	finish("a");
	turn();
	cancel(&host, "d", "b");
	assert_string_equal(seen.told, "a accepted;a started;b accepted;c refused;a finished;b started;b finished;"
				       "d finished;");
}

static void each_try_is_told_as_a_start(void **state)
{
	(void)state;
	ask_with(&host, "Fail", "a", ",\"retries\":1");
	later(NS_PER_S);
	assert_string_equal(seen.told, "a accepted;a started;a started;a finished;");
}

static void of_a_crowd_that_finds_no_place_nothing_is_told(void **state)
{
	(void)state;
	commands_close(&commands);
	ask(user(1000), "Ask", "a");
	assert_string_equal(seen.told, "");
	ask(&host, "Ask", "b");
	assert_string_equal(seen.told, "b refused;");
	assert_recorded("refused", false);
}

/* ------------------------------------------------------------------------------------------------------------ audit */

static void what_changes_the_guest_is_recorded_with_its_start_and_its_end(void **state)
{
	(void)state;
	ask(&host, "Control", "a");
	assert_recorded("command a: Control from host started", true);
	assert_recorded("finished", false);
	fail_with("a", CODE_NOT_FOUND, NULL);
	assert_recorded("command a: Control from host failed", true);
}

static void what_is_refused_is_recorded(void **state)
{
	(void)state;
	set("commands.deny=Control");
	ask(&host, "Control", "a");
	ask(user(1000), "Control", "b");
	assert_recorded("command a: Control from host refused", true);
	assert_recorded("command b: Control from uid 1000 refused", true);
}

static void looking_is_recorded_where_the_owner_wants_it_and_by_what_takes_a_slot(void **state)
{
	(void)state;
	set("commands.audit_reads=no");
	ask(&host, "Ask", "a");
	assert_recorded("command a", false);
	ask(&host, "Look", "b");
	assert_recorded("command b: Look from host started", true);
	set("commands.audit_reads=yes");
	ask(&host, "Ask", "c");
	assert_recorded("command c: Ask from host", true);
}

static void reads_are_recorded_at_a_pace_for_each_source_and_changes_all(void **state)
{
	char id[16];

	(void)state;
	set("commands.audit_reads=yes");
	for (unsigned i = 0; i < AUDIT_READS_PER_S + 5; i++) {
		snprintf(id, sizeof(id), "r%u", i);
		ask(&host, "Ask", id);
		read_records();
	}
	ask(&host, "Control", "a");
	ask(user(1000), "Ask", "b");
	later(NS_PER_S);
	assert_int_equal(audit.reads_left_out, 5);
	assert_recorded("command a: Control", true);
	assert_recorded("command b: Ask", true);
}

static void refusals_that_were_left_out_are_counted_a_second_later(void **state)
{
	char id[16];

	(void)state;
	for (unsigned i = 0; i < AUDIT_REFUSALS_PER_S + 7; i++) {
		snprintf(id, sizeof(id), "r%u", i);
		ask(&host, "Nothing", id);
		read_records();
	}
	assert_recorded("7 more were refused", false);
	later(2 * NS_PER_S);
	assert_recorded("7 more were refused", true);
}

static void a_record_that_finds_no_room_is_written_when_there_is_some(void **state)
{
	char bytes[4096];
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	close_fd(&audit.journal_fd);
	audit.writer_fd = fds[0];
	while (!audit.kept) {
		ask(&host, "Control", "a");
		finish("a");
	}
	while (recv(fds[1], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	later(NS_PER_S);
	assert_null(audit.kept);
	assert_int_equal(audit.lost, 0);
	close_fd(&fds[1]);
}

static void a_program_is_recorded_without_its_secrets_and_none_of_what_only_looks(void **state)
{
	static const char *const argv[] = { "/bin/tool", "--password=hunter2", NULL };

	(void)state;
	set("commands.audit_reads=no");
	ask(&host, "Program", "a");
	record_program(find("a"), argv);
	assert_recorded("command a", true);
	assert_recorded("hunter2", false);
	assert_int_equal(audit.recorded, 2);
	say(&host, "{\"type\":\"UnsafeCommand\",\"id\":\"u\",\"raw_command\":\"true\"}");
	record_program(find("u"), argv);
	assert_int_equal(audit.recorded, 3); /* its start has the text whole */
	ask(&host, "Call", "c");
	record_program(find("c"), argv);
	assert_int_equal(audit.recorded, 3);
}

/* ---------------------------------------------------------------------------------------------------------- journal */

static void the_journal_holds_what_is_owed_to_the_host_until_it_is_answered(void **state)
{
	(void)state;
	ask(&host, "Control", "a");
	ask(&host, "Ask", "b");
	ask(&host, "Call", "c");
	ask(user(1000), "Look", "d");
	assert_int_equal(journal.open_count, 2);
	assert_string_equal(journal.open->id, "c");
	finish("a");
	assert_int_equal(journal.open_count, 1);
	finish("c");
	assert_int_equal(journal.open_count, 0);
}

/* ---------------------------------------------------------------------------------------- askers that are gone */

static void what_a_host_that_is_gone_asked_goes_on_and_its_answer_is_counted(void **state)
{
	(void)state;
	ask(&host, "Control", "a");
	later(NS_PER_MS);
	session_border(&host.session, loop.now.mono_ns);
	ask(&host, "Control", "b");
	assert_true(runs("a") && runs("b"));
	finish("a");
	finish("b");
	assert_int_equal(commands.stats.unclaimed, 1);
	assert_int_equal(host.count, 1);
	answered(&host, "b", "\"success\":true");
}

static void what_came_at_the_very_border_is_the_next_hosts(void **state)
{
	(void)state;
	ask(&host, "Control", "a");
	session_border(&host.session, loop.now.mono_ns);
	finish("a");
	answered(&host, "a", "\"success\":true");
}

static void the_next_host_may_cancel_what_the_last_one_began_and_no_local_client_may(void **state)
{
	(void)state;
	ask(&host, "Control", "a");
	session_border(&host.session, UINT64_MAX);
	cancel(user(0), "x", "a");
	answered(user(0), "x", "NOT_FOUND");
	cancel(&host, "y", "a");
	answered(&host, "y", "\"success\":true");
	assert_int_equal(answers(&host, "a"), 0);
	assert_int_equal(commands.stats.unclaimed, 1);
}

static void of_two_with_one_id_the_next_host_cancels_its_own(void **state)
{
	struct command *orphan;

	(void)state;
	ask(&host, "Control", "a");
	orphan = find("a");
	session_border(&host.session, UINT64_MAX);
	ask(&host, "Control", "a");
	cancel(&host, "y", "a");
	answered(&host, "a", "CANCELLED");
	assert_int_equal(orphan->end, COMMAND_GOES_ON);
}

static void what_a_local_client_that_is_gone_asked_reaches_nobody(void **state)
{
	(void)state;
	ask(user(1000), "Look", "a");
	turn();
	peer_gone(user(1000));
	finish("a");
	turn();
	assert_int_equal(commands.stats.unclaimed, 1);
	assert_recorded("command a: Look from local (gone)", true);
}

/* --------------------------------------------------------------------------------------------------------- the stop */

static void at_the_stop_what_waits_is_answered_and_what_runs_may_finish(void **state)
{
	(void)state;
	set("commands.max_concurrent=1");
	seen.bus_is_missing = true;
	ask(&host, "Program", "a");
	ask(&host, "Program", "b");
	ask(&host, "CallBus", "c");
	ask(&host, "Call", "d");
	commands_close(&commands);
	turn();
	answered(&host, "b", "SHUTTING_DOWN");
	answered(&host, "c", "SHUTTING_DOWN");
	answered(&host, "d", "SHUTTING_DOWN");
	assert_false(commands_idle(&commands));
	finish("a");
	turn();
	answered(&host, "a", "\"success\":true");
	assert_true(commands_idle(&commands));
	assert_int_equal(seen.begun, 2);
}

static void at_the_stop_a_program_without_a_slot_may_finish(void **state)
{
	(void)state;
	ask(&host, "CallProgram", "a");
	commands_close(&commands);
	commands_kill(&commands);
	turn();
	assert_int_equal(host.count, 0);
	finish("a");
	answered(&host, "a", "\"success\":true");
}

static void at_the_end_of_the_grace_what_goes_on_by_itself_is_answered_once(void **state)
{
	(void)state;
	ask(&host, "Control", "a");
	seen.bus_is_missing = true;
	ask(&host, "Bus", "b");
	ask(&host, "Program", "c");
	commands_close(&commands);
	turn();
	assert_true(runs("a") && runs("b"));
	commands_kill(&commands);
	commands_kill(&commands);
	turn();
	answered(&host, "a", "SHUTTING_DOWN");
	answered(&host, "b", "SHUTTING_DOWN");
	assert_false(commands_idle(&commands)); /* its runner ends the program */
	finish("c");
	turn();
	assert_true(commands_idle(&commands));
}

static void what_outlives_the_agent_is_left_to_the_next_one_unanswered(void **state)
{
	(void)state;
	ask(&host, "Program", "a");
	find("a")->detached = true;
	ask(&host, "Program", "b");
	commands_close(&commands);
	finish("b");
	turn();
	assert_true(commands_idle(&commands));
	job_dead(find("a"));
	command_leave(find("a"));
	seen.left++;
	turn();
	assert_null(commands.first);
	assert_int_equal(answers(&host, "a"), 0);
	assert_int_equal(journal.open_count, 1);
}

/* ----------------------------------------------------------------------------------------------------------- Status */

static void ask_status(const char *id)
{
	say(&host, "{\"type\":\"Status\",\"id\":\"%s\"}", id);
}

static void status_lists_what_is_under_way(void **state)
{
	(void)state;
	set("commands.max_concurrent=1");
	ask_with(&host, "Fail", "p", ",\"retries\":1");
	turn();
	ask(&host, "Program", "a");
	find("a")->pid = 4711;
	find("a")->output_bytes = 99;
	ask(&host, "Control", "b");
	ask(user(1000), "LookProgram", "c");
	turn();
	seen.bus_is_missing = true;
	ask(&host, "CallBus", "w");
	ask(&host, "Call", "d");
	peer_gone(user(1000));
	command_cancel(find("c"), "");
	loop.now.mono_ns += 5 * NS_PER_MS;
	ask_status("s");
	answered(&host, "s", "{\"id\":\"p\",\"action\":\"Fail\",\"state\":\"pausing\"");
	answered(&host, "s",
		 "{\"id\":\"a\",\"action\":\"Program\",\"state\":\"running\",\"origin\":\"host\",\"age_ms\":5,\"pid\":"
		 "4711,\"bytes\":99,\"attempts\":1}");
	answered(&host, "s", "{\"id\":\"b\",\"action\":\"Control\",\"state\":\"queued\"");
	answered(&host, "s", "{\"id\":\"c\",\"action\":\"LookProgram\",\"state\":\"ending\",\"origin\":\"gone\"");
	answered(&host, "s", "{\"id\":\"d\",\"action\":\"Call\",\"state\":\"waiting\"");
	answered(&host, "s", "\"pid\":null");
	answered(&host, "s", "\"list_left_out\":0");
	answered(&host, "s", "\"running\":2,\"queued\":2,\"waiting\":3,\"local_running\":1,\"local_queued\":0");
	answered(&host, "s", "{\"id\":\"w\",\"action\":\"CallBus\",\"state\":\"waiting\"");
}

static void status_counts_how_commands_ended(void **state)
{
	(void)state;
	ask(&host, "Ask", "a");
	ask(&host, "Fail", "b");
	ask(&host, "Nothing", "c");
	ask(&host, "Call", "d");
	cancel(&host, "e", "d");
	ask_status("s");
	answered(&host, "s", "\"received\":6,\"answered\":5,\"succeeded\":3,\"failed\":2,\"refused\":1");
	answered(&host, "s", "\"timed_out\":0,\"cancelled\":1,\"unclaimed\":0,\"retried\":0,\"unrecorded\":0");
}

static void status_lists_five_hundred_and_counts_the_others(void **state)
{
	const char *text = NULL;
	unsigned count = 0;
	char id[8];

	(void)state;
	set("commands.queue_size=600");
	for (unsigned i = 0; i < 504 + 3; i++) {
		snprintf(id, sizeof(id), "c%u", i);
		ask_with(&host, "Control", id, ",\"timeout\":1000");
	}
	ask_status("s");
	answered(&host, "s", "\"list_left_out\":7");
	for (text = host.lines[0]; (text = strstr(text, "\"action\":")); text++)
		count++;
	assert_int_equal(count, 500);
}

static void a_list_that_does_not_fit_is_cut_and_says_so(void **state)
{
	const char *text;
	unsigned count = 0, left_out;
	char id[8];

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		snprintf(id, sizeof(id), "c%u", i);
		ask(&host, "Control", id);
	}
	json_writer_init(&writer, writer_text, 1500);
	ask_status("s");
	json_writer_init(&writer, writer_text, sizeof(writer_text));
	answered(&host, "s", "\"success\":true");
	for (text = host.lines[0]; (text = strstr(text, "\"action\":")); text++)
		count++;
	text = strstr(host.lines[0], "\"list_left_out\":");
	assert_non_null(text);
	assert_int_equal(sscanf(text, "\"list_left_out\":%u", &left_out), 1);
	assert_true(count > 0 && count < 8);
	assert_int_equal(count + left_out, 8);
}

static void what_is_left_at_the_very_end_is_not_answered_and_stays_in_the_journal(void **state)
{
	struct command *command;

	(void)state;
	ask(&host, "Control", "a");
	ask(&host, "Call", "b");
	command = find("a");
	commands_abandon(&commands);
	seen.left += 2;
	command_succeed(command, NULL, NULL); /* whatever comes of its work */
	assert_int_equal(host.count, 0);
	turn();
	assert_null(commands.first);
	assert_int_equal(host.count, 0);
	assert_int_equal(journal.open_count, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		commands_test(what_is_left_at_the_very_end_is_not_answered_and_stays_in_the_journal),
		commands_test(subscribers_learn_of_each_turn_of_a_commands_life),
		commands_test(each_try_is_told_as_a_start),
		commands_test(of_a_crowd_that_finds_no_place_nothing_is_told),
		commands_test(what_changes_the_guest_is_recorded_with_its_start_and_its_end),
		commands_test(what_is_refused_is_recorded),
		commands_test(looking_is_recorded_where_the_owner_wants_it_and_by_what_takes_a_slot),
		commands_test(reads_are_recorded_at_a_pace_for_each_source_and_changes_all),
		commands_test(refusals_that_were_left_out_are_counted_a_second_later),
		commands_test(a_record_that_finds_no_room_is_written_when_there_is_some),
		commands_test(a_program_is_recorded_without_its_secrets_and_none_of_what_only_looks),
		commands_test(the_journal_holds_what_is_owed_to_the_host_until_it_is_answered),
		commands_test(what_a_host_that_is_gone_asked_goes_on_and_its_answer_is_counted),
		commands_test(what_came_at_the_very_border_is_the_next_hosts),
		commands_test(the_next_host_may_cancel_what_the_last_one_began_and_no_local_client_may),
		commands_test(of_two_with_one_id_the_next_host_cancels_its_own),
		commands_test(what_a_local_client_that_is_gone_asked_reaches_nobody),
		commands_test(at_the_stop_what_waits_is_answered_and_what_runs_may_finish),
		commands_test(at_the_stop_a_program_without_a_slot_may_finish),
		commands_test(at_the_end_of_the_grace_what_goes_on_by_itself_is_answered_once),
		commands_test(what_outlives_the_agent_is_left_to_the_next_one_unanswered),
		commands_test(status_lists_what_is_under_way),
		commands_test(status_counts_how_commands_ended),
		commands_test(status_lists_five_hundred_and_counts_the_others),
		commands_test(a_list_that_does_not_fit_is_cut_and_says_so),
	};

	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
