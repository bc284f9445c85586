/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "collectors/attr.h"
#include "subject.h"

static void texts_are_the_first_line_without_blanks_at_its_ends(void **state)
{
	static const struct {
		const char *text, *want;
		int r;
	} cases[] = {
		{ "virtio\n", "virtio", 0 },
		{ " a b \t\r\n", "a b", 0 },
		{ "one\ntwo\n", "one", 0 },
		{ "", "", -ENODATA },
		{ "\n", "", -ENODATA },
		{ "  \n", "", -ENODATA },
		{ "longer than it is\n", "longer than", 0 },
	};
	struct fixture *fixture = *state;
	char text[12];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fixture_write(fixture, "sys/a", cases[i].text);
		assert_int_equal(attr_text(fixture->ctx.sys_fd, "a", text, sizeof(text)), cases[i].r);
		assert_string_equal(text, cases[i].want);
	}
	fixture_write_bytes(fixture, "sys/a", "a\0b", 3);
	assert_int_equal(attr_text(fixture->ctx.sys_fd, "a", text, sizeof(text)), 0);
	assert_string_equal(text, "a");
	assert_int_equal(attr_text(fixture->ctx.sys_fd, "none", text, sizeof(text)), -ENOENT);
	assert_string_equal(text, "");
}

static void numbers_are_the_whole_line_or_none(void **state)
{
	static const struct {
		const char *text;
		uint64_t want;
		int r;
	} cases[] = {
		{ "0\n", 0, 0 },
		{ "256", 256, 0 },
		{ "9223372036854775807\n", INT64_MAX, 0 },
		{ "18446744073709551614\n", UINT64_MAX - 1, 0 },
		{ "18446744073709551615\n", ATTR_ABSENT, -EBADMSG },
		{ "18446744073709551616\n", ATTR_ABSENT, -EBADMSG },
		{ "-1\n", ATTR_ABSENT, -EBADMSG },
		{ "1 2\n", ATTR_ABSENT, -EBADMSG },
		{ "0x10\n", ATTR_ABSENT, -EBADMSG },
		{ "max\n", ATTR_ABSENT, -EBADMSG },
		{ "", ATTR_ABSENT, -EBADMSG },
	};
	struct fixture *fixture = *state;
	uint64_t number;
	int64_t signed_number = 7;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fixture_write(fixture, "sys/a", cases[i].text);
		number = 42;
		assert_int_equal(attr_u64(fixture->ctx.sys_fd, "a", &number), cases[i].r);
		assert_true(number == cases[i].want);
	}
	fixture_write(fixture, "sys/a", "x\n");
	assert_int_equal(attr_i64(fixture->ctx.sys_fd, "a", &signed_number), -EBADMSG);
	assert_int_equal(signed_number, 7);
	fixture_write(fixture, "sys/a", "-5000\n");
	assert_int_equal(attr_i64(fixture->ctx.sys_fd, "a", &signed_number), 0);
	assert_int_equal(signed_number, -5000);
}

static void entries_are_found_by_their_numbers_the_lowest_first(void **state)
{
	static const char *const names[] = { "d/hwmon10", "d/hwmon2",  "d/hwmon0",	 "d/hwmon7x",
					     "d/hwmon",	  "d/xhwmon3", "d/hwmon1000000", "d/hwmon5" };
	struct fixture *fixture = *state;
	unsigned numbers[3];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[64];

		snprintf(path, sizeof(path), "sys/%s", names[i]);
		fixture_write(fixture, path, "");
	}
	assert_int_equal(attr_numbers(fixture->ctx.sys_fd, "d", "hwmon", "", numbers, 3), 4);
	assert_int_equal(numbers[0], 0);
	assert_int_equal(numbers[1], 2);
	assert_int_equal(numbers[2], 5);
	assert_int_equal(attr_numbers(fixture->ctx.sys_fd, "d", "hwmon", "x", numbers, 3), 1);
	assert_int_equal(numbers[0], 7);
	assert_int_equal(attr_numbers(fixture->ctx.sys_fd, "d", "hwmon", "", NULL, 0), 4);
	assert_int_equal(attr_numbers(fixture->ctx.sys_fd, "none", "hwmon", "", numbers, 3), -ENOENT);
}

static void errors_have_a_reason_in_a_word(void **state)
{
	(void)state;
	assert_null(attr_reason(0));
	assert_string_equal(attr_reason(-ENOENT), "unsupported");
	assert_string_equal(attr_reason(-EACCES), "denied");
	assert_string_equal(attr_reason(-EBADMSG), "invalid");
	assert_string_equal(attr_reason(-EIO), "unreadable");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SUBJECT_TEST(texts_are_the_first_line_without_blanks_at_its_ends),
		SUBJECT_TEST(numbers_are_the_whole_line_or_none),
		SUBJECT_TEST(entries_are_found_by_their_numbers_the_lowest_first),
		SUBJECT_TEST(errors_have_a_reason_in_a_word),
	};

	return cmocka_run_group_tests_name("attr", tests, NULL, NULL);
}
