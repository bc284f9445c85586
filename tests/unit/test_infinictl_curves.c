/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "tools/infinictl/curves.h"

#define MINUTE INT64_C(60000)
#define HOUR   INT64_C(3600000)

/* Curves of two metrics. */
static struct curves *fresh(unsigned steps, int64_t begin_ms, int64_t end_ms)
{
	struct curves *curves = calloc(1, sizeof(*curves));

	assert_int_equal(curves_name(curves, "cpu.usage_percent", NULL), 0);
	assert_int_equal(curves_name(curves, "memory.used_kb", NULL), 0);
	curves->percentiles = true;
	assert_int_equal(curves_init(curves, steps, begin_ms, end_ms), 0);
	return curves;
}

static void done(struct curves *curves)
{
	curves_done(curves);
	free(curves);
}

/* A sample of the first metric; the other one is unknown. */
static void add(struct curves *curves, int64_t ms, double value)
{
	struct curve_value values[2] = { { true, value, value, value, value } };

	curves_add(curves, &(struct curve_span){ ms, ms, 1 }, values);
}

/* A summary of both. */
static void add_summary(struct curves *curves, int64_t ms, int64_t span_ms, uint64_t count, double min, double average,
			double max)
{
	struct curve_value value = { true, min, average, max, max }, values[2] = { value, value };

	curves_add(curves, &(struct curve_span){ ms, ms + span_ms, count }, values);
}

static void names_that_lead_to_no_number_are_refused(void **state)
{
	static struct curves curves;
	struct err err = { 0 };

	(void)state;
	assert_true(curves_name(&curves, "cpu.nothing", &err) < 0);
	assert_non_null(strstr(err.text, "there is no metric"));
	assert_true(curves_name(&curves, "disk.usage_stats[mount_point].used_gb", &err) < 0);
	assert_non_null(strstr(err.text, "write in []"));
	assert_int_equal(curves.metric_count, 0);
	for (unsigned i = 0; i < CURVES_METRICS_MAX; i++)
		assert_int_equal(curves_name(&curves, "system.disk.usage_stats[/a.b].used_gb", &err), 0);
	assert_string_equal(curves.metrics[3].path, "system.disk.usage_stats[/a.b].used_gb");
	assert_true(curves_name(&curves, "cpu.usage_percent", &err) < 0);
}

static void a_step_has_least_greatest_average_and_last_of_its_time(void **state)
{
	struct curves *curves = fresh(10, 0, 10 * MINUTE);
	const struct curve_step *steps = curves->metrics[0].steps;
	double average = -1;

	(void)state;
	add(curves, 0, 10);
	add(curves, 30000, 40);
	add(curves, 59999, 25);
	add(curves, MINUTE, 99);
	assert_true(curves->step_ms == MINUTE && curves_middle(curves, 1) == 90000);
	assert_true(steps[0].count == 3 && steps[0].min == 10 && steps[0].max == 40 && steps[0].last == 25);
	assert_true(curves_average(&steps[0], &average) && average == 25);
	assert_true(steps[1].count == 1 && steps[1].min == 99);
	assert_false(curves_average(&steps[2], &average) || curves_average(&curves->metrics[1].whole, &average));
	assert_true(curves->metrics[0].whole.count == 4 && curves->metrics[0].values.count == 4);
	done(curves);
}

static void without_a_span_steps_widen_and_lose_nothing(void **state)
{
	struct curves *curves = fresh(8, INT64_MIN, INT64_MAX);
	const struct curve *metric = &curves->metrics[0];
	uint64_t count = 0;
	double sum = 0, min = 1e9, max = -1;

	(void)state;
	for (int i = 0; i < 1000; i++)
		add(curves, 5000 + i * INT64_C(1000), i);
	for (unsigned i = 0; i < 8; i++) {
		const struct curve_step *step = &metric->steps[i];

		count += step->count;
		sum += step->sum;
		min = step->count && step->min < min ? step->min : min;
		max = step->count && step->max > max ? step->max : max;
	}
	assert_true(curves->begin_ms == 5000 && curves->step_ms == 128000);
	assert_true(count == 1000 && sum == 499500 && min == 0 && max == 999);
	assert_true(metric->steps[1].count == 128 && metric->steps[1].min == 128 && metric->steps[1].last == 255);
	done(curves);
}

