/* SPDX-License-Identifier: MIT */
/* Due times, token buckets, and what is remembered of each source; see agent/base/pace.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <infiniservice/moment.h>

#include "agent/base/pace.h"

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
		now = s.due_ns + 7 * NS_PER_MS;
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
	assert_int_equal(s.due_ns, 6 * NS_PER_S);
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

static void a_bucket_gives_one_second_at_once_and_then_the_rate(void **state)
{
	struct token_bucket bucket = { 0 };
	uint64_t now = 1000 * NS_PER_S;
	unsigned taken = 0;

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		taken += token_bucket_take(&bucket, 10, now);
	assert_int_equal(taken, 10);
	assert_true(token_bucket_take(&bucket, 10, now + 100 * NS_PER_MS));
	assert_false(token_bucket_take(&bucket, 10, now + 100 * NS_PER_MS));
	for (unsigned i = taken = 0; i < 100; i++)
		taken += token_bucket_take(&bucket, 10, now + 3600 * NS_PER_S);
	assert_int_equal(taken, 10);
}

static void a_user_is_the_same_source_however_often_it_comes_back(void **state)
{
	struct sources sources = { 0 };
	struct source *root = source_of_user(&sources, 0, 1), *user = source_of_user(&sources, 1000, 2);

	(void)state;
	assert_ptr_not_equal(root, user);
	user->sample_ns = 77;
	assert_ptr_equal(source_of_user(&sources, 1000, 3), user);
	assert_int_equal(source_of_user(&sources, 1000, 4)->sample_ns, 77);
	assert_ptr_equal(source_of_user(&sources, 0, 5), root);
}

static void the_table_is_bounded_and_the_quietest_makes_room(void **state)
{
	struct sources sources = { 0 };

	(void)state;
	for (unsigned i = 0; i < SOURCE_USERS_MAX; i++)
		source_of_user(&sources, i, i + 1)->sample_ns = i + 1;
	source_of_user(&sources, 0, 1000); /* asked again: now uid 1 is the quietest */
	assert_int_equal(source_of_user(&sources, 5000, 1001)->sample_ns, 0);
	assert_int_equal(source_of_user(&sources, 0, 1002)->sample_ns, 1);
	assert_int_equal(source_of_user(&sources, 2, 1003)->sample_ns, 3);
	assert_int_equal(source_of_user(&sources, 1, 1004)->sample_ns, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_first_due_one_period_after_the_start),
		cmocka_unit_test(does_not_drift_over_a_day_of_late_ticks),
		cmocka_unit_test(comes_once_after_a_pause_of_an_hour),
		cmocka_unit_test(a_shorter_period_takes_effect_at_once),
		cmocka_unit_test(a_longer_period_loses_no_tick),
		cmocka_unit_test(a_bucket_gives_one_second_at_once_and_then_the_rate),
		cmocka_unit_test(a_user_is_the_same_source_however_often_it_comes_back),
		cmocka_unit_test(the_table_is_bounded_and_the_quietest_makes_room),
	};

	return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
