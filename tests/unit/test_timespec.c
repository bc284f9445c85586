/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "tools/infinictl/timespec.h"

#define MINUTE 60000LL
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
/* 2026-09-21T14:13:20.500Z; in the zone of these tests, two hours east, 16:13:20 */
#define NOW	 1790000000500LL
#define MIDNIGHT (1789948800000LL - 2 * HOUR)

static int setup(void **state)
{
	(void)state;
	setenv("TZ", "TEST-2", 1);
	tzset();
	return 0;
}

static void takes_every_form_that_people_type(void **state)
{
	static const struct {
		const char *text;
		int64_t want;
	} cases[] = {
		{ "now", NOW },
		{ " NOW", NOW },
		{ "today", MIDNIGHT },
		{ "yesterday", MIDNIGHT - DAY },
		{ "yesterday 08:30", MIDNIGHT - DAY + 8 * HOUR + 30 * MINUTE },
		{ "today 00:00:05", MIDNIGHT + 5000 },
		{ "10m ago", NOW - 10 * MINUTE },
		{ "3d2h ago", NOW - 3 * DAY - 2 * HOUR },
		{ "3d 2h ago", NOW - 3 * DAY - 2 * HOUR },
		{ "1w1d1h1m1s ago", NOW - 8 * DAY - HOUR - MINUTE - 1000 },
		{ "0s ago", NOW },
		{ "1790000000", 1790000000000LL },
		{ "@1790000000", 1790000000000LL },
		{ "1790000000123", 1790000000123LL },
		{ "0", 0 },
		{ "16:13", MIDNIGHT + 16 * HOUR + 13 * MINUTE },
		{ "16:14", MIDNIGHT - DAY + 16 * HOUR + 14 * MINUTE }, /* not yet today */
		{ "23:59:59", MIDNIGHT - 1000 },
		{ "2026-09-21T14:13:20Z", 1790000000000LL },
		{ "2026-09-21T16:13:20.250+02:00", 1790000000250LL },
		{ "2026-09-21 14:13:20Z", 1790000000000LL },
		{ "2026-09-21", MIDNIGHT },
		{ "2026-09-21 16:13", MIDNIGHT + 16 * HOUR + 13 * MINUTE },
		{ "2026-09-21T16:13:20", 1790000000000LL },
		{ "tomorrow", MIDNIGHT + DAY },
		{ "tomorrow 06:00", MIDNIGHT + DAY + 6 * HOUR },
		{ "10 minutes ago", NOW - 10 * MINUTE },
		{ "1 hour 30 min ago", NOW - 90 * MINUTE },
		{ "2 Weeks ago", NOW - 14 * DAY },
		{ "-1h", NOW - HOUR },
		{ "-90 sec", NOW - 90000 },
		{ "+1d2h", NOW + 26 * HOUR },
		{ "@1790000000", 1790000000000LL },
		{ "@1790000000.25", 1790000000250LL },
		{ "2026-09-21 14:13 UTC", 1790000000000LL - 20000 },
		{ "2026-09-21T16:13:20.75", 1790000000750LL },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t got = -1;

		if (timespec_parse(cases[i].text, NOW, &got, NULL) || got != cases[i].want)
			fail_msg("%s: %lld, wanted %lld", cases[i].text, (long long)got, (long long)cases[i].want);
	}
}

static void refuses_anything_else_with_words(void **state)
{
	static const char *const bad[] = {
		"",
		"soon",
		"10m",
		"10 ago",
		"ago",
		" ago",
		"m ago",
		"10x ago",
		"24:00",
		"12:60",
		"1:00",
		"12:00x",
		"2026-13-01",
		"2026-02-30",
		"2026-09-21T",
		"2026-09-21 1",
		"1e9",
		"-5",
		"99999999999999999999",
		"yesterdays",
		"today 25:00",
		"99999999d ago",
		"9999999999999999s ago",
		"2026-09-21T16:13:20.x",
		"1790000000s",
		"-",
		"+",
		"-1",
		"-1x",
		"--1h",
		"10 minutess ago",
		"tomorrows",
		"1790000000.5",
		"2026-09-21 UTC",
		"2026-09-21 14:13 CET",
		"+9999999999w",
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err err = { 0 };
		int64_t got = 42;

		if (timespec_parse(bad[i], NOW, &got, &err) != -EINVAL)
			fail_msg("\"%s\" was taken", bad[i]);
		assert_int_equal(got, 42);
		assert_non_null(strstr(err.text, "10m ago"));
	}
}

static void a_span_of_time_is_above_nothing(void **state)
{
	struct err err = { 0 };
	int64_t ms = 42;

	(void)state;
	assert_int_equal(timespec_duration("1h30m", &ms, &err), 0);
	assert_int_equal(ms, 90 * MINUTE);
	assert_int_equal(timespec_duration("5 min", &ms, &err), 0);
	assert_int_equal(ms, 5 * MINUTE);
	for (const char *const *bad = (const char *const[]){ "", "0s", "5", "m", "-5m", "5m ago", NULL }; *bad; bad++)
		assert_int_equal(timespec_duration(*bad, &ms, &err), -EINVAL);
	assert_int_equal(ms, 5 * MINUTE);
	assert_non_null(strstr(err.text, "1h30m"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_span_of_time_is_above_nothing),
		cmocka_unit_test_setup(takes_every_form_that_people_type, setup),
		cmocka_unit_test_setup(refuses_anything_else_with_words, setup),
	};

	return cmocka_run_group_tests_name("timespec", tests, NULL, NULL);
}
