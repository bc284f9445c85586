/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "capture_sink.h"
#include "collectors/table.h"
#include "collectors/vmstat.h"
#include "fixture_dir.h"

#define HEAD "nr_free_pages 5678983\nnr_zone_inactive_anon 1\n"
#define FIRST_PAGE                                                                                                     \
	HEAD "pgpgin 6203085\npgpgout 28515944\npswpin 11\npswpout 12\npgalloc_dma 1\nallocstall_dma 1\n"              \
	     "allocstall_dma32 2\nallocstall_normal 30\nallocstall_movable 400\npgfault 99\npgmajfault 13604\n"
#define LAST_PAGE "oom_kill 3\ncompact_fail 8\ncompact_stall 9\nhtlb_buddy_alloc_success 0\n"

static size_t page_bytes; /* no read gives more; 0: no bound */
static unsigned pread_count;

ssize_t __real_pread(int fd, void *bytes, size_t size, off_t offset);
ssize_t __wrap_pread(int fd, void *bytes, size_t size, off_t offset);

ssize_t __wrap_pread(int fd, void *bytes, size_t size, off_t offset)
{
	pread_count++;
	return __real_pread(fd, bytes, page_bytes && size > page_bytes ? page_bytes : size, offset);
}

static int setup(void **state)
{
	struct fixture *fixture = fixture_new();

	*state = fixture;
	page_bytes = 0;
	return collector_vmstat.open(&fixture->ctx, &fixture->state);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	collector_vmstat.close(fixture->state);
	fixture_free(fixture);
	return 0;
}

/* A collect ten seconds after the last one. */
static void assert_collects(struct fixture *fixture, const char *text, const char *want)
{
	struct capture *capture = capture_begin();
	int r;
	bool good;

	fixture_write(fixture, "proc/vmstat", text);
	fixture_pass(fixture, 10);
	r = collector_vmstat.collect(fixture->state, &fixture->ctx);
	if (r == 0)
		collector_vmstat.emit(fixture->state, &capture->sink);
	good = r == 0 && capture_has(capture, want);
	if (!good)
		print_error("%d\n%s\nwithout\n%s\n", r, capture->text, want);
	free(capture);
	assert_true(good);
}

#define A VMSTAT_ABSENT

