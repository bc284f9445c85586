/* SPDX-License-Identifier: MIT */
/* How full the guest is, by the one rule of all who ask. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "agent/metrics/disk_judge.h"

#define MIB (UINT64_C(1) << 20)

static const struct filesystem_row root = { .mount_point = "/",
					    .type = "ext4",
					    .known = true,
					    .total_bytes = 1000 * MIB,
					    .used_bytes = 100 * MIB,
					    .available_bytes = 900 * MIB,
					    .inodes_total = 1000,
					    .inodes_free = 900 };

static void what_is_judged_sets_the_level(void **state)
{
	static const struct {
		const char *what;
		struct filesystem_row row;
		enum disk_level level;
		unsigned judged, unknown, not_judged;
	} cases[] = {
		{ "half full",
		  { .type = "ext4", .known = true, .total_bytes = 100, .used_bytes = 50, .available_bytes = 50 },
		  DISK_OK,
		  2,
		  0,
		  0 },
		{ "tight",
		  { .type = "xfs", .known = true, .total_bytes = 100, .used_bytes = 85, .available_bytes = 15 },
		  DISK_TIGHT,
		  2,
		  0,
		  0 },
		{ "full",
		  { .type = "ext4", .known = true, .total_bytes = 100, .used_bytes = 95, .available_bytes = 5 },
		  DISK_FULL,
		  2,
		  0,
		  0 },
		{ "full for users",
		  { .type = "ext4", .known = true, .total_bytes = 100, .used_bytes = 90, .available_bytes = 0 },
		  DISK_FULL,
		  2,
		  0,
		  0 },
		{ "read-only",
		  { .type = "ext4", .known = true, .read_only = true, .total_bytes = 100, .used_bytes = 100 },
		  DISK_OK,
		  1,
		  0,
		  1 },
		{ "an image",
		  { .type = "fuse.squashfuse",
		    .known = true,
		    .full_by_make = true,
		    .total_bytes = 100,
		    .used_bytes = 100 },
		  DISK_OK,
		  1,
		  0,
		  1 },
		{ "an image by its type",
		  { .type = "squashfs", .known = true, .total_bytes = 100, .used_bytes = 100 },
		  DISK_OK,
		  1,
		  0,
		  1 },
		{ "no inodes left",
		  { .type = "ext4",
		    .known = true,
		    .total_bytes = 100,
		    .used_bytes = 10,
		    .available_bytes = 90,
		    .inodes_total = 64 },
		  DISK_FULL,
		  2,
		  0,
		  0 },
		{ "inodes that are made of space",
		  { .type = "btrfs",
		    .known = true,
		    .total_bytes = 100,
		    .used_bytes = 10,
		    .available_bytes = 90,
		    .inodes_total = 64 },
		  DISK_OK,
		  2,
		  0,
		  0 },
		{ "no inodes left, read-only",
		  { .type = "ext4",
		    .known = true,
		    .read_only = true,
		    .total_bytes = 100,
		    .used_bytes = 10,
		    .available_bytes = 90,
		    .inodes_total = 64 },
		  DISK_OK,
		  1,
		  0,
		  1 },
		{ "not answering",
		  { .type = "nfs", .error = -ETIMEDOUT, .total_bytes = 100, .used_bytes = 100 },
		  DISK_OK,
		  1,
		  1,
		  0 },
		{ "not answered yet", { .type = "ext4" }, DISK_OK, 1, 1, 0 },
		{ "of the collect before",
		  { .type = "ext4", .total_bytes = 100, .used_bytes = 100 },
		  DISK_FULL,
		  2,
		  0,
		  0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct disk_verdict verdict = DISK_VERDICT;
		struct filesystem_row row = cases[i].row;

		row.mount_point = cases[i].what;
		disk_judge_row(&verdict, &root);
		disk_judge_row(&verdict, &row);
		if (disk_level(&verdict, DISK_WARNING, DISK_CRITICAL) != cases[i].level ||
		    verdict.judged != cases[i].judged || verdict.unknown != cases[i].unknown ||
		    verdict.not_judged != cases[i].not_judged)
			fail_msg("%s: level %d, judged %u, unknown %u, not judged %u", cases[i].what,
				 disk_level(&verdict, DISK_WARNING, DISK_CRITICAL), verdict.judged, verdict.unknown,
				 verdict.not_judged);
	}
}

static void the_fullest_is_named_and_so_is_where_inodes_ran_out(void **state)
{
	struct filesystem_row full = root, small = root;
	struct disk_verdict verdict = DISK_VERDICT;

	(void)state;
	full.mount_point = "/srv";
	full.used_bytes = 950 * MIB;
	full.available_bytes = 50 * MIB;
	small.mount_point = "/var";
	small.inodes_free = 1;
	disk_judge_row(&verdict, &small);
	disk_judge_row(&verdict, &full);
	disk_judge_row(&verdict, &root);
	assert_string_equal(verdict.worst.mount_point, "/srv");
	assert_string_equal(verdict.inodes_at, "/var");
	assert_true(verdict.used > 94.9 && verdict.used < 95.1 && verdict.inodes > 99.8);
	/* A host's own limits, and inodes have none but ours. */
	assert_int_equal(disk_level(&verdict, 99, 100), DISK_FULL);
	verdict.inodes = -1;
	assert_int_equal(disk_level(&verdict, 99, 100), DISK_OK);
	assert_int_equal(disk_level(&verdict, 90, 100), DISK_TIGHT);
}

/* What another user keeps for himself is no trouble of the machine; what does not answer is. */
static void what_does_not_answer_is_told_apart_from_what_may_not_be_looked_at(void **state)
{
	static const struct {
		int error;
		unsigned silent;
	} cases[] = { { 0, 1 },	      { -ETIMEDOUT, 1 }, { -EIO, 1 },  { -ENOTCONN, 1 },
		      { -ESTALE, 1 }, { -EACCES, 0 },	 { -EPERM, 0 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct disk_verdict verdict = DISK_VERDICT;
		struct filesystem_row row = { .mount_point = "/mnt", .type = "nfs", .error = cases[i].error };

		disk_judge_row(&verdict, &root);
		disk_judge_row(&verdict, &row);
		assert_int_equal(verdict.unknown, 1);
		assert_int_equal(verdict.silent, cases[i].silent);
		if (cases[i].silent)
			assert_string_equal(verdict.silent_at, "/mnt");
		else
			assert_null(verdict.silent_at);
	}
}

static void nothing_to_judge_is_no_trouble(void **state)
{
	struct disk_verdict verdict = DISK_VERDICT;

	(void)state;
	assert_int_equal(disk_level(&verdict, 0, 0), DISK_OK);
	disk_judge(NULL, &verdict);
	assert_int_equal(verdict.judged + verdict.unknown + verdict.not_judged, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_judged_sets_the_level),
		cmocka_unit_test(the_fullest_is_named_and_so_is_where_inodes_ran_out),
		cmocka_unit_test(what_does_not_answer_is_told_apart_from_what_may_not_be_looked_at),
		cmocka_unit_test(nothing_to_judge_is_no_trouble),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
