/* SPDX-License-Identifier: MIT */
/* Conditions over metrics: what they mean, what is unknown, and what is said of a wrong one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/catalog/expr.h"

static struct expr expr;

static void parse(const char *text, const char *implied)
{
	struct err err = { 0 };
	/* An exact size, so that a sanitizer sees a step beyond it. */
	char *bytes = malloc(strlen(text) + 1);

	memcpy(bytes, text, strlen(text));
	if (expr_parse(bytes, strlen(text), implied, &expr, &err))
		fail_msg("%s: %s", text, err.text);
	free(bytes);
}

/* cpu.usage_percent is 40, memory.available_kb 1048576 (1 GiB), io_stats.read_bytes_per_sec 2 MiB/s, the temperature
 * null. */
static enum expr_truth truth_of(const char *text)
{
	struct expr_value values[EXPR_METRICS_MAX] = { 0 };

	parse(text, NULL);
	for (unsigned i = 0; i < expr.metric_count; i++) {
		const char *path = expr.metrics[i];

		values[i].known = true;
		if (!strcmp(path, "system.cpu.usage_percent"))
			values[i].value = 40;
		else if (!strcmp(path, "system.memory.available_kb"))
			values[i].value = 1048576;
		else if (!strcmp(path, "system.disk.io_stats.read_bytes_per_sec"))
			values[i].value = 2097152;
		else if (!strcmp(path, "system.uptime_seconds"))
			values[i].value = 7200;
		else if (!strcmp(path, "system.disk.usage_stats[/].used_gb"))
			values[i].value = 3;
		else
			values[i].known = false;
	}
	return expr_eval(&expr, values);
}

static void conditions_mean_what_they_say(void **state)
{
	static const struct {
		const char *text;
		enum expr_truth want;
	} cases[] = {
		{ "system.cpu.usage_percent > 39", EXPR_TRUE },
		{ "cpu.usage_percent > 40", EXPR_FALSE },
		{ "cpu.usage_percent>=40", EXPR_TRUE },
		{ "cpu.usage_percent < 40", EXPR_FALSE },
		{ "cpu.usage_percent <= 40 %", EXPR_TRUE },
		{ "cpu.usage_percent = 40", EXPR_TRUE },
		{ "cpu.usage_percent == 4e1", EXPR_TRUE },
		{ "cpu.usage_percent != 40.0", EXPR_FALSE },
		{ "50 > cpu.usage_percent", EXPR_TRUE },
		{ "-1 < cpu.usage_percent", EXPR_TRUE },
		{ "memory.available_kb == 1G", EXPR_TRUE },
		{ "memory.available_kb == 1 GiB", EXPR_TRUE },
		{ "memory.available_kb == 1024mb", EXPR_TRUE },
		{ "memory.available_kb == 1048576", EXPR_TRUE },
		{ "memory.available_kb < 1073741825 B", EXPR_TRUE },
		{ "system.disk.usage_stats[/].used_gb >= 3G", EXPR_TRUE },
		{ "system.disk.usage_stats[/].used_gb > memory.available_kb", EXPR_TRUE },
		{ "disk.io_stats.read_bytes_per_sec >= 2M/s", EXPR_TRUE },
		{ "disk.io_stats.read_bytes_per_sec > 2M", EXPR_FALSE },
		{ "uptime_seconds > 1h", EXPR_TRUE },
		{ "uptime_seconds == 120 min", EXPR_TRUE },
		{ "uptime_seconds < 1d", EXPR_TRUE },
		{ "cpu.usage_percent > 90 or uptime_seconds > 1h", EXPR_TRUE },
		{ "cpu.usage_percent > 90 || uptime_seconds > 1d", EXPR_FALSE },
		{ "cpu.usage_percent > 10 && uptime_seconds > 1h", EXPR_TRUE },
		{ "cpu.usage_percent > 10 AND NOT uptime_seconds > 1h", EXPR_FALSE },
		{ "! (cpu.usage_percent > 90)", EXPR_TRUE },
		/* `and` before `or`, `not` before both. */
		{ "uptime_seconds > 1h or cpu.usage_percent > 90 and cpu.usage_percent > 90", EXPR_TRUE },
		{ "(uptime_seconds > 1h or cpu.usage_percent > 90) and cpu.usage_percent > 90", EXPR_FALSE },
		{ "not cpu.usage_percent > 90 and uptime_seconds > 1d", EXPR_FALSE },
		/* Null is unknown, and unknown is never true. */
		{ "cpu.temperature > 50", EXPR_UNKNOWN },
		{ "not cpu.temperature > 50", EXPR_UNKNOWN },
		{ "cpu.temperature != 50", EXPR_UNKNOWN },
		{ "cpu.temperature = cpu.temperature", EXPR_UNKNOWN },
		{ "cpu.temperature > 50 and cpu.usage_percent > 10", EXPR_UNKNOWN },
		{ "cpu.temperature > 50 and cpu.usage_percent > 90", EXPR_FALSE },
		{ "cpu.temperature > 50 or cpu.usage_percent > 10", EXPR_TRUE },
		{ "cpu.temperature > 50C or cpu.usage_percent > 90", EXPR_UNKNOWN },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum expr_truth truth = truth_of(cases[i].text);

		if (truth != cases[i].want)
			fail_msg("%s: %d instead of %d", cases[i].text, truth, cases[i].want);
	}
}

