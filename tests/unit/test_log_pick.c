/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/log/pick.h"

#define LINE                                                                                                           \
	"{\"type\":\"metrics\",\"timestamp\":\"2026-01-02T03:04:05.678Z\",\"seq\":7,\"data\":{\"system\":{\"cpu\":{"   \
	"\"usage_percent\":12.5,\"cores_usage\":[1.5,2.25],\"temperature\":null},\"disk\":{\"usage_stats\":["          \
	"{\"mount_point\":\"/\",\"used_gb\":17.306,\"state\":\"a]}\\\"b\"},{\"used_gb\":3,\"mount_point\":\"\\/"       \
	"a\\u00fc\"},"                                                                                                 \
	"{\"pad\":[[{}]],\"name\":\"1\",\"used_gb\":4}]}},\"name\":\"x\"},\"gap\":{\"why\":\"start\"}}"

struct got {
	unsigned count;
	unsigned paths[32];
	char keys[32][64], values[32][256];
};

static void take(void *data, unsigned path, struct pick_text key, struct pick_text value)
{
	struct got *got = data;

	assert_true(got->count < 32);
	got->paths[got->count] = path;
	if (key.text)
		snprintf(got->keys[got->count], 64, "%.*s", (int)key.len, key.text);
	else
		snprintf(got->keys[got->count], 64, "#%zu", key.len);
	snprintf(got->values[got->count++], 256, "%.*s", (int)value.len, value.text);
}

/* The last value of the one path, or "-". */
static const char *pick_one(const char *line, const char *path)
{
	static struct got got;
	struct pick *pick = pick_new();
	struct err err = { 0 };

	memset(&got, 0, sizeof(got));
	assert_int_equal(pick_add(pick, path, &err), 0);
	pick_line(pick, line, strlen(line), take, &got);
	pick_free(pick);
	return got.count ? got.values[got.count - 1] : "-";
}

static void values_are_found_by_name_position_and_what_items_are_called(void **state)
{
	(void)state;
	assert_string_equal(pick_one(LINE, "system.cpu.usage_percent"), "12.5");
	assert_string_equal(pick_one(LINE, "system.cpu.temperature"), "null");
	assert_string_equal(pick_one(LINE, "system.cpu.cores_usage[1]"), "2.25");
	assert_string_equal(pick_one(LINE, "system.cpu.cores_usage[2]"), "-");
	assert_string_equal(pick_one(LINE, "system.cpu.cores_usage"), "[1.5,2.25]");
	assert_string_equal(pick_one(LINE, "system.disk.usage_stats[/].used_gb"), "17.306");
	assert_string_equal(pick_one(LINE, "system.disk.usage_stats[/].state"), "\"a]}\\\"b\"");
	assert_string_equal(pick_one(LINE, "system.disk.usage_stats[/a\xc3\xbc].used_gb"), "3");
	assert_string_equal(pick_one(LINE, "system.disk.usage_stats[/b].used_gb"), "-");
	assert_string_equal(pick_one(LINE, "system.disk.usage_stats[2].used_gb"), "4");
	/* A number is a position first, and a name where there is no such position. */
	assert_string_equal(pick_one(LINE, "system.disk.usage_stats[1].used_gb"), "3");
	assert_string_equal(pick_one(LINE, "seq"), "7");
	assert_string_equal(pick_one(LINE, "data.system.cpu.usage_percent"), "12.5");
	assert_string_equal(pick_one(LINE, "gap.why"), "\"start\"");
	assert_string_equal(pick_one(LINE, "system.cpu.usage"), "-");
	assert_string_equal(pick_one(LINE, "system.cpu.usage_percent.more"), "-");
	assert_string_equal(pick_one("{\"data\":{\"ports\":[{\"port\":22,\"state\":1},{\"port\":80,\"state\":2}]}}",
				     "ports[80].state"),
			    "2");
}

static void many_paths_are_picked_in_one_pass(void **state)
{
	struct pick *pick = pick_new();
	struct got got = { 0 };

	(void)state;
	assert_int_equal(pick_add(pick, "system.disk.usage_stats[/].used_gb", NULL), 0);
	assert_int_equal(pick_add(pick, "system.cpu.usage_percent", NULL), 1);
	assert_int_equal(pick_add(pick, "name", NULL), 2);
	assert_int_equal(pick_add(pick, "no.such.thing", NULL), 3);
	assert_int_equal(pick_add_each(pick, "system.disk.usage_stats[mount_point].used_gb"), 4);
	assert_int_equal(pick_add_each(pick, "system.cpu.cores_usage[index]"), 5);
	pick_line(pick, LINE, strlen(LINE), take, &got);
	assert_int_equal(got.count, 7);
	assert_string_equal(got.values[0], "12.5");
	assert_int_equal(got.paths[1], 5);
	assert_string_equal(got.keys[1], "#0");
	assert_string_equal(got.keys[2], "#1");
	assert_string_equal(got.values[2], "2.25");
	assert_int_equal(got.paths[3], 0);
	assert_int_equal(got.paths[4], 4);
	assert_string_equal(got.keys[4], "\"/\"");
	assert_string_equal(got.keys[5], "\"\\/a\\u00fc\"");
	assert_string_equal(got.values[5], "3");
	assert_int_equal(got.paths[6], 2);
	assert_string_equal(got.values[6], "\"x\"");
	pick_free(pick);
}

