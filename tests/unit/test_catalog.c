/* SPDX-License-Identifier: MIT */
/* The catalogue of metrics against a sample of this machine, in both directions, and its own rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "agent/catalog/catalog.h"
#include "agent/metrics/once.h"
#include "tools/infinictl/metric.h"

static void on_left_out(void *data, const char *name, int error)
{
	(void)data;
	(void)name;
	(void)error;
}

/* The newest sample of this machine; only its `data`, owned by the caller. */
static struct json_object *take_sample(void)
{
	static char text[1 << 20];
	FILE *out = fmemopen(text, sizeof(text), "w");
	struct json_object *root, *data;
	struct config config;

	assert_int_equal(config_init(&config), 0);
	config.timers.collect_timeout_ms = 1000;
	assert_int_equal(once_print(&config, out, on_left_out, NULL), 0);
	fclose(out);
	config_free(&config);
	root = json_tokener_parse(text);
	data = json_object_get(json_object_object_get(root, "data"));
	json_object_put(root);
	return data;
}

/* Every number below `value` has its line in the table. Counts those that have none. */
static unsigned walk(struct json_object *value, const char *path)
{
	unsigned missing = 0;
	char below[METRIC_TEXT_MAX];

	if (json_object_is_type(value, json_type_object)) {
		json_object_object_foreach(value, key, member)
		{
			snprintf(below, sizeof(below), "%s%s%s", path, *path ? "." : "", key);
			missing += walk(member, below);
		}
	} else if (json_object_is_type(value, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(value); i++) {
			snprintf(below, sizeof(below), "%s[%zu]", path, i);
			missing += walk(json_object_array_get_idx(value, i), below);
		}
	} else if ((json_object_is_type(value, json_type_int) || json_object_is_type(value, json_type_double)) &&
		   !catalog_find(path)) {
		print_error("%s has no line in agent/catalog/catalog.c: give it one, with its unit and meaning\n",
			    path);
		missing++;
	}
	return missing;
}

static void every_number_of_a_sample_is_in_the_catalogue(void **state)
{
	struct json_object *data = take_sample();

	(void)state;
	assert_int_equal(walk(data, ""), 0);
	json_object_put(data);
}

/* True when the names of the path lead to a number or to null; also when one on the way is null or a list without
 * items. */
static bool is_there(struct json_object *at, const char *path)
{
	char name[64];

	while (*path) {
		size_t len;

		if (!at)
			return true;
		if (*path == '[') {
			if (!json_object_is_type(at, json_type_array))
				return false;
			if (json_object_array_length(at) == 0)
				return true;
			at = json_object_array_get_idx(at, 0);
			path = strchr(path, ']') + 1;
		} else {
			len = strcspn(path, ".[");
			snprintf(name, sizeof(name), "%.*s", (int)len, path);
			if (!json_object_is_type(at, json_type_object) || !json_object_object_get_ex(at, name, &at))
				return false;
			path += len;
		}
		path += *path == '.';
	}
	return !at || json_object_is_type(at, json_type_int) || json_object_is_type(at, json_type_double);
}

static void every_metric_of_the_catalogue_is_in_a_sample(void **state)
{
	struct json_object *data = take_sample();
	unsigned missing = 0;

	(void)state;
	for (size_t i = 0; i < catalog_count; i++) {
		const struct catalog_metric *metric = &catalog_metrics[i];

		if ((metric->flags & CATALOG_SOMETIMES) || is_there(data, metric->path))
			continue;
		print_error("%s is in the catalogue and not in the sample\n", metric->path);
		missing++;
	}
	assert_int_equal(missing, 0);
	json_object_put(data);
}

static void its_lines_keep_the_rules(void **state)
{
	unsigned kept = 0;

	(void)state;
	for (size_t i = 0; i < catalog_count; i++) {
		const struct catalog_metric *metric = &catalog_metrics[i];
		struct err err = { 0 };
		struct metric parsed;
		bool is_kept = metric->flags & CATALOG_KEPT;

		assert_int_equal(metric_parse(metric->path, &parsed, &err), 0);
		/* The first line of a path is the one that is found: none stands twice. */
		assert_ptr_equal(catalog_find(metric->path), metric);
		assert_in_range(strlen(metric->meaning), 8, 120);
		assert_int_not_equal(metric->meaning[strlen(metric->meaning) - 1], '.');
		/* Neither processes nor ports are kept. */
		if (is_kept)
			assert_true(strncmp(metric->path, "processes[", 10) && strncmp(metric->path, "ports[", 6));
		kept += is_kept;
	}
	assert_in_range(kept, 30, CATALOG_KEPT_MAX);
}

