/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "tools/infinictl/scale.h"

static void the_ends_of_a_scale_are_round_and_hold_the_values(void **state)
{
	static const struct {
		double min, max, low, high, step;
		unsigned ticks;
		enum catalog_unit unit;
	} cases[] = {
		{ 0, 100, 0, 100, 25, 4, UNIT_PERCENT },
		{ 3, 97, 0, 100, 25, 4, UNIT_PERCENT },
		{ 0, 7, 0, 8, 2, 4, UNIT_COUNT },
		{ -5, 5, -5, 5, 2.5, 4, UNIT_CELSIUS },
		{ 1000, 1010, 1000, 1010, 2.5, 4, UNIT_COUNT }, /* far from 0 and close together */
		{ -97, -3, -100, 0, 25, 4, UNIT_CELSIUS },
		{ 0, 4096, 0, 4096, 1024, 4, UNIT_BYTES },
		{ 0, 3.0 * (1 << 20), 0, 3.0 * (1 << 20), 1 << 20, 4, UNIT_BYTES },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct scale scale = scale_make(cases[i].min, cases[i].max, cases[i].ticks, cases[i].unit);

		if (fabs(scale.low - cases[i].low) > 1e-9 || fabs(scale.high - cases[i].high) > 1e-9 ||
		    fabs(scale.step - cases[i].step) > 1e-9)
			fail_msg("%g to %g: %g to %g by %g", cases[i].min, cases[i].max, scale.low, scale.high,
				 scale.step);
	}
}

static void any_range_has_a_scale_of_few_steps(void **state)
{
	static const double values[] = {
		-1.7e308, -1e9, -1, -1e-12, 0, 1e-300, 1e-12, 0.1, 1, 99.9, 1e6, 1e300, 1.7e308
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		for (size_t j = i; j < ARRAY_SIZE(values); j++)
			for (unsigned ticks = 2; ticks <= 4; ticks += 2) {
				struct scale scale = scale_make(values[i], values[j], ticks, UNIT_KIB);
				double steps = (scale.high - scale.low) / scale.step;

				if (!isfinite(scale.low) || !isfinite(scale.high) || !(scale.high > scale.low) ||
				    steps > ticks + 2 || steps < 1)
					fail_msg("%g to %g: %g to %g by %g", values[i], values[j], scale.low,
						 scale.high, scale.step);
			}
}

static void values_are_written_in_their_unit(void **state)
{
	static const struct {
		double value;
		enum catalog_unit unit;
		const char *want;
	} cases[] = {
		{ 12.5, UNIT_PERCENT, "12.5%" },
		{ 1536, UNIT_BYTES, "1.5K" },
		{ 1536, UNIT_KIB, "1.5M" },
		{ 1.5, UNIT_GIB, "1.5G" },
		{ -2048, UNIT_BYTES_PER_SECOND, "-2.0K/s" },
		{ 3, UNIT_PER_SECOND, "3/s" },
		{ 1500, UNIT_MICROSECONDS, "0.0015s" },
		{ 2e9, UNIT_NANOSECONDS, "2s" },
		{ 41, UNIT_CELSIUS, "41C" },
		{ 90, UNIT_SECONDS, "90s" },
		{ 12345678, UNIT_COUNT, "1.23e+07" },
		{ 0.25, UNIT_NONE, "0.25" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[40];

		scale_value(cases[i].value, cases[i].unit, text, sizeof(text));
		assert_string_equal(text, cases[i].want);
	}
}

static void times_stand_at_round_steps(void **state)
{
	(void)state;
	assert_int_equal(scale_time_step(10000, 10), 1000);
	assert_int_equal(scale_time_step(10001, 10), 2000);
	assert_int_equal(scale_time_step(3600000, 6), 600000);
	assert_int_equal(scale_time_step(86400000, 6), 6 * 3600000);
	assert_true(scale_time_step(INT64_C(86400000) * 36500, 4) >= INT64_C(86400000) * 36500 / 4);
	assert_int_equal(scale_time_first(60001, 60000, true), 120000);
	assert_int_equal(scale_time_first(60000, 60000, true), 60000);
}

static void a_day_begins_at_local_midnight(void **state)
{
	const int64_t day = INT64_C(86400000), noon = 20000 * day + day / 2;
	char text[32];

	(void)state;
	setenv("TZ", "IST-05:30", 1); /* five and a half hours ahead */
	tzset();
	assert_int_equal(scale_time_first(noon, day, false), 20001 * day - INT64_C(19800000));
	assert_int_equal(scale_time_first(noon, day, true), 20001 * day);
	scale_time(noon, 3600000, false, text, sizeof(text));
	assert_string_equal(text, "17:30");
	scale_time(noon + 5000, 1000, true, text, sizeof(text));
	assert_string_equal(text, "12:00:05");
	scale_time(noon, day, true, text, sizeof(text));
	assert_string_equal(text, "04 Oct");
	scale_time(20000 * day, 3600000, true, text, sizeof(text)); /* midnight says the day */
	assert_string_equal(text, "04 Oct");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_ends_of_a_scale_are_round_and_hold_the_values),
		cmocka_unit_test(any_range_has_a_scale_of_few_steps),
		cmocka_unit_test(values_are_written_in_their_unit),
		cmocka_unit_test(times_stand_at_round_steps),
		cmocka_unit_test(a_day_begins_at_local_midnight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
