/* SPDX-License-Identifier: MIT */
/* What peers ask of the agent itself, and of the guest's identity: Status, Subscribe, SetConfig, SystemInfo. */
#include "tests/actions_fixture.h"

#include "collectors/table.h"

static void the_state_of_the_agent_is_told_to_anybody_by_two_names(void **state)
{
	(void)state;
	expect("Status", "", "\"data\":{\"agent\":\"played\"}");
	ask_message(user(1000), "\"type\":\"Status\"");
	answer_has("\"data\":{\"agent\":\"played\"}");
}

static void a_command_is_cancelled_by_whoever_sent_it(void **state)
{
	char members[64], target[16];

	(void)state;
	seen.manager_is_mute = true;
	assert_null(ask("ServiceList", ""));
	snprintf(target, sizeof(target), "%s", asked);
	snprintf(members, sizeof(members), "\"type\":\"CancelCommand\",\"target_id\":\"%s\"", target);
	ask_message(user(1000), members);
	answer_has("\"reason\":\"not_found\"");
	ask_message(&host, members);
	answer_has(members + strlen("\"type\":\"CancelCommand\","));
	answered(&host, target, "CANCELLED");
	ask_message(&host, members);
	answer_has("\"reason\":\"not_found\"");
}

/* --------------------------------------------------------------------------------------------------- subscriptions */

static void topics_are_subscribed_by_name_and_all_without_one(void **state)
{
	(void)state;
	ask_message(user(1000), "\"type\":\"Subscribe\",\"topics\":[\"metrics\"],\"interval_ms\":5000");
	answer_has("\"topics\":[\"metrics\"],\"interval_ms\":5000,\"sample_interval_ms\":30000");
	ask_message(user(1000), "\"type\":\"Subscribe\"");
	answer_has("\"topics\":[\"metrics\",\"events\",\"commands\"]");
	ask_message(user(1000), "\"type\":\"Unsubscribe\",\"topics\":[\"events\",\"metrics\"]");
	answer_has("\"topics\":[\"commands\"]");
	ask_message(user(1000), "\"type\":\"Unsubscribe\"");
	answer_has("\"topics\":[]");
	assert_false(publish_wanted(&publisher, PUBLISH_COMMANDS));
	ask_message(&host, "\"type\":\"Subscribe\"");
	answer_has("\"topics\":[\"metrics\",\"commands\"]");
	ask_message(&host, "\"type\":\"Unsubscribe\"");
}

static void an_unknown_topic_changes_nothing(void **state)
{
	static const char *const topics[] = { "[\"metrics\",\"weather\"]", "[7]", "[]" };
	char members[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(topics); i++) {
		snprintf(members, sizeof(members), "\"type\":\"Subscribe\",\"topics\":%s", topics[i]);
		ask_message(user(1000), members);
		answer_has("\"success\":false");
		snprintf(members, sizeof(members), "\"type\":\"Unsubscribe\",\"topics\":%s", topics[i]);
		ask_message(user(1000), members);
		answer_has("\"success\":false");
	}
	assert_false(publish_wanted(&publisher, PUBLISH_METRICS));
}

static void a_local_client_gets_the_latest_sample_behind_the_answer_once(void **state)
{
	static const char sample[] = "{\"type\":\"metrics\"}\n";
	struct peer *client = user(1000);

	(void)state;
	seen.latest = line_new(LINE_SAMPLE, sample, strlen(sample));
	ask_message(client, "\"type\":\"Subscribe\",\"topics\":[\"metrics\"]");
	assert_int_equal(client->count, 2);
	assert_non_null(strstr(client->lines[0], "\"type\":\"response\""));
	assert_string_equal(client->lines[1], sample);
	ask_message(client, "\"type\":\"Subscribe\",\"topics\":[\"metrics\"]");
	assert_int_equal(client->count, 3);
	ask_message(&host, "\"type\":\"Subscribe\",\"topics\":[\"metrics\"]");
	assert_int_equal(host.count, 1);
	ask_message(client, "\"type\":\"Unsubscribe\"");
	ask_message(&host, "\"type\":\"Unsubscribe\"");
}

