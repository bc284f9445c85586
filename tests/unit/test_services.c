/* SPDX-License-Identifier: MIT */
/* The services of the guest as the host sees and controls them, between a played service manager and executor. */
#include "tests/actions_fixture.h"

#define CONTROL(service, operation) "\"service\":\"" service "\",\"operation\":\"" operation "\""

/* ------------------------------------------------------------------------------------------------------- the list */

static void only_file(const char *name, const char *file_state)
{
	struct played_unit *at = unit(name);

	at->is_loaded = false;
	at->file_state = file_state;
}

static void the_list_has_loaded_units_and_those_that_are_only_files(void **state)
{
	static const char *const left_out[] = { "dbus.socket", "gone", "dbus-org", "sshd", "getty", "x.target" };
	struct played_unit *at;

	(void)state;
	unit("ssh.service");
	at = unit("once.service");
	at->sub = "exited";
	at = unit("bad.service");
	at->active = at->sub = "failed";
	only_file("rest.service", "disabled");
	only_file("off.service", "masked");
	unit("gone.service")->load = "not-found";
	units[unit_count - 1].file_state = NULL;
	at = unit("bare.service");
	at->file_state = NULL;
	at->description = "";
	only_file("dbus-org.example.x.service", "enabled");
	only_file("sshd.service", "alias");
	only_file("getty@.service", "enabled");
	only_file("x.target", "static");
	unit("dbus.socket");
	expect("ServiceList", "", "\"name\":\"ssh.service\",\"display_name\":\"About it\",\"status\":\"running\"");
	answer_has("\"startup_type\":\"enabled\",\"can_start\":false,\"can_stop\":true,\"can_restart\":true");
	answer_has("\"name\":\"once.service\",\"display_name\":\"About it\",\"status\":\"exited\"");
	answer_has("\"name\":\"bad.service\",\"display_name\":\"About it\",\"status\":\"failed\"");
	answer_has("\"name\":\"rest.service\",\"display_name\":\"rest.service\",\"status\":\"stopped\"");
	answer_has("\"startup_type\":\"masked\",\"can_start\":false,\"can_stop\":false,\"can_restart\":false");
	answer_has("\"name\":\"bare.service\",\"display_name\":\"bare.service\",\"status\":\"running\"");
	for (size_t i = 0; i < ARRAY_SIZE(left_out); i++)
		assert_null(strstr(answer(), left_out[i]));
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
	at->file_state = NULL;
	expect("ServiceControl", CONTROL("ssh", "enable"), "its unit file is not there all the same");
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

static int gone_after_load(sd_bus_message *message)
{
	if (!sd_bus_message_is_method_call(message, DBUS_PROPERTIES, "GetAll"))
		return 0;
	return sd_bus_reply_method_errorf(message, "org.freedesktop.systemd1.NoSuchUnit", "it has just gone");
}

static int nonsense(sd_bus_message *message)
{
	return sd_bus_reply_method_return(message, "s", "nonsense");
}

static int nonsense_of_properties(sd_bus_message *message)
{
	return sd_bus_message_is_method_call(message, DBUS_PROPERTIES, "GetAll") ? nonsense(message) : 0;
}

static int refused(sd_bus_message *message)
{
	return sd_bus_reply_method_errorf(message, SD_BUS_ERROR_ACCESS_DENIED, "not to you");
}

static int strange(sd_bus_message *message)
{
	return sd_bus_reply_method_errorf(message, "org.example.Strange", "never heard of");
}

static void what_the_manager_refuses_or_garbles_is_told_for_each_step(void **state)
{
	static const struct {
		int (*manager)(sd_bus_message *message);
		const char *operation, *part;
	} cases[] = {
		{ gone_after_load, "status", "\"reason\":\"no_such_unit\"" },
		{ gone_after_load, "stop", "\"reason\":\"no_such_unit\"" },
		{ nonsense, "status", "\"reason\":\"bad_reply\"" },
		{ nonsense, "stop", "\"reason\":\"not_loaded\"" },
		{ nonsense_of_properties, "status", "\"reason\":\"bad_reply\"" },
		{ nonsense_of_properties, "stop", "\"reason\":\"not_loaded\"" },
		{ refused, "status", "\"reason\":\"no_privilege\"" },
		{ refused, "stop", "\"reason\":\"no_privilege\"" },
		{ strange, "status", "never heard of (org.example.Strange)" },
	};

	(void)state;
	unit("ssh.service");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char parameters[128];

		seen.manager = cases[i].manager;
		snprintf(parameters, sizeof(parameters), "\"service\":\"ssh\",\"operation\":\"%s\"",
			 cases[i].operation);
		expect("ServiceControl", parameters, cases[i].part);
	}
	seen.manager = nonsense;
	expect("ServiceList", "", "\"reason\":\"bad_reply\"");
	seen.manager = refused;
	expect("ServiceList", "", "\"reason\":\"no_privilege\"");
	expect("RestartServices", "", "\"reason\":\"no_privilege\"");
}

