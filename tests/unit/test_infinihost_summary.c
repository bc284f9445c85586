/* SPDX-License-Identifier: MIT */
/* What a person sees of a message: its type first, and nothing that drives a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "tools/infinihost/summary.h"

/* The summary of a message; to be freed. */
static char *summary_of(const char *json)
{
	struct json_object *message = json_tokener_parse(json);
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(message);
	summary_print(out, message);
	fclose(out);
	json_object_put(message);
	return text;
}

static void assert_summary(const char *json, const char *want)
{
	char *text = summary_of(json);

	assert_string_equal(text, want);
	free(text);
}

static void each_type_has_its_line(void **state)
{
	(void)state;
	assert_summary("{\"type\":\"handshake\",\"vm_id\":\"v\",\"version\":\"1\",\"platform\":\"linux\","
		       "\"capabilities\":[\"a\",\"b\"]}",
		       "handshake  vm v  version 1  platform linux  2 capabilities\n");
	assert_summary(
		"{\"type\":\"response\",\"id\":\"i\",\"command_type\":\"OsInfo\",\"success\":true,\"exit_code\":0,"
		"\"execution_time_ms\":3,\"data\":{\"a\":\"x/y\"}}",
		"response  id i  to OsInfo  success  exit code 0  in 3 ms  data {\"a\":\"x/y\"}\n");
	assert_summary("{\"type\":\"response\",\"id\":\"i\",\"command_type\":\"unsafe\",\"success\":false,\"error_"
		       "code\":\"QUEUE_FULL\","
		       "\"error\":\"busy\",\"data\":null}",
		       "response  id i  to unsafe  failed  as QUEUE_FULL  error: busy\n");
	assert_summary("{\"type\":\"error\",\"error\":\"no\",\"details\":{\"code\":\"STALE\",\"reason\":\"stale\"}}",
		       "error  code STALE  reason stale  error: no\n");
	assert_summary("{\"type\":\"keep_alive\",\"sequence_number\":7}", "keep_alive  sequence number 7\n");
	assert_summary("{\"type\":\"agent_event\",\"severity\":\"info\",\"source\":\"clock\",\"message\":\"m\"}",
		       "agent_event  severity info  from clock  message: m\n");
	assert_summary("{\"type\":\"novelty\",\"a\":1}", "novelty  {\"type\":\"novelty\",\"a\":1}\n");
}

static void a_sample_shows_use_memory_space_addresses_and_load(void **state)
{
	(void)state;
	assert_summary("{\"type\":\"metrics\",\"seq\":5,\"data\":{\"system\":{\"cpu\":{\"usage_percent\":12.5,\"cores_"
		       "usage\":[1,2]},"
		       "\"memory\":{\"used_kb\":1048576,\"total_kb\":2097152},"
		       "\"disk\":{\"usage_stats\":[{\"mount_point\":\"/\",\"total_gb\":10,\"used_gb\":5}]},"
		       "\"network\":{\"interfaces\":[{\"name\":\"down0\",\"is_up\":false,\"ip_addresses\":[]},"
		       "{\"name\":\"eth0\",\"is_up\":true,\"ip_addresses\":[\"10.0.2.15\"]}]},"
		       "\"load_average\":{\"load_1min\":0.25}},\"processes\":[{}],\"ports\":[]}}",
		       "metrics  seq 5  cpu 12.5% of 2  memory 1.0/2.0 GiB  / 50%  eth0 10.0.2.15  load 0.25  1 "
		       "processes  0 ports\n");
}

static void wrong_shapes_do_no_harm(void **state)
{
	static const char *const messages[] = {
		"{\"type\":\"metrics\"}",
		"{\"type\":\"metrics\",\"data\":7}",
		"{\"type\":\"metrics\",\"data\":{\"system\":{\"disk\":{\"usage_stats\":[null,3,{}]}},\"processes\":{}}"
		"}",
		"{\"type\":\"metrics\",\"data\":{\"system\":{\"network\":{\"interfaces\":[null,{\"ip_addresses\":[null]"
		"}]}}}}",
		"{\"type\":\"metrics\",\"data\":{\"system\":{\"network\":{\"interfaces\":[{\"is_up\":true,\"ip_"
		"addresses\":\"x\"}]}}}}",
		"{\"type\":\"handshake\",\"capabilities\":\"all\",\"vm_id\":[]}",
		"{\"type\":\"response\",\"success\":\"yes\",\"id\":{}}",
		"{\"type\":\"error\",\"details\":[]}",
		"{\"type\":[\"metrics\"]}",
		"{}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		char *text = summary_of(messages[i]);

		assert_non_null(strchr(text, '\n'));
		free(text);
	}
}

static void control_characters_never_reach_the_terminal(void **state)
{
	char *text = summary_of(
		"{\"type\":\"error\",\"error\":\"a\\u001b]0;x\\u0007\\u009b31m\\u007f\\nb\xc3\xa9\",\"details\":{}}");

	(void)state;
	assert_string_equal(text, "error  error: a?]0;x??31m??b\xc3\xa9\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_type_has_its_line),
		cmocka_unit_test(a_sample_shows_use_memory_space_addresses_and_load),
		cmocka_unit_test(wrong_shapes_do_no_harm),
		cmocka_unit_test(control_characters_never_reach_the_terminal),
	};

	return cmocka_run_group_tests_name("infinihost_summary", tests, NULL, NULL);
}