/* -------------------------------------------------------------------------------------------------------- settings */

static void a_host_sets_all_values_or_none(void **state)
{
	static const struct {
		const char *values, *part;
	} refused[] = {
		{ "{\"timers.metrics_interval_ms\":7000,\"timers.no_such\":1}", "there is no key timers.no_such" },
		{ "{\"nosection\":1}", "there is no key nosection" },
		{ "{\"timers.metrics_interval_ms\":7000,\"commands.enabled\":true}", "is not for a host to set" },
		{ "{\"timers.metrics_interval_ms\":1.5}", "is expected" },
		{ "{\"timers.metrics_interval_ms\":[1]}", "is expected" },
		{ "{\"timers.metrics_interval_ms\":\"often\"}", "INVALID_PARAMETERS" },
		{ "{\"timers.metrics_interval_ms\":1}", "INVALID_PARAMETERS" },
	};
	char members[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		snprintf(members, sizeof(members), "\"type\":\"SetConfig\",\"values\":%s", refused[i].values);
		ask_message(&host, members);
		answer_has(refused[i].part);
		answer_has("nothing was changed");
	}
	assert_int_equal(seen.configs, 0);
	ask_message(&host, "\"type\":\"SetConfig\",\"values\":{\"timers.metrics_interval_ms\":7000,"
			   "\"collectors.processes_top\":\"5\"}");
	answer_has("\"values\":{\"timers.metrics_interval_ms\":\"7000\",\"collectors.processes_top\":\"5\"},"
		   "\"persistent\":false");
	assert_int_equal(seen.configs, 1);
	assert_int_equal(config.timers.metrics_interval_ms, 7000);
	assert_int_equal(config.collectors.processes_top, 5);
	ask_message(user(1000), "\"type\":\"SetConfig\",\"values\":{\"timers.metrics_interval_ms\":8000}");
	answer_has("POLICY_DENIED");
}

/* -------------------------------------------------------------------------------------------------------- identity */

static void the_identity_of_the_guest_is_that_of_its_files(void **state)
{
	(void)state;
	machine_of("debian-12");
	expect("SystemInfo", "", "\"version\":\"12\"");
	answer_has("\"linux_distro\":\"Debian GNU/Linux 12 (bookworm)\"");
	expect("OsInfo", "", "\"os_name\":\"Debian GNU/Linux\"");
	answer_has("\"available_package_managers\":[");
	answer_has("\"default_shell\":\"/bin/bash\"");
}

static void a_collector_that_fails_is_named(void **state)
{
	(void)state;
	measured_of(&collector_host)->state = calloc(1, 1);
	expect("SystemInfo", "", "the host collector is off or failing");
	free(measured_of(&collector_host)->state);
	measured_of(&collector_host)->state = NULL;
}

static void actions_of_other_platforms_are_known_as_such(void **state)
{
	(void)state;
	expect("CheckWindowsUpdates", "", "\"success\":false");
	answer_has("UNSUPPORTED");
	expect("NoSuchAction", "", "\"success\":false");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		actions_test(the_state_of_the_agent_is_told_to_anybody_by_two_names),
		actions_test(a_command_is_cancelled_by_whoever_sent_it),
		actions_test(topics_are_subscribed_by_name_and_all_without_one),
		actions_test(an_unknown_topic_changes_nothing),
		actions_test(a_local_client_gets_the_latest_sample_behind_the_answer_once),
		actions_test(a_host_sets_all_values_or_none),
		actions_test(the_identity_of_the_guest_is_that_of_its_files),
		actions_test(a_collector_that_fails_is_named),
		actions_test(actions_of_other_platforms_are_known_as_such),
	};

	return cmocka_run_group_tests_name("agent_actions", tests, NULL, NULL);
}
