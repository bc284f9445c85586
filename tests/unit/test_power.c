/* SPDX-License-Identifier: MIT */
/* RebootSystem and ShutdownSystem: what stands against them, and the delay between the answer and the operation. */
#include "tests/actions_fixture.h"

static const char *locks; /* of logind; NULL: there is no logind */
static bool without_manager;

static int answer_logind(sd_bus_message *message)
{
	bool logind = strcmp(sd_bus_message_get_path(message), "/org/freedesktop/login1") == 0;

	if (logind && locks)
		return sd_bus_reply_method_return(message, "v", "s", locks);
	if (!logind && !without_manager)
		return sd_bus_reply_method_return(message, "v", "s", "252");
	return sd_bus_reply_method_errorf(message, SD_BUS_ERROR_SERVICE_UNKNOWN, "nobody has that name");
}

static int begin(void **state)
{
	int r = actions_begin(state);

	locks = "";
	without_manager = false;
	seen.manager = answer_logind;
	return r;
}

static void the_answer_goes_first_and_the_operation_follows(void **state)
{
	(void)state;
	play("operation*", 0, "")->words = "done";
	expect("RebootSystem", "", "\"action\":\"reboot\",\"delay_s\":3,\"at\":\"2023-11-14T22:13:23.000Z\"");
	assert_int_equal(job_count, 0);
	later(2999 * NS_PER_MS);
	assert_int_equal(job_count, 0);
	later(NS_PER_MS);
	assert_int_equal(job_count, 1);
	assert_string_equal(jobs[0].text, "operation 6 ");
	assert_string_equal(jobs[0].action, "RebootSystem");
	assert_ptr_equal(jobs[0].exec, &executor);
	assert_string_equal(seen.events, "");
	turns();
	expect("ShutdownSystem", "\"delay_s\":60", "\"action\":\"shutdown\",\"delay_s\":60");
	later(60 * NS_PER_S);
	assert_non_null(job_of("operation 7 "));
}

static void only_one_may_be_pending(void **state)
{
	(void)state;
	expect("RebootSystem", "\"delay_s\":100", "\"success\":true");
	expect("ShutdownSystem", "", "\"reason\":\"pending\"");
	later(100 * NS_PER_S);
	expect("ShutdownSystem", "", "\"reason\":\"pending\"");
	assert_int_equal(job_count, 1);
	job_end(&jobs[0]);
	expect("ShutdownSystem", "", "\"success\":true");
}

static void a_lock_against_it_is_told_and_force_goes_over_it(void **state)
{
	(void)state;
	locks = "sleep:shutdown";
	expect("RebootSystem", "", "\"reason\":\"inhibited\"");
	expect("RebootSystem", "\"force\":true", "\"success\":true");
	locks = "sleep";
	power_done(&env.power);
	expect("RebootSystem", "", "\"success\":true");
}

static void without_logind_the_service_manager_has_to_be_there(void **state)
{
	(void)state;
	locks = NULL;
	expect("ShutdownSystem", "", "\"success\":true");
	power_done(&env.power);
	without_manager = true;
	expect("ShutdownSystem", "", "nobody has that name");
	assert_false(env.power.pending);
}

static void who_has_no_rights_or_asks_wrongly_is_refused(void **state)
{
	(void)state;
	expect("RebootSystem", "\"delay_s\":86401", "INVALID_PARAMETERS");
	expect("RebootSystem", "\"force\":3", "INVALID_PARAMETERS");
	executor.state = EXEC_STATE_OFF;
	expect("RebootSystem", "", "\"reason\":\"no_executor\"");
	seen.uid = 0;
	expect("RebootSystem", "", "\"reason\":\"no_executor\"");
	ask_as(user(0), "RebootSystem", "");
	answer_has("POLICY_DENIED");
	assert_int_equal(seen.manager_calls, 0);
}

static void an_operation_that_did_not_happen_is_told_to_the_host(void **state)
{
	(void)state;
	expect("RebootSystem", "", "\"success\":true");
	executor.state = EXEC_STATE_OFF;
	later(3 * NS_PER_S);
	assert_non_null(strstr(seen.events, "error power: reboot did not happen: the agent has no rights"));
	executor.state = EXEC_STATE_READY;
	play("operation*", 0, "")->lost = true;
	expect("ShutdownSystem", "", "\"success\":true");
	later(3 * NS_PER_S);
	turns();
	assert_non_null(strstr(seen.events, "error power: power-off did not happen: "));
	assert_false(env.power.pending);
}

static void an_agent_that_stops_gives_a_pending_one_up(void **state)
{
	(void)state;
	power_cancel(&env.power);
	assert_string_equal(seen.events, "");
	expect("RebootSystem", "", "\"success\":true");
	power_cancel(&env.power);
	assert_non_null(strstr(seen.events, "the agent was stopped before"));
	later(3600 * NS_PER_S);
	assert_int_equal(job_count, 0);
}

#define power_test(function) cmocka_unit_test_setup_teardown(function, begin, actions_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		power_test(the_answer_goes_first_and_the_operation_follows),
		power_test(only_one_may_be_pending),
		power_test(a_lock_against_it_is_told_and_force_goes_over_it),
		power_test(without_logind_the_service_manager_has_to_be_there),
		power_test(who_has_no_rights_or_asks_wrongly_is_refused),
		power_test(an_operation_that_did_not_happen_is_told_to_the_host),
		power_test(an_agent_that_stops_gives_a_pending_one_up),
	};

	return cmocka_run_group_tests_name("power", tests, NULL, NULL);
}