static void a_sample_before_the_first_one_is_counted_as_left_out(void **state)
{
	struct curves *curves = fresh(8, INT64_MIN, INT64_MAX);

	(void)state;
	add(curves, HOUR, 1);
	add(curves, HOUR - 2000, 2);
	add(curves, HOUR + 1000, 3);
	assert_true(curves->left_out == 1 && curves->samples == 2 && curves->metrics[0].whole.max == 3);
	done(curves);
}

static void a_summary_counts_as_its_samples_and_lies_where_its_middle_does(void **state)
{
	struct curves *curves = fresh(60, 0, HOUR); /* steps of a minute */
	double average = -1;

	(void)state;
	add_summary(curves, 0, MINUTE, 6, 1, 2, 9);
	add_summary(curves, MINUTE, MINUTE, 2, 0, 10, 20);
	add_summary(curves, 30 * MINUTE, 10 * MINUTE, 2, 3, 3, 3); /* coarser than a step */
	assert_true(curves->metrics[1].steps[0].count == 6 && curves->metrics[1].steps[1].count == 2);
	assert_true(curves->metrics[1].steps[35].count == 2 && curves->metrics[1].steps[30].count == 0);
	assert_true(curves_average(&curves->metrics[1].whole, &average) && average == (12 + 20 + 6) / 10.0);
	assert_true(curves->metrics[1].whole.min == 0 && curves->metrics[1].whole.max == 20);
	assert_true(curves->metrics[1].steps[0].last == 9 && curves->metrics[1].whole.last == 3);
	assert_true(curves->metrics[0].values.count == 10 && curves->metrics[0].values.max == 20);
	assert_true(curves->samples == 10 && curves->summed == 10 && curves->last_ms == 40 * MINUTE - 1);
	done(curves);
}

static void more_than_two_intervals_without_a_sample_are_a_gap(void **state)
{
	struct curves *curves = fresh(60, 0, HOUR);

	(void)state;
	for (int i = 0; i < 120; i++)
		if (i != 20 && (i < 60 || i >= 70)) /* one that is missing is none */
			add(curves, i * INT64_C(30000), 5);
	curves_finish(curves);
	assert_true(curves->interval_ms == 30000 && curves->gap_count == 1);
	assert_true(curves->gaps[0].begin_ms == 59 * 30000 && curves->gaps[0].end_ms == 70 * 30000);
	assert_true(curves_has_gap(curves, 30 * MINUTE, 31 * MINUTE) && !curves_has_gap(curves, 0, 29 * MINUTE));
	assert_true(!curves_has_gap(curves, 35 * MINUTE, HOUR));
	assert_true(curves_breaks(curves, 29, 35) && !curves_breaks(curves, 30, 35) && !curves_breaks(curves, 29, 34));
	done(curves);
}

static void summaries_that_are_missing_are_a_gap(void **state)
{
	struct curves *curves = fresh(60, 0, HOUR);

	(void)state;
	for (int i = 0; i < 60; i++)
		if (i != 10 && (i < 30 || i >= 34))
			add_summary(curves, i * MINUTE, MINUTE, 2, 1, 2, 3);
	curves_finish(curves);
	assert_true(curves->interval_ms == 30000 && curves->gap_count == 2);
	assert_true(curves->gaps[0].begin_ms == 10 * MINUTE && curves->gaps[0].end_ms == 11 * MINUTE);
	assert_true(curves->gaps[1].begin_ms == 30 * MINUTE && curves->gaps[1].end_ms == 34 * MINUTE);
	done(curves);
}

