/* SPDX-License-Identifier: MIT */
/* What the hub's page is made of: its policy, whose Host it takes, and VMs as JSON. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "tools/hub/hour.h"
#include "tools/hub/page.h"
#include "tools/hub/parse.h"
#include "tools/hub/recent.h"
#include "tools/hub/tell.h"

/* Of nothing, and of "abc" (FIPS 180-2, B.1), in base64. */
#define HASH_OF_NOTHING "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define HASH_OF_ABC	"ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="

static void a_policy_names_the_style_and_the_script_by_their_hashes(void **state)
{
	char policy[PAGE_POLICY_SIZE];

	(void)state;
	assert_int_equal(page_policy("<style></style><script>abc</script>", policy), 0);
	assert_non_null(strstr(policy, "default-src 'none'; "));
	assert_non_null(strstr(policy, "; style-src 'sha256-" HASH_OF_NOTHING "'; "));
	assert_non_null(strstr(policy, "; script-src 'sha256-" HASH_OF_ABC "'; "));
	assert_int_equal(page_policy("<style></style>", policy), -EINVAL);
	assert_int_equal(page_policy("<style></style><script>", policy), -EINVAL);
	assert_int_equal(page_policy("<style></style><script></script><script></script>", policy), -EINVAL);
	assert_int_equal(page_policy(page_html, policy), 0);
	assert_non_null(strstr(page_html, "\"use strict\";\n"));
}

static void a_browser_that_was_sent_by_another_name_is_not_ours(void **state)
{
	static const char *const ours[] = { "127.0.0.1",      "127.0.0.1:9889", "[::1]",   "[2001:db8::7]:80",
					    "localhost:9889", "LocalHost",	"kvm1:80", "HUB.example" };
	static const char *const others[] = { "",
					      "evil.example",
					      "localhost.evil.example",
					      "127.0.0.1.evil.example",
					      "[::1",
					      "[]",
					      "[evil]",
					      "kvm",
					      "kvm11",
					      ":80",
					      "kvm1 hub.example",
					      "hub.example.",
					      "1270.0.0.1" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		assert_true(page_host_is_ours(ours[i], " kvm1  hub.example "));
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_false(page_host_is_ours(others[i], " kvm1  hub.example "));
	assert_false(page_host_is_ours("kvm1", ""));
}

static void a_label_is_read_without_its_escapes_and_never_inside_another(void **state)
{
	static const char labels[] = "device=\"a\\\"b,mountpoint=\\\"/x\\\"\",mountpoint=\"\\\\home\",empty=\"\"";
	char out[16];

	(void)state;
	assert_true(tell_label(labels, sizeof(labels) - 1, "mountpoint", out, sizeof(out)));
	assert_string_equal(out, "\\home");
	assert_true(tell_label(labels, sizeof(labels) - 1, "device", out, sizeof(out)));
	assert_string_equal(out, "a\"b,mountpoint=");
	assert_true(tell_label(labels, sizeof(labels) - 1, "empty", out, sizeof(out)));
	assert_string_equal(out, "");
	assert_false(tell_label(labels, sizeof(labels) - 1, "mount", out, sizeof(out)));
	for (size_t len = 0; len < sizeof(labels) - 1; len++) /* a text that is cut anywhere */
		tell_label(labels, len, "none", out, sizeof(out));
}

static struct json_object *parse(const char *text)
{
	struct json_object *object = line_parse(text, strlen(text));

	assert_non_null(object);
	return object;
}

static void take(struct recent *recent, const char *text, int64_t now_ms)
{
	struct json_object *message = parse(text);

	recent_take_event(recent, message, now_ms);
	json_object_put(message);
}

static void assert_json(struct json_object *object, const char *text)
{
	assert_string_equal(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN), text);
	json_object_put(object);
}

