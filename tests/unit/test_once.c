/* SPDX-License-Identifier: MIT */
/* The one message of --once, of this machine. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "agent/metrics/once.h"

static unsigned left_out;

static void on_left_out(void *data, const char *name, int error)
{
	assert_ptr_equal(data, &left_out);
	assert_non_null(name);
	assert_true(error <= 0);
	left_out++;
}

static void it_is_one_whole_message_with_rates_and_without_a_number(void **state)
{
	static char text[1 << 20];
	struct json_object *root, *data, *value;
	FILE *out = fmemopen(text, sizeof(text), "w");
	struct config config;

	(void)state;
	assert_int_equal(config_init(&config), 0);
	config.timers.collect_timeout_ms = 100;
	assert_int_equal(once_print(&config, out, on_left_out, &left_out), 0);
	fclose(out);
	config_free(&config);
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	root = json_tokener_parse(text);
	assert_string_equal(json_object_get_string(json_object_object_get(root, "type")), "metrics");
	assert_int_equal(json_object_get_int(json_object_object_get(root, "seq")), 0);
	assert_int_equal(strlen(json_object_get_string(json_object_object_get(root, "generation"))), 16);
	assert_false(json_object_object_get_ex(root, "gap", &value));
	data = json_object_object_get(json_object_object_get(root, "data"), "system");
	assert_true(json_object_object_get_ex(data, "cpu", &value));
	assert_true(json_object_object_get_ex(value, "usage_percent", &value));
	assert_true(json_object_is_type(value, json_type_double) || json_object_is_type(value, json_type_int));
	json_object_put(root);
}

static void a_full_file_is_an_error(void **state)
{
	FILE *out = fopen("/dev/full", "w");
	struct config config;

	(void)state;
	if (!out)
		skip();
	assert_int_equal(config_init(&config), 0);
	config.timers.collect_timeout_ms = 1;
	assert_int_equal(once_print(&config, out, on_left_out, &left_out), -EIO);
	fclose(out);
	config_free(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_one_whole_message_with_rates_and_without_a_number),
		cmocka_unit_test(a_full_file_is_an_error),
	};

	return cmocka_run_group_tests_name("once", tests, NULL, NULL);
}
