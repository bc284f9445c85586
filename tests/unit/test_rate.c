/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include <infiniservice/cleanup.h>

#include "collectors/rate.h"

static struct moment at(double mono_s, double boot_s)
{
	return (struct moment){ .mono_ns = (uint64_t)(mono_s * 1e9), .boot_ns = (uint64_t)(boot_s * 1e9) };
}

static struct rate_interval next(struct rate_clock *clock, double mono_s, double boot_s, bool gap)
{
	struct moment now = at(mono_s, boot_s);

	return rate_clock_next(clock, &now, gap);
}

static void the_first_reading_has_no_rate(void **state)
{
	struct rate_clock clock = { 0 };
	struct rate rate = { 0 };

	(void)state;
	rate_update(&rate, next(&clock, 10, 10, false), 500);
	assert_int_equal(rate.state, RATE_FIRST);
	assert_false(rate_known(&rate));
}

static void the_second_reading_is_divided_by_the_time_between(void **state)
{
	struct rate_clock clock = { 0 };
	struct rate rate = { 0 };

	(void)state;
	rate_update(&rate, next(&clock, 10, 10, false), 500);
	rate_update(&rate, next(&clock, 12.5, 12.5, false), 1000);
	assert_int_equal(rate.state, RATE_OK);
	assert_true(rate.delta == 500 && fabs(rate.per_second - 200) < 1e-9);
}

static void a_counter_that_goes_backwards_is_a_reset_and_then_counts_on(void **state)
{
	struct rate_clock clock = { 0 };
	struct rate rate = { 0 };

	(void)state;
	rate_update(&rate, next(&clock, 10, 10, false), UINT64_MAX);
	rate_update(&rate, next(&clock, 11, 11, false), 5);
	assert_int_equal(rate.state, RATE_RESET);
	assert_false(rate_known(&rate));
	assert_true(rate.delta == 0 && fpclassify(rate.per_second) == FP_ZERO);
	rate_update(&rate, next(&clock, 12, 12, false), 8);
	assert_int_equal(rate.state, RATE_OK);
	assert_true(fabs(rate.per_second - 3) < 1e-9);
}

static void after_a_suspend_the_time_really_passed_counts(void **state)
{
	struct rate_clock clock = { 0 };
	struct rate rate = { 0 };

	(void)state;
	rate_update(&rate, next(&clock, 10, 10, false), 0);
	rate_update(&rate, next(&clock, 11, 110, true), 1000);
	assert_int_equal(rate.state, RATE_GAP);
	assert_true(rate_known(&rate) && fabs(rate.per_second - 10) < 1e-9);
}

static void without_a_gap_the_monotonic_clock_alone_counts(void **state)
{
	struct rate_clock clock = { 0 };
	struct rate rate = { 0 };

	(void)state;
	rate_update(&rate, next(&clock, 10, 10, false), 0);
	rate_update(&rate, next(&clock, 11, 110, false), 1000);
	assert_int_equal(rate.state, RATE_OK);
	assert_true(fabs(rate.per_second - 1000) < 1e-9);
}

static void no_time_passed_keeps_rate_and_baseline(void **state)
{
	struct rate_clock clock = { 0 };
	struct rate rate = { 0 };

	(void)state;
	rate_update(&rate, next(&clock, 10, 10, false), 0);
	rate_update(&rate, next(&clock, 11, 11, false), 100);
	rate_update(&rate, next(&clock, 11, 11, false), 150);
	assert_int_equal(rate.state, RATE_OK);
	assert_true(rate.counter == 100 && fabs(rate.per_second - 100) < 1e-9);
	/* Even a clock that runs backwards moves nothing. */
	rate_update(&rate, next(&clock, 5, 5, false), 200);
	rate_update(&rate, next(&clock, 12, 12, false), 400);
	assert_true(fabs(rate.per_second - 300) < 1e-9);
}