static void minutes_between_rare_samples_are_no_gap(void **state)
{
	struct curves *curves = fresh(60, 0, 4 * HOUR);

	(void)state;
	for (int i = 0; i < 40; i++)
		if (i < 20 || i > 22)
			add_summary(curves, i * 5 * MINUTE, MINUTE, 1, 1, 2, 3);
	curves_finish(curves);
	assert_true(curves->interval_ms == 5 * MINUTE && curves->gap_count == 1);
	assert_true(curves->gaps[0].begin_ms == 96 * MINUTE && curves->gaps[0].end_ms == 115 * MINUTE);
	done(curves);
}

static void a_summary_that_lacks_samples_has_a_gap_in_it(void **state)
{
	static const uint64_t counts[] = { 60, 120, 120, 119, 90, 120, 60, 30, 120 };
	struct curves *curves = fresh(60, 0, 60 * HOUR);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		add_summary(curves, (int64_t)i * HOUR, HOUR, counts[i], 1, 2, 3);
	curves_finish(curves);
	assert_int_equal(curves->gap_count, 2); /* 60 at the begin, 119 and 90 are none */
	assert_true(curves->gaps[0].begin_ms == 6 * HOUR + 30 * MINUTE && curves->gaps[0].end_ms == 7 * HOUR);
	assert_true(curves->gaps[1].begin_ms == 7 * HOUR && curves->gaps[1].end_ms == 7 * HOUR + 45 * MINUTE);
	done(curves);
}

static void of_many_gaps_the_longest_are_kept(void **state)
{
	struct curves *curves = fresh(64, INT64_MIN, INT64_MAX);
	int64_t ms = HOUR;

	(void)state;
	for (int i = 0; i < 3000; i++) {
		ms += i % 10 == 9 ? INT64_C(60000) + i : INT64_C(1000);
		add(curves, ms, 1);
	}
	curves_finish(curves);
	assert_true(curves->interval_ms == 1000 && curves->gap_count == CURVES_GAPS_MAX);
	for (unsigned i = 0; i < CURVES_GAPS_MAX; i++)
		assert_int_equal(curves->gaps[i].end_ms - curves->gaps[i].begin_ms,
				 60000 + 2999 - 10 * (CURVES_GAPS_MAX - 1 - i));
	done(curves);
}

static void after_a_reset_nothing_is_left_but_the_names(void **state)
{
	struct curves *curves = fresh(60, 0, HOUR);

	(void)state;
	for (int i = 0; i < 5; i++)
		add_summary(curves, i * 10 * MINUTE, 10 * MINUTE, i == 4 ? 1 : 20, 1, 2, 3);
	curves_finish(curves);
	assert_int_equal(curves->gap_count, 1);
	curves_reset(curves);
	assert_int_equal(curves_init(curves, 60, 0, HOUR), 0);
	add(curves, 30 * MINUTE, 7);
	add(curves, 31 * MINUTE, 8);
	curves_finish(curves);
	assert_true(curves->samples == 2 && curves->summed == 0 && curves->gap_count == 0 && curves->metric_count == 2);
	assert_true(curves->metrics[0].whole.count == 2 && curves->metrics[0].whole.min == 7);
	assert_true(curves->first_ms == 30 * MINUTE && curves->last_ms == 31 * MINUTE);
	done(curves);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_that_lead_to_no_number_are_refused),
		cmocka_unit_test(a_step_has_least_greatest_average_and_last_of_its_time),
		cmocka_unit_test(without_a_span_steps_widen_and_lose_nothing),
		cmocka_unit_test(a_sample_before_the_first_one_is_counted_as_left_out),
		cmocka_unit_test(a_summary_counts_as_its_samples_and_lies_where_its_middle_does),
		cmocka_unit_test(more_than_two_intervals_without_a_sample_are_a_gap),
		cmocka_unit_test(summaries_that_are_missing_are_a_gap),
		cmocka_unit_test(minutes_between_rare_samples_are_no_gap),
		cmocka_unit_test(a_summary_that_lacks_samples_has_a_gap_in_it),
		cmocka_unit_test(of_many_gaps_the_longest_are_kept),
		cmocka_unit_test(after_a_reset_nothing_is_left_but_the_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
