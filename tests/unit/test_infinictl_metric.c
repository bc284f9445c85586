/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "tools/infinictl/metric.h"
#include "tools/infinictl/table.h"
#include "tools/infinictl/text.h"

static const char sample[] =
	"{\"system\":{\"cpu\":{\"usage_percent\":12.5,\"cores_usage\":[1.0,24.0],\"temperature\":null},"
	"\"disk\":{\"usage_stats\":[{\"mount_point\":\"/\",\"used_gb\":3.5},{\"mount_point\":\"/a.b\",\"used_gb\":4}]},"
	"\"network\":{\"interfaces\":[{\"name\":\"eth0\",\"bytes_received\":100,\"ip_addresses\":[\"10.0.0.1\"]}]}},"
	"\"processes\":[{\"pid\":4711,\"name\":\"sh\"}],\"a\":[[1,2],[3,4]]}";

static void finds_values_by_name_index_and_item(void **state)
{
	static const struct {
		const char *path, *want; /* NULL: not there */
	} cases[] = {
		{ "system.cpu.usage_percent", "12.5" },
		{ "system.cpu.cores_usage[1]", "24.0" },
		{ "system.network.interfaces[eth0].bytes_received", "100" },
		{ "system.network.interfaces[0].ip_addresses[0]", "\"10.0.0.1\"" },
		{ "system.disk.usage_stats[/].used_gb", "3.5" },
		{ "system.disk.usage_stats[/a.b].used_gb", "4" },
		{ "processes[4711].name", "\"sh\"" },
		{ "a[1][0]", "3" },
		{ "[system].cpu.usage_percent", "12.5" },
		{ "system.cpu.temperature", "null" },
		{ "system.cpu.nothing", NULL },
		{ "system.cpu.usage_percent.deeper", NULL },
		{ "system.cpu.cores_usage[2]", NULL },
		{ "system.network.interfaces.eth0", NULL },
		{ "system.network.interfaces[eth1].bytes_received", NULL },
	};
	struct json_object *data = text_parse(sample, strlen(sample));

	(void)state;
	assert_non_null(data);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct json_object *value = NULL;
		struct metric metric;
		bool found;

		assert_int_equal(metric_parse(cases[i].path, &metric, NULL), 0);
		found = metric_find(&metric, data, &value);
		if (found != (cases[i].want != NULL) ||
		    (found &&
		     strcmp(json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN), cases[i].want) != 0))
			fail_msg("%s", cases[i].path);
	}
	json_object_put(data);
}

static void refuses_a_path_that_makes_no_sense(void **state)
{
	static const char *const bad[] = { "",	  ".",	 "a.",	  ".a", "a..b",	 "a[",
					   "a[]", "a[0", "a[0]b", "[",	"a.[0]", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q" };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct metric metric;
		struct err err = { 0 };

		if (metric_parse(bad[i], &metric, &err) != -EINVAL)
			fail_msg("\"%s\" was taken", bad[i]);
		assert_true(strlen(err.text) > 5);
	}
}

static void hostile_json_is_refused_before_it_costs_memory(void **state)
{
	size_t size = 1 << 20;
	char *text = malloc(size);

	(void)state;
	text[0] = '{';
	memcpy(text + 1, "\"a\":[", 5);
	for (size_t i = 6; i < size; i++)
		text[i] = i % 3 == 0 ? '{' : i % 3 == 1 ? '}' : ',';
	assert_null(text_parse(text, size));
	memset(text, '[', size);
	assert_null(text_parse(text, size));
	assert_null(text_parse(text, 50));
	assert_null(text_parse("{} x", 4));
	assert_null(text_parse("", 0));
	free(text);
}

static void the_table_shows_rates_between_rows_and_dashes_for_the_unknown(void **state)
{
	static const char first[] =
		"{\"type\":\"metrics\",\"boot_id\":\"b\",\"data\":{\"system\":{\"cpu\":{\"usage_percent\":7},"
		"\"network\":{\"interfaces\":[{\"bytes_received\":1000,\"bytes_sent\":0}]}}}}";
	static const char second[] =
		"{\"type\":\"metrics\",\"boot_id\":\"b\",\"data\":{\"system\":{\"cpu\":{\"usage_percent\":8},"
		"\"network\":{\"interfaces\":[{\"bytes_received\":5120,\"bytes_sent\":400}]}}}}";
	char *out = NULL, *row;
	size_t size;
	FILE *stream = open_memstream(&out, &size);
	struct json_object *a = text_parse(first, strlen(first)), *b = text_parse(second, strlen(second));
	struct table table;

	(void)state;
	table_init(&table, stream, true, 0, false);
	table_print(&table, 1790000000000, a);
	table_print(&table, 1790000002000, b);
	fclose(stream);
	row = strchr(out, '\n') + 1;
	assert_string_equal(row,
			    "2026-09-21 14:13:20    7.0      -      -      -        -        -        -        -      -"
			    "      -      -      -      -      -      -\n"
			    "2026-09-21 14:13:22    8.0      -      -      -        -        -     2.0K     200B      -"
			    "      -      -      -      -      -      -\n");
	free(out);
	json_object_put(a);
	json_object_put(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_values_by_name_index_and_item),
		cmocka_unit_test(refuses_a_path_that_makes_no_sense),
		cmocka_unit_test(hostile_json_is_refused_before_it_costs_memory),
		cmocka_unit_test(the_table_shows_rates_between_rows_and_dashes_for_the_unknown),
	};

	return cmocka_run_group_tests_name("infinictl_metric", tests, NULL, NULL);
}
