/* SPDX-License-Identifier: MIT */
/* The services of the guest as the host sees and controls them, between a played service manager and executor. */
#include "tests/actions_fixture.h"

#define CONTROL(service, operation) "\"service\":\"" service "\",\"operation\":\"" operation "\""

/* ------------------------------------------------------------------------------------------------------- the list */

static void the_list_has_loaded_units_and_those_that_are_only_files(void **state)
{
	struct played_unit *at;

	(void)state;
	unit("ssh.service");
	at = unit("once.service");
	at->sub = "exited";
	at = unit("bad.service");
	at->active = at->sub = "failed";
	at = unit("rest.service");
	at->is_loaded = false;
	at->file_state = "disabled";
	at = unit("off.service");
	at->is_loaded = false;
	at->file_state = "masked";
	unit("dbus.socket");
	expect("ServiceList", "", "\"name\":\"ssh.service\",\"display_name\":\"About it\",\"status\":\"running\"");
	answer_has("\"startup_type\":\"enabled\",\"can_start\":false,\"can_stop\":true,\"can_restart\":true");
	answer_has("\"name\":\"once.service\",\"display_name\":\"About it\",\"status\":\"exited\"");
	answer_has("\"name\":\"bad.service\",\"display_name\":\"About it\",\"status\":\"failed\"");
	answer_has("\"name\":\"rest.service\",\"display_name\":\"rest.service\",\"status\":\"stopped\"");
	answer_has("\"startup_type\":\"masked\",\"can_start\":false,\"can_stop\":false,\"can_restart\":false");
	assert_null(strstr(answer(), "dbus.socket"));
	assert_null(strstr(answer(), "\"partial\":true"));
}

static int no_files(sd_bus_message *message)
{
	return sd_bus_message_is_method_call(message, SYSTEMD_MANAGER, "ListUnitFiles")
		       ? sd_bus_reply_method_errorf(message, SD_BUS_ERROR_FAILED, "the disk is full")
		       : 0;
}

static int silent_about_files(sd_bus_message *message)
{
	return sd_bus_message_is_method_call(message, SYSTEMD_MANAGER, "ListUnitFiles");
}

static void without_the_unit_files_the_list_is_partial(void **state)
{
	(void)state;
	unit("ssh.service");
	seen.manager = no_files;
	expect("ServiceList", "", "\"partial\":true");
	answer_has("\"name\":\"ssh.service\"");
	seen.manager = silent_about_files;
	assert_null(ask("ServiceList", ""));
	later(600 * NS_PER_S);
	answer_has("\"partial\":true");
}

static void a_manager_that_says_nothing_is_given_up_at_the_deadline(void **state)
{
	(void)state;
	seen.manager_is_mute = true;
	assert_null(ask("ServiceList", ""));
	later(600 * NS_PER_S);
	answer_has("\"success\":false");
	answer_has("the system bus did not answer");
}

static void without_a_bus_the_answer_says_so(void **state)
{
	(void)state;
	seen.bus_is_missing = true;
	expect("ServiceList", "", "there is no system bus to ask");
}

/* ----------------------------------------------------------------------------------------------------- one service */

static void anybody_may_ask_for_the_state_of_a_unit(void **state)
{
	(void)state;
	unit("ssh.service")->sub = "dead";
	ask_as(user(1000), "ServiceControl", CONTROL("ssh", "status"));
	answer_has("\"service\":\"ssh.service\",\"active_state\":\"active\",\"sub_state\":\"dead\",\"enabled\":true,"
		   "\"main_pid\":1234");
	unit("dbus.socket");
	expect("ServiceControl", CONTROL("dbus.socket", "status"), "\"enabled\":true");
	answer_has("\"main_pid\":null");
	expect("ServiceControl", CONTROL("absent", "status"), "Unit absent.service not found.");
	ask_as(user(1000), "ServiceControl", CONTROL("ssh", "stop"));
	answer_has("POLICY_DENIED");
	assert_int_equal(job_count, 0);
}

static void a_verb_is_done_by_the_executor_and_answered_with_the_state_after_it(void **state)
{
	(void)state;
	unit("ssh.service");
	play("operation*", 0, "")->words = "done";
	expect("ServiceControl", CONTROL("ssh", "restart"), "\"active_state\":\"active\"");
	answer_has("\"success\":true");
	assert_non_null(job_of("operation 3 ssh.service"));
	assert_ptr_equal(jobs[0].exec, &executor);
	assert_string_equal(jobs[0].action, "ServiceControl");
	play("operation*", 0, "")->words = "failed";
	expect("ServiceControl", CONTROL("ssh", "start"), "\"reason\":\"job_failed\"");
	answer_has("the job to start it ended as \\\"failed\\\"");
}

