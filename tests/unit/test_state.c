/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/base/state.h"

#define BOOT	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NEXT_BOOT "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static char dir[64];

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/infinistate-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char path[128];

	(void)state;
	for (const char *const *name = (const char *const[]){ "lock", "seq", ".seq", NULL }; *name; name++) {
		snprintf(path, sizeof(path), "%s/%s", dir, *name);
		unlink(path);
	}
	return rmdir(dir);
}

static void starts_at_one(void **state)
{
	struct state s;
	struct err e;

	(void)state;
	assert_int_equal(state_open(&s, dir, &e), 0);
	assert_int_equal(state_first_seq(&s, 0, BOOT), 1);
	state_close(&s);
}

static void goes_on_after_a_clean_stop_without_a_hole(void **state)
{
	struct state s;
	struct err e;

	(void)state;
	assert_int_equal(state_open(&s, dir, &e), 0);
	assert_int_equal(state_finish(&s, 42, BOOT), 0);
	state_close(&s);
	assert_int_equal(state_open(&s, dir, &e), 0);
	assert_int_equal(state_first_seq(&s, 41, NEXT_BOOT), 42);
	state_close(&s);
}

static void after_a_crash_what_was_seen_counts(void **state)
{
	struct state s;
	struct err e;

	(void)state;
	assert_int_equal(state_open(&s, dir, &e), 0);
	assert_int_equal(state_begin(&s, 10, BOOT), 0);
	state_close(&s);
	assert_int_equal(state_open(&s, dir, &e), 0);
	assert_int_equal(state_first_seq(&s, 57, BOOT), 58);
	assert_true(state_first_seq(&s, 57, NEXT_BOOT) > 58);
	state_close(&s);
}

/* Fault row 49. */
static void a_second_agent_is_told_who_is_first(void **state)
{
	struct state first, second;
	struct err e = { 0 };
	char pid[24];

	(void)state;
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	assert_int_equal(state_open(&first, dir, &e), 0);
	assert_int_equal(state_open(&second, dir, &e), -EBUSY);
	assert_non_null(strstr(e.text, pid));
	assert_non_null(strstr(e.text, dir));
	state_close(&first);
	assert_int_equal(state_open(&second, dir, &e), 0);
	state_close(&second);
}

static void a_damaged_file_counts_as_none(void **state)
{
	static const char *const damaged[] = { "", "x", "-5 clean " BOOT "\n", "12", "0 clean " BOOT "\n" };
	struct state s;
	struct err e;
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/seq", dir);
	for (size_t i = 0; i < sizeof(damaged) / sizeof(*damaged); i++) {
		FILE *file = fopen(path, "w");

		assert_non_null(file);
		fputs(damaged[i], file);
		fclose(file);
		assert_int_equal(state_open(&s, dir, &e), 0);
		if (state_first_seq(&s, 7, BOOT) < 8)
			fail_msg("'%s'", damaged[i]);
		state_close(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(starts_at_one, setup, teardown),
		cmocka_unit_test_setup_teardown(goes_on_after_a_clean_stop_without_a_hole, setup, teardown),
		cmocka_unit_test_setup_teardown(after_a_crash_what_was_seen_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(a_second_agent_is_told_who_is_first, setup, teardown),
		cmocka_unit_test_setup_teardown(a_damaged_file_counts_as_none, setup, teardown),
	};

	return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
