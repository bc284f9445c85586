/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "capture_sink.h"
#include "collectors/cpu.h"
#include "collectors/table.h"
#include "fixture_dir.h"

#define TAIL                                                                                                           \
	"intr 12345 1 2 3\nctxt 1000\nbtime 1767225600\nprocesses 50\nprocs_running 2\nprocs_blocked 1\n"              \
	"softirq 99 1 2 3\n"

static int setup(void **state)
{
	*state = fixture_new();
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	collector_cpu.close(fixture->state);
	fixture_free(fixture);
	return 0;
}

static void open_cpu(struct fixture *fixture)
{
	assert_int_equal(collector_cpu.open(&fixture->ctx, &fixture->state), 0);
}

static int collect(struct fixture *fixture, const char *stat)
{
	fixture_write(fixture, "proc/stat", stat);
	fixture_pass(fixture, 10);
	return collector_cpu.collect(fixture->state, &fixture->ctx);
}

static void assert_emits(struct fixture *fixture, const char *part)
{
	struct capture *capture = capture_begin();
	bool found;

	collector_cpu.emit(fixture->state, &capture->sink);
	found = capture_has(capture, part) && !capture_has(capture, "NOT_FINITE") && !capture_has(capture, ":-") &&
		!capture_has(capture, "[-") && !capture->full && capture->depth == 0;
	if (!found)
		print_error("no %s in %s\n", part, capture->text);
	free(capture);
	assert_true(found);
}

static int parse(const char *text, size_t len, struct cpu_stat *out)
{
	static struct cpu_times cores[4];

	*out = (struct cpu_stat){ .cores = cores, .cores_max = 4 };
	return cpu_stat_parse(text, len, out);
}

static void parses_all_columns_and_the_counters_below(void **state)
{
	const char *text = "cpu  10 1 5 80 2 3 4 5 6 7\ncpu0 5 0 2 40 1 1 2 3 4 5\ncpu2 5 1 3 40 1 2 2 2 2 2\n" TAIL;
	struct cpu_stat stat;

	(void)state;
	assert_int_equal(parse(text, strlen(text), &stat), 0);
	assert_int_equal(stat.all.ticks[CPU_USER], 10);
	assert_int_equal(stat.all.ticks[CPU_STEAL], 5);
	assert_int_equal(stat.cores_count, 2);
	assert_int_equal(stat.cores[1].id, 2);
	assert_int_equal(stat.cores[1].ticks[CPU_IRQ], 2);
	assert_true(stat.has_context_switches && stat.context_switches == 1000);
	assert_true(stat.has_forks && stat.forks == 50);
	assert_true(stat.has_running && stat.running == 2);
	assert_true(stat.has_blocked && stat.blocked == 1);
}

static void accepts_what_old_and_new_kernels_write_and_refuses_nonsense(void **state)
{
	static const struct {
		const char *text;
		int want;
	} cases[] = {
		{ "cpu 1 2 3 4\n", 0 },
		{ "cpu 1 2 3 4 5 6 7 8 9 10 11 12 13\n", 0 },
		{ "cpu  1 2 3 4", 0 },
		{ "cpu 1 2 3 4\nnew_line 7\nctxt x\n", 0 },
		{ "", -EBADMSG },
		{ "ctxt 5\n", -EBADMSG },
		{ "cpu 1 2 3\n", -EBADMSG },
		{ "cpu 1 2 3 4 x\n", -EBADMSG },
		{ "cpu 1 2 -3 4\n", -EBADMSG },
		{ "cpu 1 2 3 99999999999999999999\n", -EBADMSG },
		{ "cpu\n", -EBADMSG },
		{ "cpufreq 1 2 3 4\n", -EBADMSG },
		{ "cpu0 1 2\ncpu1 x\n", -EBADMSG },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cpu_stat stat;

		assert_int_equal(parse(cases[i].text, strlen(cases[i].text), &stat), cases[i].want);
	}
}