static void alerts_are_on_from_their_begin_to_their_end(void **state)
{
	struct recent recent = { 0 };

	(void)state;
	take(&recent, "{\"severity\":\"warn\",\"source\":\"alert\",\"message\":\"a: x > 1 for 5 s\"}", 1000);
	take(&recent, "{\"severity\":\"warn\",\"source\":\"log\",\"message\":\"b: x > 1 for 5 s\"}", 1000);
	take(&recent, "{\"severity\":\"warn\",\"source\":\"alert\",\"message\":\"a: x > 1 for 9 s\"}", 2000);
	assert_int_equal(recent.alerts_len, 1);
	take(&recent,
	     "{\"severity\":\"warn\",\"source\":\"alert\",\"message\":\"c: "
	     "y\",\"context\":{\"standing\":true,\"since\":"
	     "\"1970-01-01T00:00:00.500Z\"}}",
	     3000);
	assert_json(recent_alerts(&recent),
		    "[{\"since_ms\":500,\"name\":\"c\",\"message\":\"c: y\"},{\"since_ms\":1000,"
		    "\"name\":\"a\",\"message\":\"a: x > 1 for 9 s\"}]");
	take(&recent, "{\"severity\":\"info\",\"source\":\"alert\",\"message\":\"a: is over: x > 1 for 9 s\"}", 4000);
	take(&recent, "{\"severity\":\"info\",\"source\":\"alert\",\"message\":\"never: is over: x\"}", 4000);
	assert_json(recent_alerts(&recent), "[{\"since_ms\":500,\"name\":\"c\",\"message\":\"c: y\"}]");
	recent_end_session(&recent);
	assert_json(recent_alerts(&recent), "[]");
	/* In the next one it is told again, which is no event. */
	take(&recent,
	     "{\"severity\":\"warn\",\"source\":\"alert\",\"message\":\"c: y\",\"context\":{\"standing\":true}}", 5000);
	assert_int_equal(recent.alerts_len, 1);
	assert_int_equal(recent.events_count, 6);
	assert_true(recent_memory(&recent) < 24 * 1024);
	recent_free(&recent);
}

static void events_and_commands_are_few_and_whole_characters_that_may_be_shown(void **state)
{
	struct recent recent = { 0 };
	struct json_object *list, *first;
	char text[2048] = "{\"severity\":\"warn\",\"source\":\"\\u202e\\u0007x\",\"message\":\"";

	(void)state;
	for (int i = 0; i < 300; i++)
		strcat(text, "\xc3\xa4");
	strcat(text, "\"}");
	for (int i = 0; i < 100; i++) {
		take(&recent, text, i);
		recent_take_command(&recent, "Action", i % 2 ? "success" : "TIMEOUT", 5, i);
	}
	list = recent_events(&recent);
	assert_int_equal(json_object_array_length(list), RECENT_MAX);
	first = json_object_array_get_idx(list, 0);
	assert_int_equal(json_object_get_int(json_at(first, "at_ms")), 99);
	assert_string_equal(json_text_at(first, "source"), "??x");
	assert_int_equal(strlen(json_text_at(first, "message")), 198);
	json_object_put(list);
	list = recent_commands(&recent);
	assert_int_equal(json_object_array_length(list), RECENT_MAX);
	json_object_array_del_idx(list, 1, RECENT_MAX - 1);
	assert_json(list, "[{\"at_ms\":99,\"action\":\"Action\",\"result\":\"success\",\"took_ms\":5}]");
	take(&recent, "{\"severity\":5,\"message\":[],\"context\":7}", 0);
	list = recent_events(&recent);
	assert_string_equal(json_text_at(json_object_array_get_idx(list, 0), "message"), "");
	json_object_put(list);
	recent_free(&recent);
}

static void what_is_not_known_of_a_vm_is_null(void **state)
{
	struct vm vm = { .name = "web1", .pressure_percent = 3 };

	(void)state;
	assert_json(
		tell_row(&vm, 0),
		"{\"vm\":\"web1\",\"uuid\":null,\"state\":\"away\",\"reason\":null,\"age_s\":null,\"cpu_percent\":null,"
		"\"steal_percent\":null,\"memory_percent\":null,\"disk_percent\":null,\"pressure_percent\":null,"
		"\"load\":null,\"alerts\":null}");
}

static void a_row_has_the_figures_of_the_sample(void **state)
{
	static const char line[] =
		"{\"timestamp\":\"2026-01-02T03:04:05.678Z\",\"seq\":1,\"data\":{\"system\":{\"cpu\":{\"usage_"
		"percent\":50,"
		"\"nice_percent\":7,\"steal_percent\":25},\"memory\":{\"total_kb\":100,\"available_kb\":25},\"disk\":{"
		"\"usage_stats\":[{\"mount_point\":\"/"
		"a\",\"total_bytes\":100,\"used_bytes\":30,\"available_bytes\":30},"
		"{\"mount_point\":\"/b\",\"total_bytes\":100,\"used_bytes\":60,\"available_bytes\":20},"
		"{\"mount_point\":\"/c\",\"total_bytes\":0,\"used_bytes\":0,\"available_bytes\":0}]}}}}";
	struct vm vm = { .name = "web1", .pressure_percent = 3, .greeted = true, .sample_ns = NS_PER_S };
	struct json_object *message = parse(line), *told;

	(void)state;
	assert_int_equal(series_of_sample(message, NULL, &(struct series_bounds){ 100, 4096 }, &vm.live), 0);
	json_object_put(message);
	told = tell_row(&vm, 3 * NS_PER_S);
	assert_int_equal(json_object_get_double(json_at(told, "age_s")), 2);
	assert_int_equal(json_object_get_double(json_at(told, "cpu_percent")), 50);
	assert_int_equal(json_object_get_double(json_at(told, "steal_percent")), 25);
	assert_int_equal(json_object_get_double(json_at(told, "memory_percent")), 75);
	assert_int_equal(json_object_get_double(json_at(told, "disk_percent")), 75);
	assert_int_equal(json_object_get_double(json_at(told, "pressure_percent")), 3);
	assert_true(json_has(told, "load", NULL) && !json_at(told, "load"));
	assert_int_equal(json_object_get_int(json_at(told, "alerts")), 0);
	json_object_put(told);
	told = tell_vm(&vm, 3 * NS_PER_S);
	assert_int_equal(json_object_array_length(json_at(told, "filesystems")), 3);
	assert_null(json_at(json_object_array_get_idx(json_at(told, "filesystems"), 2), "used_percent"));
	json_object_put(told);
	free(vm.live);
}