static void a_wrong_condition_is_told_with_column_and_cure(void **state)
{
	static const struct {
		const char *text, *column, *cure;
	} cases[] = {
		{ "", "column 1", "a metric or a number is expected" },
		{ "cpu.usage_percent", "column 18", "write <" },
		{ "cpu.usage_percent >", "column 20", "a metric or a number is expected" },
		{ "cpu.usage_percent > 90 90", "column 24", "`and` or `or`" },
		{ "cpu.usage_percent > 90 or", "column 26", "a metric or a number is expected" },
		{ "cpu.usage_percent > 9x", "column 22", "is no unit: write %" },
		{ "cpu.usage_percent > 9.9.9", "column 21", "is no number" },
		{ "cpu.usage_percent > 1e999", "column 21", "is no number" },
		{ "cpu.usage_percent > 10M", "column 21", "is in percent" },
		{ "memory.used_kb > 10%", "column 18", "is in bytes: write B, K" },
		{ "memory.used_kb > 1M/s", "column 18", "is in bytes" },
		{ "uptime_seconds > 5K", "column 18", "is in a time" },
		{ "uptime_seconds > 5s/s", "column 20", "only bytes" },
		{ "memory.used_kb > uptime_seconds", "column 18", "is in bytes" },
		{ "cpu.usage > 9", "column 1", "`infinictl metrics`" },
		{ "1 < 2", "column 3", "one side has to be a metric" },
		{ "1 < cpu.usage_percent < 5", "column 23", "write `and`" },
		{ "(cpu.usage_percent > 9", "column 23", "a ) is missing for the ( in column 1" },
		{ "cpu.usage_percent > 9)", "column 22", "a ) without (" },
		{ "disk.usage_stats[mount_point].used_gb > 3", "column 1", "write in [] which item" },
		{ "disk.usage_stats[/.used_gb > 3", "column 1", "no metric" },
		{ "[/.used_gb > 3", "column 1", "a [ without ]" },
		{ "< 85", "column 1", "a metric or a number is expected" },
		{ "cpu.usage_percent > \xff", "column 21", "is expected here" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = { 0 };

		if (expr_parse(cases[i].text, strlen(cases[i].text), NULL, &expr, &err) != -EINVAL)
			fail_msg("%s: taken", cases[i].text);
		if (!strstr(err.text, cases[i].cure) ||
		    strncmp(err.text, cases[i].column, strlen(cases[i].column)) != 0)
			fail_msg("%s: %s", cases[i].text, err.text);
	}
}

static void a_comparison_may_leave_out_the_metric_that_is_implied(void **state)
{
	struct expr_value value = { .known = true, .value = 84 };

	(void)state;
	parse("< 85", "cpu.usage_percent");
	assert_int_equal(expr.metric_count, 1);
	assert_string_equal(expr.metrics[0], "system.cpu.usage_percent");
	assert_int_equal(expr_eval(&expr, &value), EXPR_TRUE);
	value.value = 85;
	assert_int_equal(expr_eval(&expr, &value), EXPR_FALSE);
	parse("< 85 or >= 85", "cpu.usage_percent");
	assert_int_equal(expr_eval(&expr, &value), EXPR_TRUE);
}

static void what_is_too_much_is_refused(void **state)
{
	static char text[4096];
	struct err err = { 0 };

	(void)state;
	memset(text, '(', 40);
	assert_int_equal(expr_parse(text, 40, NULL, &expr, &err), -EINVAL);
	assert_non_null(strstr(err.text, "within each other"));
	memset(text, ' ', EXPR_TEXT_MAX + 1);
	assert_int_equal(expr_parse(text, EXPR_TEXT_MAX + 1, NULL, &expr, &err), -EINVAL);
	assert_non_null(strstr(err.text, "1024 bytes"));
	text[0] = '\0';
	for (int i = 0; i < 40; i++)
		strcat(text, i ? " or threads>1" : "threads>1");
	assert_int_equal(expr_parse(text, strlen(text), NULL, &expr, &err), -EINVAL);
	assert_non_null(strstr(err.text, "more than 64"));
	text[0] = '\0';
	for (int i = 0; i < EXPR_METRICS_MAX + 1; i++)
		snprintf(text + strlen(text), 64, "%scpu.cores_usage[%d]>1", i ? " or " : "", i);
	assert_int_equal(expr_parse(text, strlen(text), NULL, &expr, &err), -EINVAL);
	assert_non_null(strstr(err.text, "more than 16 metrics"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conditions_mean_what_they_say),
		cmocka_unit_test(a_wrong_condition_is_told_with_column_and_cure),
		cmocka_unit_test(a_comparison_may_leave_out_the_metric_that_is_implied),
		cmocka_unit_test(what_is_too_much_is_refused),
	};

	return cmocka_run_group_tests_name("expr", tests, NULL, NULL);
}