static void a_line_that_makes_no_sense_costs_itself_and_is_counted(void **state)
{
	static const struct {
		const char *text;
		size_t cores, skipped;
		unsigned first_id;
		uint64_t all_user;
	} cases[] = {
		{ "cpu 1 2 3 4\ncpu0 1 2\n", 0, 1, 0, 1 },
		{ "cpu 1 2 3 4\ncpuX 1 2 3 4\ncpu0 1 2 3 4\n", 1, 1, 0, 1 },
		{ "cpufreq 7 8\ncpu 1 2 3 4\ncpu0 1 2 3 4\ncpuidle\n", 1, 2, 0, 1 },
		{ "cpu 1 2 3 4\ncpu99999 1 2 3 4\n", 0, 1, 0, 1 },
		{ "cpu 1 2 3 4\ncpu3 9 2 3 4\ncpu0 1 2 3 4\ncpu1 1 2 3 4\n", 3, 0, 0, 1 },
		{ "cpu 1 2 3 4\ncpu1 1 2 3 4\ncpu1 9 2 3 4\n", 1, 1, 1, 1 },
		{ "cpu 1 2 3 4\ncpu 5 6 7 8\ncpu0 1 2 3 4\n", 1, 1, 0, 1 },
		{ "cpu 1 2 -3 4\ncpu0 1 2 3 4\ncpu1 6 2 3 4\n", 2, 1, 0, 7 },
		{ "cpu 1 2 3 4\ncpu0 1 2 3 -4\ncpu1 6 2 3 4\n", 1, 1, 1, 1 },
		{ "cpu2 6 2 3 4\ncpu0 1 2 3 4\n", 2, 0, 0, 7 },
		{ "cpu 1 2 3 4\ncpu0 1 2 3 4\nctxt x\nprocesses -1\nprocs_running one\nprocs_blocked\nintr x\n", 1, 4,
		  0, 1 },
		{ "cpu 1 2 3 4\ncpu0 1 2 3 4\nctxt 5\nprocesses 99999999999999999999\nbtime x\n", 1, 1, 0, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cpu_stat stat;

		assert_int_equal(parse(cases[i].text, strlen(cases[i].text), &stat), 0);
		assert_int_equal(stat.cores_count, cases[i].cores);
		assert_int_equal(stat.skipped, cases[i].skipped);
		assert_int_equal(stat.all.ticks[CPU_USER], cases[i].all_user);
		assert_true(cases[i].cores == 0 || stat.cores[0].id == cases[i].first_id);
		for (size_t c = 1; c < stat.cores_count; c++)
			assert_true(stat.cores[c - 1].id < stat.cores[c].id);
	}
}

static void every_cut_of_the_text_is_survived(void **state)
{
	const char *text = "cpu  10 1 5 80 2 3 4 5 6 7\ncpu0 5 0 2 40 1 1 2 3 4 5\ncpu1 5 1 3 40 1 2 2 2 2 2\n" TAIL;

	(void)state;
	for (size_t len = 0; len <= strlen(text); len++) {
		char *exact = malloc(len ? len : 1);
		struct cpu_stat stat;
		int r;

		memcpy(exact, text, len);
		r = parse(exact, len, &stat);
		free(exact);
		assert_true(r == 0 || r == -EBADMSG);
	}
}

static void more_cores_than_room_are_counted(void **state)
{
	const char *text =
		"cpu 1 1 1 1\ncpu0 1 1 1 1\ncpu1 1 1 1 1\ncpu2 1 1 1 1\ncpu3 1 1 1 1\ncpu7 1 1 1 1\ncpu9 1 1 1 1\n";
	struct cpu_stat stat;

	(void)state;
	assert_int_equal(parse(text, strlen(text), &stat), 0);
	assert_int_equal(stat.cores_count, 4);
	assert_int_equal(stat.cores_seen, 6);
}

static void iowait_and_steal_are_not_busy(void **state)
{
	struct cpu_times before = { 0 }, now = { .ticks = { 10, 10, 10, 30, 20, 5, 5, 10 } };
	struct cpu_share share = cpu_share_between(&before, &now, 0);

	(void)state;
	assert_true(fabs(share.usage - 40) < 1e-9);
	assert_true(fabs(share.state[CPU_IOWAIT] - 20) < 1e-9);
	assert_true(fabs(share.state[CPU_STEAL] - 10) < 1e-9);
}

static void counters_that_go_back_never_give_negative_shares(void **state)
{
	struct cpu_times before = { .ticks = { 100, 100, 100, 1000, 500, 0, 0, 0 } };
	struct cpu_times now = { .ticks = { 110, 100, 100, 990, 400, 0, 0, 0 } };
	struct cpu_share share = cpu_share_between(&before, &now, 200);

	(void)state;
	assert_true(share.known && share.reset && fabs(share.usage - 5) < 1e-9);
	assert_true(fpclassify(share.state[CPU_IOWAIT]) == FP_ZERO);
	share = cpu_share_between(&now, &now, 0);
	assert_false(share.known);
	assert_true(fpclassify(share.usage) == FP_ZERO);
}

static void the_largest_counters_give_finite_shares(void **state)
{
	struct cpu_times now = { .ticks = { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX,
					    UINT64_MAX, UINT64_MAX } };
	struct cpu_share share = cpu_share_between(NULL, &now, 0);

	(void)state;
	assert_true(share.usage >= 0 && share.usage <= 100);
}

static void the_first_sample_is_the_average_since_boot(void **state)
{
	open_cpu(*state);
	assert_int_equal(collect(*state, "cpu 25 0 0 75\ncpu0 25 0 0 75\n" TAIL), 0);
	assert_emits(*state, "\"usage_percent\":25.00,\"cores_usage\":[25.00],\"temperature\":null");
	assert_emits(*state, "\"context_switches_per_sec\":null");
	assert_emits(*state, "\"state\":\"first\"");
}

static void later_samples_are_over_the_interval(void **state)
{
	open_cpu(*state);
	assert_int_equal(
		collect(*state, "cpu 0 0 0 100 0 0 0 0\ncpu0 0 0 0 50\ncpu1 0 0 0 50\nctxt 1000\nprocesses 10\n"), 0);
	assert_int_equal(
		collect(*state, "cpu 40 0 20 130 10 0 0 0\ncpu0 40 0 0 60\ncpu1 0 0 20 70\nctxt 2000\nprocesses 15\n"),
		0);
	assert_emits(*state, "\"usage_percent\":60.00,\"cores_usage\":[80.00,50.00]");
	assert_emits(*state, "\"user_percent\":40.00");
	assert_emits(*state, "\"iowait_percent\":10.00");
	assert_emits(
		*state,
		"\"context_switches_per_sec\":100.0,\"forks_per_sec\":0.5,\"procs_blocked\":null,\"state\":\"ok\"");
}

static void a_cpu_taken_away_and_brought_back_changes_only_its_own_figure(void **state)
{
	open_cpu(*state);
	assert_int_equal(collect(*state, "cpu 0 0 0 300\ncpu0 0 0 0 100\ncpu1 90 0 0 10\ncpu2 0 0 0 100\n"), 0);
	assert_int_equal(collect(*state, "cpu 50 0 0 350\ncpu0 0 0 0 150\ncpu2 50 0 0 100\n"), 0);
	assert_emits(*state, "\"cores_usage\":[0.00,100.00],\"cores_ids\":[0,2]");
	assert_int_equal(collect(*state, "cpu 50 0 0 460\ncpu0 0 0 0 200\ncpu1 1 0 0 9\ncpu2 50 0 0 150\n"), 0);
	assert_emits(*state, "\"cores_usage\":[0.00,0.00,0.00],\"cores_reset\":[1],\"temp");
}

/* CPU 1 loses its idle time while it is taken away and keeps what it had used; the first line loses it too. */
static void a_cpu_that_goes_offline_and_comes_back_is_no_full_load(void **state)
{
	open_cpu(*state);
	assert_int_equal(collect(*state, "cpu 200 0 0 90000\ncpu0 100 0 0 40000\ncpu1 100 0 0 50000\n"), 0);
	assert_int_equal(collect(*state, "cpu 260 0 0 41000\ncpu0 150 0 0 40950\ncpu1 110 0 0 50\n"), 0);
	assert_emits(*state, "{\"usage_percent\":5.00,\"cores_usage\":[5.00,1.00],\"cores_reset\":[1],");
	assert_emits(*state, "\"state\":\"reset\"");
	assert_int_equal(collect(*state, "cpu 310 0 0 41950\ncpu0 200 0 0 41900\n"), 0);
	assert_emits(*state, "{\"usage_percent\":5.00,\"cores_usage\":[5.00],\"temperature\":null");
	assert_int_equal(collect(*state, "cpu 361 0 0 92899\ncpu0 250 0 0 42850\ncpu1 111 0 0 49\n"), 0);
	assert_emits(*state, "{\"usage_percent\":5.00,\"cores_usage\":[5.00,0.00],\"cores_reset\":[1],");
	assert_int_equal(collect(*state, "cpu 511 0 0 94749\ncpu0 300 0 0 43800\ncpu1 211 0 0 949\n"), 0);
	assert_emits(*state, "{\"usage_percent\":7.50,\"cores_usage\":[5.00,10.00],\"temperature\":null");
	assert_emits(*state, "\"state\":\"ok\"");
}

static void a_second_look_within_a_tick_keeps_the_figures(void **state)
{
	open_cpu(*state);
	assert_int_equal(collect(*state, "cpu 0 0 0 100\ncpu0 0 0 0 100\n"), 0);
	assert_int_equal(collect(*state, "cpu 50 0 0 150\ncpu0 50 0 0 150\n"), 0);
	assert_int_equal(collect(*state, "cpu 50 0 0 150\ncpu0 50 0 0 150\n"), 0);
	assert_emits(*state, "\"usage_percent\":50.00");
}

static void a_gap_is_named(void **state)
{
	struct fixture *fixture = *state;

	open_cpu(fixture);
	assert_int_equal(collect(fixture, "cpu 0 0 0 100\ncpu0 0 0 0 100\n"), 0);
	fixture->ctx.gap = true;
	assert_int_equal(collect(fixture, "cpu 50 0 0 150\ncpu0 50 0 0 150\n"), 0);
	assert_emits(fixture, "\"state\":\"gap\"");
}

static void nonsense_costs_the_sample_and_not_the_baseline(void **state)
{
	open_cpu(*state);
	assert_int_equal(collect(*state, "cpu 0 0 0 100\ncpu0 0 0 0 100\n"), 0);
	assert_int_equal(collect(*state, "cpu 0 0 0\n"), -EBADMSG);
	assert_int_equal(collect(*state, "cpu 50 0 0 150\ncpu0 50 0 0 150\n"), 0);
	assert_emits(*state, "\"usage_percent\":50.00,\"cores_usage\":[50.00]");
}

static void lines_skipped_are_said(void **state)
{
	open_cpu(*state);
	assert_int_equal(collect(*state, "cpu 25 0 0 75\ncpu0 25 0 0 75\ncpu1 -1 0 0 75\n"), 0);
	assert_emits(*state, "\"cores_usage\":[25.00],");
	assert_emits(*state, "\"state\":\"first\",\"lines_skipped\":1");
}

static void the_package_sensor_is_found_by_its_driver(void **state)
{
	struct fixture *fixture = *state;

	fixture_write(fixture, "sys/class/hwmon/hwmon0/name", "nvme\n");
	fixture_write(fixture, "sys/class/hwmon/hwmon0/temp1_input", "20000\n");
	fixture_write(fixture, "sys/class/hwmon/hwmon1/name", "coretemp\n");
	fixture_write(fixture, "sys/class/hwmon/hwmon1/temp1_input", "47500\n");
	open_cpu(fixture);
	assert_int_equal(collect(fixture, "cpu 1 1 1 1\ncpu0 1 1 1 1\n"), 0);
	assert_emits(fixture, "\"temperature\":47.5");
	fixture_write(fixture, "sys/class/hwmon/hwmon1/temp1_input", "999999999\n");
	assert_int_equal(collect(fixture, "cpu 2 2 2 2\ncpu0 2 2 2 2\n"), 0);
	assert_emits(fixture, "\"temperature\":null");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_all_columns_and_the_counters_below),
		cmocka_unit_test(accepts_what_old_and_new_kernels_write_and_refuses_nonsense),
		cmocka_unit_test(a_line_that_makes_no_sense_costs_itself_and_is_counted),
		cmocka_unit_test_setup_teardown(a_cpu_that_goes_offline_and_comes_back_is_no_full_load, setup,
						teardown),
		cmocka_unit_test_setup_teardown(lines_skipped_are_said, setup, teardown),
		cmocka_unit_test(every_cut_of_the_text_is_survived),
		cmocka_unit_test(more_cores_than_room_are_counted),
		cmocka_unit_test(iowait_and_steal_are_not_busy),
		cmocka_unit_test(counters_that_go_back_never_give_negative_shares),
		cmocka_unit_test(the_largest_counters_give_finite_shares),
		cmocka_unit_test_setup_teardown(the_first_sample_is_the_average_since_boot, setup, teardown),
		cmocka_unit_test_setup_teardown(later_samples_are_over_the_interval, setup, teardown),
		cmocka_unit_test_setup_teardown(a_cpu_taken_away_and_brought_back_changes_only_its_own_figure, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_second_look_within_a_tick_keeps_the_figures, setup, teardown),
		cmocka_unit_test_setup_teardown(a_gap_is_named, setup, teardown),
		cmocka_unit_test_setup_teardown(nonsense_costs_the_sample_and_not_the_baseline, setup, teardown),
		cmocka_unit_test_setup_teardown(the_package_sensor_is_found_by_its_driver, setup, teardown),
	};

	return cmocka_run_group_tests_name("cpu", tests, NULL, NULL);
}