static void lines_are_taken_by_their_whole_names_and_odd_ones_cost_themselves(void **state)
{
	static const struct {
		const char *text;
		uint64_t want[VMSTAT_COUNTERS]; /* paged in, out, swapped in, out, faults, kills, compaction, allocation
						 */
		uint64_t skipped;
	} cases[] = {
		{ FIRST_PAGE LAST_PAGE, { 6203085, 28515944, 11, 12, 13604, 3, 9, 433 }, 0 },
		{ LAST_PAGE FIRST_PAGE, { 6203085, 28515944, 11, 12, 13604, 3, 9, 433 }, 0 },
		{ "pgpgin 1", { 1, A, A, A, A, A, A, A }, 0 },
		{ "pswpin 0\nallocstall 7\n", { A, A, 0, A, A, A, A, 7 }, 0 },
		{ "pgpgin 1\npgpgin_more 2\npgpgi 3\nPGPGOUT 4\n pgpgout 5\nallocstalls 6\nallocstal 7\n",
		  { 1, A, A, A, A, A, A, A },
		  0 },
		{ "pgpgin 1\npgpgin 2\n", { 1, A, A, A, A, A, A, A }, 1 },
		{ "pgpgin 1\npgpgout -2\npswpin 3x\npswpout\npgmajfault \noom_kill 18446744073709551616\n",
		  { 1, A, A, A, A, A, A, A },
		  4 },
		{ "pgpgin 18446744073709551614\npgpgout 18446744073709551615\n",
		  { UINT64_MAX - 1, A, A, A, A, A, A, A },
		  1 },
		{ "allocstall_dma 5\nallocstall_normal x\nallocstall_movable 6\n", { A, A, A, A, A, A, A, 11 }, 1 },
		{ "allocstall_dma 18446744073709551614\nallocstall_normal 1\nallocstall_movable 9\n",
		  { A, A, A, A, A, A, A, UINT64_MAX - 1 },
		  2 },
		{ "\n\xff \xfe\n 1\npgpgin  1\n", { 1, A, A, A, A, A, A, A }, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vmstat vmstat;
		int r = vmstat_parse(cases[i].text, strlen(cases[i].text), &vmstat);
		bool good = r == 0 && vmstat.skipped == cases[i].skipped &&
			    memcmp(vmstat.counters, cases[i].want, sizeof(vmstat.counters)) == 0;

		if (!good)
			print_error("%d: %s\n", r, cases[i].text);
		assert_true(good);
	}
}

static void a_text_without_one_valid_line_is_refused(void **state)
{
	static const char *const cases[] = { "", "\n", "pgpgin", "pgpgin \n", "pgpgin x\n", HEAD, "cpu 1 2 3 4\n" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vmstat vmstat = { .skipped = 42 };

		assert_int_equal(vmstat_parse(cases[i], strlen(cases[i]), &vmstat), -EBADMSG);
		assert_true(vmstat.skipped == 42);
	}
}

static void every_cut_of_the_text_is_survived(void **state)
{
	static const char text[] = FIRST_PAGE LAST_PAGE;

	(void)state;
	for (size_t len = 0; len < sizeof(text); len++) {
		char *exact = malloc(len ? len : 1);
		struct vmstat vmstat;
		int r;

		memcpy(exact, text, len);
		r = vmstat_parse(exact, len, &vmstat);
		free(exact);
		assert_true(r == 0 || r == -EBADMSG);
	}
}

static void counters_stand_beside_their_rates(void **state)
{
	assert_collects(*state, FIRST_PAGE LAST_PAGE, "{\"paged_in_kb\":6203085,\"paged_in_kb_per_sec\":null,");
	assert_collects(*state,
			"pgpgin 6203185\npgpgout 28515944\npswpin 31\npswpout 12\nallocstall_normal 438\n"
			"pgmajfault 13607\noom_kill 4\ncompact_stall 9\n",
			"{\"paged_in_kb\":6203185,\"paged_in_kb_per_sec\":10.00,\"paged_out_kb\":28515944,"
			"\"paged_out_kb_per_sec\":0.00,\"swapped_in_pages\":31,\"swapped_in_pages_per_sec\":2.00,"
			"\"swapped_out_pages\":12,\"swapped_out_pages_per_sec\":0.00,\"major_faults\":13607,"
			"\"major_faults_per_sec\":0.30,\"oom_kills\":4,\"oom_kills_per_sec\":0.10,"
			"\"compaction_stalls\":9,\"compaction_stalls_per_sec\":0.00,\"allocation_stalls\":438,"
			"\"allocation_stalls_per_sec\":0.50,\"state\":\"ok\"");
}

static void what_the_kernel_does_not_count_is_null_and_spoils_no_state(void **state)
{
	assert_collects(*state, "pgpgin 10\nallocstall 0\n", "\"state\":\"first\"");
	assert_collects(*state, "pgpgin 20\nallocstall 0\n",
			"\"oom_kills\":null,\"oom_kills_per_sec\":null,\"compaction_stalls\":null,"
			"\"compaction_stalls_per_sec\":null,\"allocation_stalls\":0,"
			"\"allocation_stalls_per_sec\":0.00,\"state\":\"ok\"");
	assert_collects(
		*state, "pgpgin 30\nallocstall -1\n",
		"\"allocation_stalls\":null,\"allocation_stalls_per_sec\":null,\"state\":\"ok\",\"lines_skipped\":1");
}

/* Each read of the kernel's text counts everything anew. */
static void the_text_is_read_once_a_sample_as_long_as_its_first_page_has_all(void **state)
{
	struct fixture *fixture = *state;

	page_bytes = 512;
	assert_true(strlen(FIRST_PAGE LAST_PAGE) < page_bytes);
	assert_collects(fixture, FIRST_PAGE LAST_PAGE, "\"compaction_stalls\":9");
	pread_count = 0;
	assert_collects(fixture, FIRST_PAGE LAST_PAGE, "\"compaction_stalls\":9");
	assert_int_equal(pread_count, 1);
	page_bytes = strlen(FIRST_PAGE);
	assert_collects(fixture, FIRST_PAGE LAST_PAGE, "\"compaction_stalls\":9");
	pread_count = 0;
	assert_collects(fixture, FIRST_PAGE LAST_PAGE, "\"oom_kills\":3,\"oom_kills_per_sec\":0.00");
	assert_int_equal(pread_count, 3);
}

static void a_text_that_is_none_is_an_error_and_the_next_one_goes_on_from_the_last(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(collector_vmstat.collect(fixture->state, &fixture->ctx), -ENOENT);
	assert_collects(fixture, "pgpgin 100\n", "\"paged_in_kb\":100,\"paged_in_kb_per_sec\":null");
	fixture_write(fixture, "proc/vmstat", "garbage\n");
	fixture_pass(fixture, 10);
	assert_int_equal(collector_vmstat.collect(fixture->state, &fixture->ctx), -EBADMSG);
	assert_collects(fixture, "pgpgin 300\n", "\"paged_in_kb\":300,\"paged_in_kb_per_sec\":10.00");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_taken_by_their_whole_names_and_odd_ones_cost_themselves),
		cmocka_unit_test(a_text_without_one_valid_line_is_refused),
		cmocka_unit_test(every_cut_of_the_text_is_survived),
		cmocka_unit_test_setup_teardown(counters_stand_beside_their_rates, setup, teardown),
		cmocka_unit_test_setup_teardown(what_the_kernel_does_not_count_is_null_and_spoils_no_state, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_text_is_read_once_a_sample_as_long_as_its_first_page_has_all, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_text_that_is_none_is_an_error_and_the_next_one_goes_on_from_the_last,
						setup, teardown),
	};

	return cmocka_run_group_tests_name("vmstat", tests, NULL, NULL);
}
