/* SPDX-License-Identifier: MIT */
/* Start times by which a host says which process it means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "agent/rules/requests.h"
#include "tests/room.h"

const bool test_can_destroy = true;

static void reads_what_the_process_list_writes(void **state)
{
	static const int64_t times[] = { 0, 1, 999, 1790000000123, 951782400000 /* 2000-02-29 */, 4102444799999 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		char text[RFC3339_SIZE];
		int64_t back = -1;

		rfc3339_format(times[i], text);
		assert_true(kill_rule_parse(text, &back));
		assert_int_equal(back, times[i]);
	}
}

static void takes_any_number_of_fraction_digits(void **state)
{
	int64_t ms;

	(void)state;
	assert_true(kill_rule_parse("1970-01-01T00:00:01Z", &ms));
	assert_int_equal(ms, 1000);
	assert_true(kill_rule_parse("1970-01-01T00:00:01.5Z", &ms));
	assert_int_equal(ms, 1500);
	assert_true(kill_rule_parse("1970-01-01T00:00:01.123456789Z", &ms));
	assert_int_equal(ms, 1123);
}

static void refuses_what_is_no_time(void **state)
{
	static const char *const cases[] = {
		"",
		"now",
		"1790000000",
		"2026-01-02",
		"2026-01-02 03:04:05Z",
		"2026-01-02T03:04:05",
		"2026-01-02T03:04:05+01:00",
		"2026-13-02T03:04:05Z",
		"2026-00-02T03:04:05Z",
		"2026-01-32T03:04:05Z",
		"2026-01-02T24:04:05Z",
		"2026-01-02T03:60:05Z",
		"1969-01-02T03:04:05Z",
		"2026-01-02T03:04:05.Z",
		"2026-01-02T03:04:05.1Zx",
		"2026-01-02T03:04:+5Z",
		" 2026-01-02T03:04:05Z",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t ms = 42;

		if (kill_rule_parse(cases[i], &ms))
			fail_msg("\"%s\" was taken", cases[i]);
		assert_int_equal(ms, 42);
	}
}

static void compares_with_a_little_room(void **state)
{
	const struct moment now = { .boot_ns = 100 * NS_PER_S, .wall_ms = 1000000 };

	(void)state;
	/* Booted at 900 000, started 50 s later. */
	assert_true(kill_rule_matches(950000, 5000, 100, &now));
	assert_true(kill_rule_matches(950000 + KILL_RULE_ROOM_MS, 5000, 100, &now));
	assert_true(kill_rule_matches(950000 - KILL_RULE_ROOM_MS, 5000, 100, &now));
	assert_false(kill_rule_matches(950001 + KILL_RULE_ROOM_MS, 5000, 100, &now));
	assert_false(kill_rule_matches(949999 - KILL_RULE_ROOM_MS, 5000, 100, &now));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_the_process_list_writes),
		cmocka_unit_test(takes_any_number_of_fraction_digits),
		cmocka_unit_test(refuses_what_is_no_time),
		cmocka_unit_test(compares_with_a_little_room),
	};

	return cmocka_run_group_tests_name("kill_rule", tests, NULL, NULL);
}
