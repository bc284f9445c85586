/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "capture_sink.h"
#include "collectors/memory.h"
#include "collectors/table.h"
#include "fixture_dir.h"

static const char meminfo[] = "MemTotal:        4000000 kB\nMemFree:          500000 kB\nMemAvailable:    3000000 kB\n"
			      "Buffers:          100000 kB\nCached:           900000 kB\nSwapCached:          77 kB\n"
			      "Active:            11111 kB\nSwapTotal:        200000 kB\nSwapFree:         150000 kB\n"
			      "Dirty:               128 kB\nWriteback:             4 kB\nAnonPages:        300000 kB\n"
			      "Shmem:             50000 kB\nSlab:             80000 kB\nSReclaimable:      60000 kB\n"
			      "CommitLimit:     2000000 kB\nCommitted_AS:    1000000 kB\nHugePages_Total:       0\n";

static int setup(void **state)
{
	struct fixture *fixture = fixture_new();

	*state = fixture;
	return collector_memory.open(&fixture->ctx, &fixture->state);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	collector_memory.close(fixture->state);
	fixture_free(fixture);
	return 0;
}

static void assert_emits(struct fixture *fixture, const char *part)
{
	struct capture *capture = capture_begin();
	bool found;

	collector_memory.emit(fixture->state, &capture->sink);
	found = capture_has(capture, part);
	if (!found)
		print_error("no %s in %s\n", part, capture->text);
	free(capture);
	assert_true(found);
}

static void finds_its_lines_among_the_others(void **state)
{
	struct meminfo info;

	(void)state;
	assert_int_equal(meminfo_parse(meminfo, strlen(meminfo), &info), 0);
	assert_true(info.total_kb == 4000000 && info.free_kb == 500000 && info.available_kb == 3000000);
	assert_true(info.cached_kb == 900000);
	assert_true(info.swap_total_kb == 200000 && info.swap_free_kb == 150000);
	assert_true(info.dirty_kb == 128 && info.writeback_kb == 4);
	assert_true(info.swap_cached_kb == 77 && info.active_kb == 11111 && info.commit_limit_kb == 2000000);
	assert_true(info.huge_total == 0 && info.huge_free == MEMINFO_ABSENT && info.zswap_kb == MEMINFO_ABSENT);
	assert_true(info.committed_kb == 1000000 && info.reclaimable_kb == 60000);
}

static void finds_them_in_any_order(void **state)
{
	const char *text =
		"SwapFree: 1 kB\nMemFree: 2 kB\nNew: 9 kB\nSwapTotal: 3 kB\nMemAvailable: 4 kB\nMemTotal: 5 kB";
	struct meminfo info;

	(void)state;
	assert_int_equal(meminfo_parse(text, strlen(text), &info), 0);
	assert_true(info.total_kb == 5 && info.free_kb == 2 && info.available_kb == 4 && info.swap_total_kb == 3 &&
		    info.swap_free_kb == 1 && info.dirty_kb == MEMINFO_ABSENT);
}