static void a_verb_whose_unit_is_being_judged_or_done_may_be_cancelled(void **state)
{
	(void)state;
	unit("ssh.service");
	seen.manager_is_mute = true;
	assert_null(ask("ServiceControl", CONTROL("ssh", "stop")));
	cancel(&host, "x", asked);
	turns();
	answer_has("CANCELLED");
	seen.manager_is_mute = false;
	assert_null(ask("ServiceControl", CONTROL("ssh", "stop")));
	assert_int_equal(job_count, 1);
	cancel(&host, "y", asked);
	turns();
	answer_has("CANCELLED");
	seen.manager_is_mute = true;
	assert_null(ask("ServiceControl", CONTROL("ssh", "stop")));
	later(600 * NS_PER_S);
	answer_has("\"reason\":\"no_bus\"");
}

/* ------------------------------------------------------------------------------------------------- several services */

static void failed_services_are_restarted_side_by_side_and_told_by_their_end(void **state)
{
	static const char *const failed[] = { "good.service", "bad.service", "stubborn.service",
					      "debug-shell.service" };

	(void)state;
	unit("ssh.service");
	expect("RestartServices", "", "\"restarted\":[],\"failed\":[],\"denied\":[]");
	for (size_t i = 0; i < ARRAY_SIZE(failed); i++)
		unit(failed[i])->active = "failed";
	play("operation*", 0, "")->words = "done";
	play("operation 3 bad.service", 0, "")->words = "timeout";
	*play("operation 3 stubborn.service", 0, "") = (struct exec_outcome){ .spawn_errno = EPERM,
									      .spawn_stage = RUNNER_STAGE_POLICY,
									      .words = "not that one" };
	expect("RestartServices", "", "2 of 4 services could not be restarted");
	answer_has("\"restarted\":[\"good.service\"]");
	answer_has("{\"name\":\"bad.service\",\"result\":\"timeout\"}");
	answer_has("{\"name\":\"stubborn.service\",\"result\":\"refused\",\"error\":\"not that one\"}");
	answer_has("\"denied\":[\"debug-shell.service\"]");
	assert_int_equal(job_count, 3);
}

static void one_service_is_restarted_by_its_name(void **state)
{
	(void)state;
	unit("ssh.service");
	play("operation*", 0, "")->words = "done";
	expect("RestartServices", "\"service_name\":\"ssh\"", "\"restarted\":[\"ssh.service\"]");
	expect("RestartServices", "\"service_name\":\"absent\"", "1 of 1 services could not be restarted: ");
	expect("RestartServices", "\"service_name\":\"debug-shell\"", "\"reason\":\"unit_denied\"");
	unit("alias.service")->id = "debug-shell.service";
	expect("RestartServices", "\"service_name\":\"alias\"", "\"reason\":\"unit_denied\"");
	expect("RestartServices", "\"service_name\":\"-x\"", "\"reason\":\"bad_value\"");
	expect("RestartServices", "\"service_name\":5", "INVALID_PARAMETERS");
	executor.state = EXEC_STATE_OFF;
	expect("RestartServices", "\"service_name\":\"ssh\"", "\"reason\":\"no_executor\"");
}

static int many_failed(sd_bus_message *message)
{
	sd_bus_message *reply = NULL;
	char name[32];

	if (!sd_bus_message_is_method_call(message, SYSTEMD_MANAGER, "ListUnits"))
		return 0;
	assert_true(sd_bus_message_new_method_return(message, &reply) >= 0);
	assert_true(sd_bus_message_open_container(reply, 'a', "(ssssssouso)") >= 0);
	for (unsigned i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "n%u.service", i);
		assert_true(sd_bus_message_append(reply, "(ssssssouso)", name, "", "loaded",
						  i % 3 ? "active" : "failed", "dead", "", "/x", 0, "", "/") >= 0);
	}
	assert_true(sd_bus_message_close_container(reply) >= 0);
	assert_true(sd_bus_send(NULL, reply, NULL) >= 0);
	sd_bus_message_unref(reply);
	return 1;
}

static void more_failed_services_than_are_restarted_at_once_are_counted(void **state)
{
	(void)state;
	seen.manager = many_failed;
	expect("RestartServices", "", "64 of 64 services could not be restarted");
	answer_has("\"truncated\":true,\"total_count\":100");
}

static void a_list_that_does_not_fit_into_an_answer_says_so(void **state)
{
	(void)state;
	seen.manager = many_failed;
	json_writer_init(&writer, writer_text, 16 << 10);
	expect("ServiceList", "", "\"truncated\":true");
	answer_has("\"total_count\":300");
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
		actions_test(what_the_manager_refuses_or_garbles_is_told_for_each_step),
		actions_test(a_verb_whose_unit_is_being_judged_or_done_may_be_cancelled),
		actions_test(failed_services_are_restarted_side_by_side_and_told_by_their_end),
		actions_test(one_service_is_restarted_by_its_name),
		actions_test(more_failed_services_than_are_restarted_at_once_are_counted),
		actions_test(a_list_that_does_not_fit_into_an_answer_says_so),
	};

	return cmocka_run_group_tests_name("services", tests, NULL, NULL);
}