static void a_point_of_the_hour_has_what_the_sample_knows(void **state)
{
	struct json_object *sample = parse(
		"{\"timestamp\":\"1970-01-01T00:00:01.500Z\",\"data\":{\"system\":{\"cpu\":{\"usage_percent\":12.5,"
		"\"steal_percent\":null},\"memory\":{\"total_kb\":100,\"available_kb\":25},\"network\":{\"interfaces\":"
		"["
		"{\"rx_bytes_per_sec\":10,\"tx_bytes_per_sec\":null},7,{\"rx_bytes_per_sec\":5}]},\"disk\":{\"io_"
		"stats\":{"
		"\"read_bytes_per_sec\":3},\"usage_stats\":[{\"used_bytes\":1,\"available_bytes\":3},{\"used_bytes\":1,"
		"\"available_bytes\":1},{\"used_bytes\":9,\"available_bytes\":1,\"stale\":true}]},\"pressure\":{\"io\":"
		"{"
		"\"some\":{\"avg10_percent\":4}},\"cpu\":null}}}}");
	struct hour_point point;

	(void)state;
	assert_true(hour_point_of(sample, &point));
	json_object_put(sample);
	assert_int_equal(point.at_ms, 1500);
	assert_true(point.values[HOUR_CPU] == 12.5F && isnan(point.values[HOUR_STEAL]));
	assert_true(point.values[HOUR_MEMORY] == 75 && point.values[HOUR_DISK] == 50);
	assert_true(point.values[HOUR_PRESSURE] == 4);
	assert_true(point.values[HOUR_RECEIVED] == 15 && isnan(point.values[HOUR_SENT]));
	assert_true(point.values[HOUR_READ] == 3 && isnan(point.values[HOUR_WRITTEN]));
	assert_false(hour_point_of(NULL, &point));
}

static void places_for_hours_are_few_and_free_again_after_a_minute(void **state)
{
	struct hours hours = { { NULL } };
	struct vm vm = { .name = "away" };

	(void)state;
	for (vm.serial = 1; vm.serial <= HOURS_MAX; vm.serial++)
		assert_json(hours_tell(&hours, &vm, NS_PER_S),
			    "{\"state\":\"failed\",\"reason\":\"the VM is not connected\"}");
	assert_json(hours_tell(&hours, &vm, 60 * NS_PER_S), "{\"state\":\"busy\"}");
	assert_json(hours_tell(&hours, &vm, 62 * NS_PER_S),
		    "{\"state\":\"failed\",\"reason\":\"the VM is not connected\"}");
	hours_tick(&hours, 200 * NS_PER_S);
	for (size_t i = 0; i < HOURS_MAX; i++)
		assert_null(hours.all[i]);
	hours_free(&hours);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_policy_names_the_style_and_the_script_by_their_hashes),
		cmocka_unit_test(a_browser_that_was_sent_by_another_name_is_not_ours),
		cmocka_unit_test(a_label_is_read_without_its_escapes_and_never_inside_another),
		cmocka_unit_test(alerts_are_on_from_their_begin_to_their_end),
		cmocka_unit_test(events_and_commands_are_few_and_whole_characters_that_may_be_shown),
		cmocka_unit_test(what_is_not_known_of_a_vm_is_null),
		cmocka_unit_test(a_row_has_the_figures_of_the_sample),
		cmocka_unit_test(a_point_of_the_hour_has_what_the_sample_knows),
		cmocka_unit_test(places_for_hours_are_few_and_free_again_after_a_minute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