static void a_counter_that_appears_later_is_first_by_itself(void **state)
{
	struct rate_clock clock = { 0 };
	struct rate late = { 0 };

	(void)state;
	next(&clock, 10, 10, false);
	rate_update(&late, next(&clock, 11, 11, false), 100);
	assert_int_equal(late.state, RATE_FIRST);
	rate_update(&late, next(&clock, 12, 12, false), 101);
	assert_int_equal(late.state, RATE_OK);
}

static void a_missed_reading_is_stale_and_the_next_begins_anew(void **state)
{
	struct rate_clock clock = { 0 };
	struct rate rate = { 0 };

	(void)state;
	rate_update(&rate, next(&clock, 10, 10, false), 0);
	rate_miss(&rate);
	next(&clock, 11, 11, false);
	assert_int_equal(rate.state, RATE_STALE);
	assert_false(rate_known(&rate));
	rate_update(&rate, next(&clock, 12, 12, false), 1000000);
	assert_int_equal(rate.state, RATE_FIRST);
}

static void the_interval_is_known_in_nanoseconds(void **state)
{
	struct rate_clock clock = { 0 };

	(void)state;
	assert_true(rate_interval_ns(next(&clock, 10, 10, false)) == 0);
	assert_true(rate_interval_ns(next(&clock, 10.5, 10.5, false)) == 500000000);
}

static void a_counter_of_32_bits_wraps_if_that_fits_into_the_interval(void **state)
{
	static const struct {
		uint64_t before, now;
		enum rate_state want;
		uint64_t delta;
	} cases[] = {
		{ UINT32_MAX, 999, RATE_OK, 1000 },  { UINT32_MAX - 1499, 499, RATE_OK, 1999 },
		{ UINT32_MAX, 5000, RATE_RESET, 0 }, { 1000, 999, RATE_RESET, 0 },
		{ 1U << 31, 0, RATE_RESET, 0 },	     { 1ULL << 32, 0, RATE_RESET, 0 },
		{ UINT64_MAX, 5, RATE_RESET, 0 },    { 5, 6, RATE_OK, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rate_clock clock = { 0 };
		struct rate rate = { 0 };

		rate_update_32(&rate, next(&clock, 10, 10, false), cases[i].before, 1000);
		rate_update_32(&rate, next(&clock, 11, 11, false), cases[i].now, 1000);
		assert_int_equal(rate.state, cases[i].want);
		assert_true(rate.delta == cases[i].delta);
	}
}

static void of_two_states_the_worse_is_told(void **state)
{
	static const enum rate_state rising[] = { RATE_OK, RATE_GAP, RATE_FIRST, RATE_RESET, RATE_STALE };

	(void)state;
	for (size_t i = 0; i < 5; i++)
		for (size_t k = 0; k < 5; k++)
			assert_int_equal(rate_state_worse(rising[i], rising[k]), rising[i > k ? i : k]);
}

static void every_state_has_its_name(void **state)
{
	(void)state;
	assert_string_equal(rate_state_name(RATE_FIRST), "first");
	assert_string_equal(rate_state_name(RATE_OK), "ok");
	assert_string_equal(rate_state_name(RATE_RESET), "reset");
	assert_string_equal(rate_state_name(RATE_GAP), "gap");
	assert_string_equal(rate_state_name(RATE_STALE), "stale");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_reading_has_no_rate),
		cmocka_unit_test(the_second_reading_is_divided_by_the_time_between),
		cmocka_unit_test(a_counter_that_goes_backwards_is_a_reset_and_then_counts_on),
		cmocka_unit_test(after_a_suspend_the_time_really_passed_counts),
		cmocka_unit_test(without_a_gap_the_monotonic_clock_alone_counts),
		cmocka_unit_test(no_time_passed_keeps_rate_and_baseline),
		cmocka_unit_test(a_counter_that_appears_later_is_first_by_itself),
		cmocka_unit_test(a_missed_reading_is_stale_and_the_next_begins_anew),
		cmocka_unit_test(the_interval_is_known_in_nanoseconds),
		cmocka_unit_test(a_counter_of_32_bits_wraps_if_that_fits_into_the_interval),
		cmocka_unit_test(of_two_states_the_worse_is_told),
		cmocka_unit_test(every_state_has_its_name),
	};

	return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
