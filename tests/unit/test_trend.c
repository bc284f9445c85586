/* SPDX-License-Identifier: MIT */
/* Sums over the log and the advice made of them: lines in, words out, no file and no clock. */
#include "agent/log/pick.h"
#include "agent/metrics/trend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOUR_MS INT64_C(3600000)

static int setup(void **state)
{
	*state = calloc(1, sizeof(struct trend));
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static bool trend_add_line(struct trend *trend, const char *line, size_t len, int64_t wall_ms)
{
	struct pick *pick = trend_pick();
	bool added = trend_add(trend, pick, line, len, wall_ms);

	pick_free(pick);
	return added;
}

static void add(struct trend *trend, int64_t wall_ms, double cpu, double memory_percent, double disk_gb)
{
	char line[1024];
	int len = snprintf(
		line, sizeof(line),
		"{\"type\":\"metrics\",\"data\":{\"system\":{\"cpu\":{\"usage_percent\":%.2f,\"cores_usage\":[1,1,1,1]}"
		","
		"\"memory\":{\"total_kb\":8388608,\"used_kb\":%.0f,\"swap_total_kb\":null,\"swap_used_kb\":null},"
		"\"disk\":{\"usage_stats\":[{\"mount_point\":\"/\",\"total_gb\":100.0,\"used_gb\":%.3f}]}}}}",
		cpu, 8388608 * memory_percent / 100, disk_gb);

	assert_true(trend_add_line(trend, line, (size_t)len, wall_ms));
}

/* A week by the hour. */
static void add_week(struct trend *trend, double cpu, double memory_percent, double disk_first_gb,
		     double disk_per_day_gb)
{
	for (int hour = 0; hour <= 7 * 24; hour++)
		add(trend, hour * HOUR_MS, cpu, memory_percent, disk_first_gb + disk_per_day_gb * hour / 24);
}

static void adds_what_a_sample_says(void **state)
{
	struct trend *trend = *state;

	add(trend, 1000, 40, 50, 10);
	add(trend, 2000, 60, 50, 11);
	assert_int_equal(trend->samples, 2);
	assert_int_equal(trend->cores, 4);
	assert_int_equal(trend->memory_kb, 8388608);
	assert_true(trend_share_average(&trend->cpu) > 49.9 && trend_share_average(&trend->cpu) < 50.1);
	assert_true(trend_share_percentile(&trend->cpu, 95) <= 60);
	assert_int_equal(trend->swap.count, 0);
	assert_int_equal(trend->mounts_count, 1);
	assert_true(trend->mounts[0].first_used_gb == 10 && trend->mounts[0].last_used_gb == 11);
}

static void passes_over_lines_that_are_no_samples(void **state)
{
	static const char *const lines[] = {
		"", "{", "[]", "null", "{\"data\":1}", "{\"data\":{\"system\":[]}}x", "{\"type\":\"log_header\"}"
	};
	struct trend *trend = *state;

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines) - 2; i++)
		assert_false(trend_add_line(trend, lines[i], strlen(lines[i]), 1));
	assert_false(trend_add_line(trend, lines[6], strlen(lines[6]), 1));
	assert_int_equal(trend->samples, 0);
}

static void takes_a_sample_with_wrong_types_without_inventing_numbers(void **state)
{
	static const char line[] =
		"{\"data\":{\"system\":{\"cpu\":{\"usage_percent\":\"90\",\"cores_usage\":{}},\"memory\":[],"
		"\"disk\":{\"usage_stats\":[null,1,{\"mount_point\":5},{\"mount_point\":\"/"
		"\",\"used_gb\":-1,\"total_gb\":0}]}}}}";
	struct trend *trend = *state;

	assert_true(trend_add_line(trend, line, sizeof(line) - 1, 1));
	assert_int_equal(trend->cpu.count, 0);
	assert_int_equal(trend->memory.count, 0);
	assert_int_equal(trend->mounts_count, 0);
}

static void without_a_day_of_history_there_is_no_advice(void **state)
{
	struct trend *trend = *state;
	struct advice advice[ADVICE_MAX];

	for (int minute = 0; minute < 23 * 60; minute++)
		add(trend, minute * 60000, 99, 99, 99);
	assert_false(trend_enough(trend));
	assert_int_equal(advice_make(trend, advice), 0);
}

static void a_guest_that_fits_gets_no_advice(void **state)
{
	struct trend *trend = *state;
	struct advice advice[ADVICE_MAX];

	add_week(trend, 50, 60, 40, 0);
	assert_true(trend_enough(trend));
	assert_int_equal(advice_make(trend, advice), 0);
}

static void an_idle_guest_is_told_what_it_could_save(void **state)
{
	struct trend *trend = *state;
	struct advice advice[ADVICE_MAX];

	add_week(trend, 5, 10, 40, 0);
	assert_int_equal(advice_make(trend, advice), 2);
	assert_string_equal(advice[0].resource, "cpu");
	assert_true(advice[0].recommended == 1 && advice[0].savings_percent == 75);
	assert_string_equal(advice[1].resource, "memory");
	assert_true(advice[1].recommended < advice[1].current && advice[1].savings_percent > 0);
}

static void a_busy_guest_is_told_what_it_lacks(void **state)
{
	struct trend *trend = *state;
	struct advice advice[ADVICE_MAX];

	add_week(trend, 97, 95, 40, 0);
	assert_int_equal(advice_make(trend, advice), 2);
	assert_true(advice[0].recommended > 4 && advice[0].savings_percent == 0);
	assert_true(advice[1].recommended > 8192 && advice[1].savings_percent == 0);
}

static void a_disk_that_fills_is_told_before_it_is_full(void **state)
{
	struct trend *trend = *state;
	struct advice advice[ADVICE_MAX];
	double days;

	add_week(trend, 50, 60, 40, 3);
	days = trend_mount_days_left(&trend->mounts[0]);
	assert_true(days > 12 && days < 14); /* 39 GB left at 3 a day */
	assert_int_equal(advice_make(trend, advice), 1);
	assert_string_equal(advice[0].resource, "disk:/");
	assert_true(advice[0].recommended > 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(adds_what_a_sample_says),
		TEST(passes_over_lines_that_are_no_samples),
		TEST(takes_a_sample_with_wrong_types_without_inventing_numbers),
		TEST(without_a_day_of_history_there_is_no_advice),
		TEST(a_guest_that_fits_gets_no_advice),
		TEST(an_idle_guest_is_told_what_it_could_save),
		TEST(a_busy_guest_is_told_what_it_lacks),
		TEST(a_disk_that_fills_is_told_before_it_is_full),
	};

	return cmocka_run_group_tests_name("trend", tests, NULL, NULL);
}
