/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <infiniservice/moment.h>

#include "agent/base/schedule.h"

#define PERIOD (30 * NS_PER_S)

static void is_first_due_one_period_after_the_start(void **state)
{
	struct schedule s;

	(void)state;
	schedule_start(&s, PERIOD, 1000);
	assert_false(schedule_due(&s, 1000 + PERIOD - 1));
	assert_true(schedule_due(&s, 1000 + PERIOD));
	assert_false(schedule_due(&s, 1000 + PERIOD));
}

/* Every tick comes 7 ms late; after a day the grid is still where it was. */
static void does_not_drift_over_a_day_of_late_ticks(void **state)
{
	struct schedule s;
	uint64_t now = 0;
	unsigned ticks = 0;

	(void)state;
	schedule_start(&s, PERIOD, 0);
	while (ticks < 2880) {
		now += schedule_left(&s, now) + 7 * NS_PER_MS;
		assert_true(schedule_due(&s, now));
		ticks++;
	}
	assert_int_equal(s.due_ns, 2881 * PERIOD);
	assert_int_equal(s.skipped, 0);
}

static void comes_once_after_a_pause_of_an_hour(void **state)
{
	struct schedule s;

	(void)state;
	schedule_start(&s, PERIOD, 0);
	assert_true(schedule_due(&s, 3600 * NS_PER_S));
	assert_false(schedule_due(&s, 3600 * NS_PER_S));
	assert_int_equal(s.due_ns, 3630 * NS_PER_S);
	assert_int_equal(s.skipped, 119);
}

static void a_shorter_period_takes_effect_at_once(void **state)
{
	struct schedule s;

	(void)state;
	schedule_start(&s, PERIOD, 0);
	schedule_change(&s, NS_PER_S, 5 * NS_PER_S);
	assert_int_equal(schedule_left(&s, 5 * NS_PER_S), NS_PER_S);
}

static void a_longer_period_loses_no_tick(void **state)
{
	struct schedule s;

	(void)state;
	schedule_start(&s, NS_PER_S, 0);
	schedule_change(&s, PERIOD, NS_PER_S / 2);
	assert_int_equal(s.due_ns, NS_PER_S);
	assert_true(schedule_due(&s, NS_PER_S));
	assert_int_equal(s.due_ns, NS_PER_S + PERIOD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_first_due_one_period_after_the_start),
		cmocka_unit_test(does_not_drift_over_a_day_of_late_ticks),
		cmocka_unit_test(comes_once_after_a_pause_of_an_hour),
		cmocka_unit_test(a_shorter_period_takes_effect_at_once),
		cmocka_unit_test(a_longer_period_loses_no_tick),
	};

	return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