static void a_unit_file_that_is_not_as_wanted_afterwards_is_a_failure(void **state)
{
	struct played_unit *at = unit("ssh.service");

	(void)state;
	play("operation*", 0, "")->words = "done";
	expect("ServiceControl", CONTROL("ssh", "disable"), "\"reason\":\"still_enabled\"");
	at->file_state = "disabled";
	expect("ServiceControl", CONTROL("ssh", "disable"), "\"success\":true");
	expect("ServiceControl", CONTROL("ssh", "enable"), "\"reason\":\"not_enabled\"");
	at->file_state = "indirect";
	expect("ServiceControl", CONTROL("ssh", "enable"), "\"success\":true");
}

static void wrong_parameters_are_told_apart(void **state)
{
	static const struct {
		const char *parameters, *part;
	} cases[] = {
		{ "\"service\":\"ssh\"", "\"reason\":\"missing_field\"" },
		{ CONTROL("ssh", "dance"), "\"reason\":\"bad_value\"" },
		{ "\"operation\":\"stop\"", "\"reason\":\"missing_field\"" },
		{ CONTROL("-x", "stop"), "has to be the name of" },
		{ "\"service\":1,\"operation\":\"stop\"", "INVALID_PARAMETERS" },
		{ "\"service\":\"ssh\",\"operation\":7", "INVALID_PARAMETERS" },
		{ CONTROL("infiniservice", "stop"), "\"reason\":\"unit_denied\"" },
		{ CONTROL("debug-shell", "start"), "\"reason\":\"unit_denied\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect("ServiceControl", cases[i].parameters, cases[i].part);
	assert_int_equal(seen.manager_calls, 0);
}

static void a_unit_is_judged_by_what_the_manager_says_of_it(void **state)
{
	static const struct {
		const char *name, *id, *trigger, *load, *part;
	} cases[] = {
		{ "alias.service", "debug-shell.service", "", "loaded", "\"reason\":\"unit_denied\"" },
		{ "trigger.timer", "trigger.timer", "debug-shell.service", "loaded", "\"reason\":\"unit_denied\"" },
		{ "owners.service", "owners.service", "", "loaded", "\"reason\":\"unit_denied\"" },
		{ "gone.service", "gone.service", "", "not-found", "\"reason\":\"no_such_unit\"" },
		{ "broken.service", "broken.service", "", "bad-setting", "\"reason\":\"not_loaded\"" },
		{ "masked.service", "masked.service", "", "masked", "\"success\":false" },
	};

	(void)state;
	set("commands.deny_units=owners");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct played_unit *at = unit(cases[i].name);
		char parameters[128];

		at->id = cases[i].id;
		at->trigger = cases[i].trigger;
		at->load = cases[i].load;
		snprintf(parameters, sizeof(parameters), "\"service\":\"%s\",\"operation\":\"start\"", at->name);
		expect("ServiceControl", parameters, cases[i].part);
	}
}

static void what_the_executor_cannot_do_is_told_with_its_reason(void **state)
{
	(void)state;
	unit("ssh.service");
	executor.state = EXEC_STATE_OFF;
	expect("ServiceControl", CONTROL("ssh", "stop"), "\"reason\":\"no_executor\"");
	seen.uid = 0;
	expect("ServiceControl", CONTROL("ssh", "stop"), "\"reason\":\"no_executor\"");
	executor.state = EXEC_STATE_FAULT;
	executor.fault = "it is not there";
	expect("ServiceControl", CONTROL("ssh", "stop"), "\"reason\":\"executor_unusable\"");
	answer_has("it is not there");
	executor.state = EXEC_STATE_READY;
	play("operation*", 0, "")->lost = true;
	expect("ServiceControl", CONTROL("ssh", "stop"), "\"reason\":\"lost\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		actions_test(the_list_has_loaded_units_and_those_that_are_only_files),
		actions_test(without_the_unit_files_the_list_is_partial),
		actions_test(a_manager_that_says_nothing_is_given_up_at_the_deadline),
		actions_test(without_a_bus_the_answer_says_so),
		actions_test(anybody_may_ask_for_the_state_of_a_unit),
		actions_test(a_verb_is_done_by_the_executor_and_answered_with_the_state_after_it),
		actions_test(a_unit_file_that_is_not_as_wanted_afterwards_is_a_failure),
		actions_test(wrong_parameters_are_told_apart),
		actions_test(a_unit_is_judged_by_what_the_manager_says_of_it),
		actions_test(what_the_executor_cannot_do_is_told_with_its_reason),
	};

	return cmocka_run_group_tests_name("services", tests, NULL, NULL);
}
