/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>

#include <infiniservice/moment.h>

#include "agent/peer/breaker.h"

#define breaker_state(breaker, now) (breaker_describe(breaker, now).state)

static const struct moment now = { .mono_ns = 1000 * NS_PER_S, .wall_ms = 5000 };

static void fail_times(struct breaker *breaker, unsigned times)
{
	while (times--)
		breaker_failed(breaker, &now, now.mono_ns + 3 * NS_PER_S);
}

static void opens_after_five_failures_in_a_row(void **state)
{
	struct breaker breaker = { .failures = 0 };

	(void)state;
	fail_times(&breaker, 4);
	assert_int_equal(breaker_state(&breaker, &now), REPLY_BREAKER_CLOSED);
	assert_false(breaker.untold);
	fail_times(&breaker, 1);
	assert_int_equal(breaker_state(&breaker, &now), REPLY_BREAKER_OPEN);
	assert_true(breaker.untold);
	assert_int_equal(breaker_describe(&breaker, &now).recovery_eta_s, 3);
	assert_int_equal(breaker_describe(&breaker, &now).last_failure_ms, 5000);
}

static void one_success_begins_the_count_anew(void **state)
{
	struct breaker breaker = { .failures = 0 };

	(void)state;
	fail_times(&breaker, 4);
	breaker_worked(&breaker);
	fail_times(&breaker, 4);
	assert_int_equal(breaker_state(&breaker, &now), REPLY_BREAKER_CLOSED);
	assert_int_equal(breaker_describe(&breaker, &now).failure_count, 4);
}

static void is_half_open_when_its_time_has_come_and_closes_on_success(void **state)
{
	struct breaker breaker = { .failures = 0 };
	struct moment later = now;

	(void)state;
	fail_times(&breaker, 6);
	later.mono_ns += 3 * NS_PER_S - 1;
	assert_int_equal(breaker_state(&breaker, &later), REPLY_BREAKER_OPEN);
	later.mono_ns++;
	assert_int_equal(breaker_state(&breaker, &later), REPLY_BREAKER_HALF_OPEN);
	assert_int_equal(breaker_describe(&breaker, &later).recovery_eta_s, -1);
	breaker.untold = false;
	breaker_worked(&breaker);
	assert_int_equal(breaker_state(&breaker, &later), REPLY_BREAKER_CLOSED);
	assert_true(breaker.untold);
	assert_int_equal(breaker_describe(&breaker, &later).failure_count, 6);
}

static void fails_again_from_half_open_to_open(void **state)
{
	struct breaker breaker = { .failures = 0 };
	struct moment later = { .mono_ns = 1004 * NS_PER_S };

	(void)state;
	fail_times(&breaker, 5);
	assert_int_equal(breaker_state(&breaker, &later), REPLY_BREAKER_HALF_OPEN);
	breaker_failed(&breaker, &later, TIME_NEVER);
	later.mono_ns += 1000 * NS_PER_S;
	assert_int_equal(breaker_state(&breaker, &later), REPLY_BREAKER_OPEN);
	assert_int_equal(breaker_describe(&breaker, &later).recovery_eta_s, -1);
}

static void a_breaker_that_never_failed_has_no_time_of_failure(void **state)
{
	struct breaker breaker = { .failures = 0 };

	(void)state;
	breaker_worked(&breaker);
	assert_int_equal(breaker_describe(&breaker, &now).last_failure_ms, -1);
	assert_false(breaker.untold);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_after_five_failures_in_a_row),
		cmocka_unit_test(one_success_begins_the_count_anew),
		cmocka_unit_test(is_half_open_when_its_time_has_come_and_closes_on_success),
		cmocka_unit_test(fails_again_from_half_open_to_open),
		cmocka_unit_test(a_breaker_that_never_failed_has_no_time_of_failure),
	};

	return cmocka_run_group_tests_name("breaker", tests, NULL, NULL);
}