static void a_path_is_found_whatever_item_it_names(void **state)
{
	static const struct {
		const char *written, *want; /* NULL: none */
	} cases[] = {
		{ "system.cpu.usage_percent", "system.cpu.usage_percent" },
		{ "data.system.cpu.usage_percent", "system.cpu.usage_percent" },
		{ "system.cpu.cores_usage[1]", "system.cpu.cores_usage[index]" },
		{ "system.disk.usage_stats[/].used_gb", "system.disk.usage_stats[mount_point].used_gb" },
		{ "system.disk.usage_stats[/a.b].used_gb", "system.disk.usage_stats[mount_point].used_gb" },
		{ "system.network.interfaces[eth0.5].bytes_sent", "system.network.interfaces[name].bytes_sent" },
		{ "processes[1].cpu_percent", "processes[pid].cpu_percent" },
		{ "cpu.usage_percent", "system.cpu.usage_percent" },
		{ "load_average.load_1min", "system.load_average.load_1min" },
		{ "", NULL },
		{ "data.", NULL },
		{ "system", NULL },
		{ "system.cpu", NULL },
		{ "system.cpu.usage_percentage", NULL },
		{ "system.cpu.usage_percen", NULL },
		{ "system.cpu.usage_percent.", NULL },
		{ "system.cpu.usage_percent[0]", NULL },
		{ "system.cpu.cores_usage", NULL },
		{ "system.cpu.cores_usage[1", NULL },
		{ "system.cpu.cores_usage[1]x", NULL },
		{ "system.disk.usage_stats.used_gb", NULL },
		{ ".system.cpu.usage_percent", NULL },
		{ "[", NULL },
		{ "]", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct catalog_metric *found = catalog_find(cases[i].written);

		if (!cases[i].want != !found || (found && strcmp(found->path, cases[i].want)))
			fail_msg("%s: found %s", cases[i].written, found ? found->path : "none");
	}
}

static void a_short_path_is_made_whole(void **state)
{
	char path[64];

	(void)state;
	assert_non_null(catalog_full_path("cpu.cores_usage[3]", path, sizeof(path)));
	assert_string_equal(path, "system.cpu.cores_usage[3]");
	assert_non_null(catalog_full_path("data.system.cpu.usage_percent", path, sizeof(path)));
	assert_string_equal(path, "system.cpu.usage_percent");
	assert_non_null(catalog_full_path("self.fds", path, sizeof(path)));
	assert_string_equal(path, "self.fds");
	assert_null(catalog_full_path("cpu.cores_usage[3]", path, strlen("system.cpu.cores_usage[3]")));
	assert_null(catalog_full_path("cpu.none", path, sizeof(path)));
}

static void a_list_names_the_member_its_items_are_told_apart_by(void **state)
{
	struct catalog_list list;

	(void)state;
	assert_true(catalog_list(catalog_find("system.disk.usage_stats[/].used_gb"), &list));
	assert_int_equal(list.path_len, strlen("system.disk.usage_stats"));
	assert_memory_equal(list.member, "mount_point", list.member_len);
	assert_int_equal(list.member_len, strlen("mount_point"));
	assert_false(catalog_list(catalog_find("system.cpu.usage_percent"), &list));
	assert_string_equal(catalog_unit_name(UNIT_BYTES_PER_SECOND), "B/s");
	assert_string_equal(catalog_unit_name(UNIT_NONE), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_number_of_a_sample_is_in_the_catalogue),
		cmocka_unit_test(every_metric_of_the_catalogue_is_in_a_sample),
		cmocka_unit_test(its_lines_keep_the_rules),
		cmocka_unit_test(a_path_is_found_whatever_item_it_names),
		cmocka_unit_test(a_short_path_is_made_whole),
		cmocka_unit_test(a_list_names_the_member_its_items_are_told_apart_by),
	};

	return cmocka_run_group_tests_name("catalog", tests, NULL, NULL);
}
