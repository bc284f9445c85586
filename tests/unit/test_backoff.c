/* SPDX-License-Identifier: MIT */
/* The waits of transport/backoff.c: bounds, doubling, jitter, recovery. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "transport/backoff.h"

static void every_wait_lies_within_the_bounds(void **state)
{
	struct backoff b;
	uint32_t random = 1;

	(void)state;
	backoff_init(&b, BACKOFF_MIN_NS, BACKOFF_MAX_NS);
	for (unsigned i = 0; i < 200; i++) {
		uint64_t wait = backoff_fail(&b, 5000, backoff_random(&random)) - 5000;

		assert_in_range(wait, BACKOFF_MIN_NS, BACKOFF_MAX_NS);
		assert_int_equal(b.due_ns, wait + 5000);
		assert_int_equal(b.failures, i + 1);
	}
}

static void waits_double_up_to_the_maximum(void **state)
{
	static const uint64_t highest_ms[] = { 150, 300, 600, 1200, 2400, 4800, 9600, 19200, 30000, 30000, 30000 };
	struct backoff b;

	(void)state;
	backoff_init(&b, BACKOFF_MIN_NS, BACKOFF_MAX_NS);
	for (unsigned i = 0; i < sizeof(highest_ms) / sizeof(highest_ms[0]); i++) {
		uint64_t wait = backoff_fail(&b, 0, UINT32_MAX), highest = highest_ms[i] * NS_PER_MS;

		assert_in_range(wait, highest - 10, highest);
	}
}

static void the_lowest_draw_is_two_thirds_of_the_highest(void **state)
{
	struct backoff low, high;

	(void)state;
	backoff_init(&low, BACKOFF_MIN_NS, BACKOFF_MAX_NS);
	backoff_init(&high, BACKOFF_MIN_NS, BACKOFF_MAX_NS);
	for (unsigned i = 0; i < 20; i++) {
		uint64_t from = backoff_fail(&low, 0, 0), to = backoff_fail(&high, 0, UINT32_MAX);

		assert_in_range(from, to - to / 3, to - to / 3 + 10);
	}
}

static void success_starts_over(void **state)
{
	struct backoff b;

	(void)state;
	backoff_init(&b, BACKOFF_MIN_NS, BACKOFF_MAX_NS);
	for (unsigned i = 0; i < 8; i++)
		backoff_fail(&b, 0, 7);
	backoff_succeed(&b);
	assert_int_equal(b.failures, 0);
	assert_int_equal(b.due_ns, 0);
	assert_int_equal(backoff_fail(&b, 0, 0), BACKOFF_MIN_NS);
}

static void odd_bounds_are_made_sane(void **state)
{
	struct backoff b;

	(void)state;
	backoff_init(&b, 0, 0);
	assert_int_equal(backoff_fail(&b, 10, UINT32_MAX), 11);
	backoff_init(&b, 500, 100);
	assert_int_equal(backoff_fail(&b, 0, UINT32_MAX), 500);
	backoff_init(&b, 1, UINT64_MAX);
	for (unsigned i = 0; i < 100; i++)
		assert_true(backoff_fail(&b, UINT64_MAX / 2, UINT32_MAX) > UINT64_MAX / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_wait_lies_within_the_bounds),
		cmocka_unit_test(waits_double_up_to_the_maximum),
		cmocka_unit_test(the_lowest_draw_is_two_thirds_of_the_highest),
		cmocka_unit_test(success_starts_over),
		cmocka_unit_test(odd_bounds_are_made_sane),
	};

	return cmocka_run_group_tests_name("backoff", tests, NULL, NULL);
}