static void estimates_what_is_available_where_the_kernel_does_not_say(void **state)
{
	static const struct {
		const char *text;
		uint64_t want_kb;
	} cases[] = {
		{ "MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 20 kB\nCached: 300 kB\nShmem: 50 kB\nSReclaimable: 5 "
		  "kB\n",
		  375 },
		{ "MemTotal: 1000 kB\nMemFree: 100 kB\n", 100 },
		{ "MemTotal: 1000 kB\nMemFree: 100 kB\nShmem: 500 kB\n", 100 },
		{ "MemTotal: 1000 kB\nMemFree: 900 kB\nCached: 900 kB\n", 1000 },
		{ "MemTotal: 1000 kB\nMemFree: 18446744073709551614 kB\nCached: 18446744073709551614 kB\n", 1000 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct meminfo info;

		assert_int_equal(meminfo_parse(cases[i].text, strlen(cases[i].text), &info), 0);
		assert_true(info.available_kb == cases[i].want_kb);
	}
}

static void rejects_a_meminfo_without_its_two_oldest_lines(void **state)
{
	static const char *const cases[] = {
		"",
		"MemFree: 1 kB\n",
		"MemTotal: 1 kB\n",
		"MemTotal: x kB\nMemFree: 1 kB\n",
		"MemTotal: 99999999999999999999 kB\nMemFree: 1 kB\n",
		"MemTotal:\nMemFree: 1 kB\n",
		"MemTotals: 1\nMemFree: 1\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct meminfo info = { .total_kb = 42 };

		assert_int_equal(meminfo_parse(cases[i], strlen(cases[i]), &info), -EBADMSG);
		assert_true(info.total_kb == 42);
	}
}

static void every_cut_of_the_text_is_survived(void **state)
{
	(void)state;
	for (size_t len = 0; len < sizeof(meminfo); len++) {
		char *exact = malloc(len ? len : 1);
		struct meminfo info;
		int r;

		memcpy(exact, meminfo, len);
		r = meminfo_parse(exact, len, &info);
		free(exact);
		assert_true(r == 0 || r == -EBADMSG);
		assert_true(r < 0 || info.available_kb <= info.total_kb);
	}
}

static void used_is_total_less_available(void **state)
{
	struct fixture *fixture = *state;

	fixture_write(fixture, "proc/meminfo", meminfo);
	assert_int_equal(collector_memory.collect(fixture->state, &fixture->ctx), 0);
	assert_emits(fixture,
		     "{\"total_kb\":4000000,\"used_kb\":1000000,\"available_kb\":3000000,\"swap_total_kb\":200000,"
		     "\"swap_used_kb\":50000,");
}

static void a_guest_without_swap_says_null(void **state)
{
	struct fixture *fixture = *state;

	fixture_write(fixture, "proc/meminfo", "MemTotal: 10 kB\nMemFree: 5 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n");
	assert_int_equal(collector_memory.collect(fixture->state, &fixture->ctx), 0);
	assert_emits(fixture, "\"swap_total_kb\":null,\"swap_used_kb\":null");
	assert_emits(fixture, "\"dirty_kb\":null");
}

static void swap_of_which_it_is_not_known_what_is_free_is_there_all_the_same(void **state)
{
	struct fixture *fixture = *state;

	fixture_write(fixture, "proc/meminfo", "MemTotal: 10 kB\nMemFree: 5 kB\nSwapTotal: 10 kB\nSwapFree: x kB\n");
	assert_int_equal(collector_memory.collect(fixture->state, &fixture->ctx), 0);
	assert_emits(fixture, "\"swap_total_kb\":10,\"swap_used_kb\":null");
	fixture_write(fixture, "proc/meminfo", "MemTotal: 10 kB\nMemFree: 5 kB\nSwapFree: 7 kB\n");
	assert_int_equal(collector_memory.collect(fixture->state, &fixture->ctx), 0);
	assert_emits(fixture, "\"swap_total_kb\":null,\"swap_used_kb\":null");
}

static void more_free_swap_than_swap_is_none_used(void **state)
{
	struct fixture *fixture = *state;

	fixture_write(fixture, "proc/meminfo", "MemTotal: 10 kB\nMemFree: 5 kB\nSwapTotal: 10 kB\nSwapFree: 20 kB\n");
	assert_int_equal(collector_memory.collect(fixture->state, &fixture->ctx), 0);
	assert_emits(fixture, "\"swap_total_kb\":10,\"swap_used_kb\":0");
}

static void a_missing_file_is_an_error(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(collector_memory.collect(fixture->state, &fixture->ctx), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_its_lines_among_the_others),
		cmocka_unit_test(finds_them_in_any_order),
		cmocka_unit_test(estimates_what_is_available_where_the_kernel_does_not_say),
		cmocka_unit_test(rejects_a_meminfo_without_its_two_oldest_lines),
		cmocka_unit_test(every_cut_of_the_text_is_survived),
		cmocka_unit_test_setup_teardown(used_is_total_less_available, setup, teardown),
		cmocka_unit_test_setup_teardown(a_guest_without_swap_says_null, setup, teardown),
		cmocka_unit_test_setup_teardown(swap_of_which_it_is_not_known_what_is_free_is_there_all_the_same, setup,
						teardown),
		cmocka_unit_test_setup_teardown(more_free_swap_than_swap_is_none_used, setup, teardown),
		cmocka_unit_test_setup_teardown(a_missing_file_is_an_error, setup, teardown),
	};

	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