static void count_call(void *data, unsigned path, struct pick_text key, struct pick_text value)
{
	(void)path, (void)key;
	assert_non_null(value.text);
	++*(unsigned *)data;
}

/* Behind the last value nothing is looked at: not even a line that is broken there. And cut anywhere, nothing is read
 * beyond the end (by valgrind and the sanitizers). */
static void a_line_that_is_cut_or_broken_gives_what_it_can(void **state)
{
	struct pick *pick = pick_new();

	(void)state;
	assert_string_equal(pick_one("{\"data\":{\"a\":{\"b\":5},\"c\":", "a.b"), "5");
	assert_string_equal(pick_one("{\"data\":{\"a\":{\"b\":5,\"c\":", "a.c"), "-");
	assert_string_equal(pick_one("{\"data\":{\"a\" 5}}", "a"), "-");
	assert_string_equal(pick_one("{\"data\":{\"a\":[{\"b\":1},}]}}", "a[5].b"), "-");
	assert_string_equal(pick_one("{\"data\":{\"a\":[@,]}}", "a[5].b"), "-");
	pick_add(pick, "system.disk.usage_stats[1].used_gb", NULL);
	pick_add_each(pick, "system.disk.usage_stats[mount_point].used_gb");
	pick_add(pick, "system.cpu.cores_usage[1]", NULL);
	for (size_t len = 0; len < strlen(LINE); len++) {
		char *cut = malloc(len ? len : 1);
		unsigned calls = 0;

		memcpy(cut, LINE, len);
		pick_line(pick, cut, len, count_call, &calls);
		assert_true(calls <= 5);
		free(cut);
	}
	pick_free(pick);
}

static void paths_that_make_no_sense_are_refused_with_the_reason(void **state)
{
	static const char *const bad[] = { "", "a..b", "a.", "a[", "a[]", "a[b", "a[b]c", "[" };
	struct pick *pick = pick_new();

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = { 0 };

		assert_int_equal(pick_add(pick, bad[i], &err), -EINVAL);
		assert_true(*err.text);
	}
	for (unsigned i = 0; i < PICK_MAX; i++)
		assert_int_equal(pick_add(pick, "a", NULL), i);
	assert_int_equal(pick_add(pick, "a", NULL), -ENOSPC);
	pick_free(pick);
}

static void numbers_are_those_of_strtod(void **state)
{
	static const char *const good[] = {
		"0",	    "-0",   "7",      "12.5",	     "0.1",	"17.306",	    "123456789012345",
		"1.79e308", "1e-5", "0.3333", "18581938176", "-2.5e+3", "1234567890.12345", "9007199254740993"
	};
	static const char *const bad[] = { "",	    "-",    ".5",  "5.",  "1e999", "null",
					   "\"5\"", "0x10", "1-2", "nan", "[1]",   "1..2" };
	double value;

	(void)state;
	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(pick_number((struct pick_text){ good[i], strlen(good[i]) }, &value));
		assert_true(value == strtod(good[i], NULL));
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(pick_number((struct pick_text){ bad[i], strlen(bad[i]) }, &value));
}

static void arrays_of_numbers_are_taken_whole_or_not(void **state)
{
	static const char *const bad[] = { "[1,2,3]", "[1,2,3,4,5]", "[1,2,3,null]", "1", "[1,2,3,4", "[1 2,3,4]" };
	double values[4];

	(void)state;
	assert_true(pick_numbers((struct pick_text){ "[1, 2.5,3,-4]", 13 }, values, 4));
	assert_true(values[0] == 1 && values[1] == 2.5 && values[2] == 3 && values[3] == -4);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(pick_numbers((struct pick_text){ bad[i], strlen(bad[i]) }, values, 4));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_found_by_name_position_and_what_items_are_called),
		cmocka_unit_test(many_paths_are_picked_in_one_pass),
		cmocka_unit_test(a_line_that_is_cut_or_broken_gives_what_it_can),
		cmocka_unit_test(paths_that_make_no_sense_are_refused_with_the_reason),
		cmocka_unit_test(numbers_are_those_of_strtod),
		cmocka_unit_test(arrays_of_numbers_are_taken_whole_or_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
