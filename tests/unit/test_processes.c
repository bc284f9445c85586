/* SPDX-License-Identifier: MIT */
/* The processes collector over fixtures of /proc that come, go and change, and over the running kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <math.h>
#include <signal.h>
#include <sys/wait.h>

#include "collector_harness.h"
#include "collectors/processes.h"
#include "collectors/table.h"

static struct direct_prober direct;

static int open_harness(void **state, bool live)
{
	struct harness *h = harness_new(&collector_processes, live);

	*state = h;
	if (!h)
		return -1;
	/* A fixture's guest has been up for 1,000 s. */
	if (!live)
		h->ctx.now = (struct moment){ 1000 * NS_PER_S, 1000 * NS_PER_S, 1767225600000 };
	direct_prober_attach(&direct, h);
	return collector_processes.open(&h->ctx, &h->state);
}

static int setup(void **state)
{
	return open_harness(state, false);
}

static int setup_live(void **state)
{
	return open_harness(state, true);
}

static int teardown(void **state)
{
	harness_free(*state);
	return 0;
}

struct fake {
	int pid;
	const char *comm;
	char letter;
	unsigned flags;
	unsigned ticks; /* of CPU */
	unsigned start; /* ticks since boot */
	unsigned rss;	/* pages */
};

static void put(struct harness *h, struct fake f)
{
	char path[64];

	snprintf(path, sizeof(path), "proc/%d/stat", f.pid);
	assert_int_equal(harness_printf(h, path, "%d (%s) %c 1 1 1 0 -1 %u 0 0 0 0 %u 0 0 0 20 0 2 0 %u 1000 %u 0 0\n",
					f.pid, f.comm, f.letter ? f.letter : 'S', f.flags, f.ticks, f.start, f.rss),
			 0);
}

static void put_cmdline(struct harness *h, int pid, const char *text, size_t len)
{
	char path[64];

	snprintf(path, sizeof(path), "proc/%d/cmdline", pid);
	harness_write(h, path, text, len);
}

static void collect(struct harness *h)
{
	assert_int_equal(collector_processes.collect(h->state, &h->ctx), 0);
}

static struct json_object *row_of(struct json_object *all, int pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", pid);
	return harness_item(json_at(all, "processes"), "pid", text);
}

static double cpu_of(struct harness *h, int pid)
{
	struct json_object *all = harness_emit(h), *row = row_of(all, pid);
	double cpu = row ? json_object_get_double(json_at(row, "cpu_percent")) : -1;

	json_object_put(all);
	return cpu;
}

static void shows_a_process_with_all_its_fields(void **state)
{
	struct json_object *all, *row;
	struct harness *h = *state;
	char number[16];

	harness_printf(h, "proc/stat", "cpu 1 2 3 4\nbtime 1767224000\nprocesses 5\n");
	harness_printf(h, "etc/passwd", "someone:x:%u:100::/:/bin/sh\n", getuid());
	put(h, (struct fake){ .pid = 42, .comm = "sshd", .ticks = 100, .start = 50000, .rss = 1000 });
	put_cmdline(h, 42, "sshd:\0-D\0\0", 10);
	harness_printf(h, "proc/42/io", "read_bytes: 4096\nwrite_bytes: 8192\n");
	collect(h);
	all = harness_emit(h);
	row = row_of(all, 42);
	assert_non_null(row);
	assert_int_equal(json_object_get_int(json_at(row, "ppid")), 1);
	assert_string_equal(json_object_get_string(json_at(row, "name")), "sshd");
	assert_string_equal(json_object_get_string(json_at(row, "cmd_line")), "sshd: -D");
	assert_null(json_at(row, "exe_path"));
	assert_int_equal(json_object_get_int64(json_at(row, "memory_kb")), 1000 * sysconf(_SC_PAGESIZE) / 1024);
	assert_int_equal(json_object_get_int64(json_at(row, "disk_read_bytes")), 4096);
	assert_int_equal(json_object_get_int64(json_at(row, "disk_write_bytes")), 8192);
	assert_string_equal(json_object_get_string(json_at(row, "status")), "Sleeping");
	/* 2025-12-31T23:33:20Z plus 500 s */
	assert_string_equal(json_object_get_string(json_at(row, "start_time")), "2025-12-31T23:41:40.000Z");
	assert_string_equal(json_object_get_string(json_at(row, "user")), "someone");
	snprintf(number, sizeof(number), "%u", getuid());
	assert_string_equal(json_object_get_string(json_at(row, "uid")), number);
	assert_int_equal(json_object_get_int(json_at(row, "threads")), 2);
	json_object_put(all);
}

static void shows_what_it_may_not_read_as_null(void **state)
{
	struct json_object *all, *row;
	struct harness *h = *state;
	char number[16];

	direct.denied = true;
	put(h, (struct fake){ .pid = 42, .comm = "x", .start = 1 });
	collect(h);
	all = harness_emit(h);
	row = row_of(all, 42);
	assert_true(json_object_object_get_ex(row, "cmd_line", NULL));
	assert_null(json_at(row, "cmd_line"));
	assert_null(json_at(row, "exe_path"));
	assert_null(json_at(row, "disk_read_bytes"));
	snprintf(number, sizeof(number), "%u", getuid());
	assert_string_equal(json_object_get_string(json_at(row, "user")), number);
	json_object_put(all);
	/* And does not ask again at every tick. */
	harness_pass(h, 1000);
	collect(h);
	assert_int_equal(direct.processes, 1);
}

static void gives_a_process_first_seen_its_cpu_time_over_its_age(void **state)
{
	struct harness *h = *state;

	/*
	 * 50 s of CPU in 500 s; born this very tick, which counts as a fifth of a second; born after now, as a
	 * fixture's clocks may have it.
	 */
	put(h, (struct fake){ .pid = 10, .comm = "old", .ticks = 5000, .start = 50000 });
	put(h, (struct fake){ .pid = 11, .comm = "new", .ticks = 1, .start = 100000 });
	put(h, (struct fake){ .pid = 12, .comm = "future", .ticks = 3, .start = 200000 });
	collect(h);
	assert_true(fabs(cpu_of(h, 10) - 10) < 0.01);
	assert_true(fabs(cpu_of(h, 11) - 5) < 0.01);
	assert_true(isfinite(cpu_of(h, 12)));
}

static void measures_cpu_over_the_time_since_the_last_collect(void **state)
{
	struct harness *h = *state;

	put(h, (struct fake){ .pid = 10, .comm = "a", .ticks = 5000, .start = 100 });
	put(h, (struct fake){ .pid = 11, .comm = "b", .ticks = 7, .start = 100 });
	collect(h);
	harness_pass(h, 2000);
	put(h, (struct fake){ .pid = 10, .comm = "a", .ticks = 5150, .start = 100 });
	collect(h);
	assert_true(fabs(cpu_of(h, 10) - 75) < 0.01);
	assert_true(cpu_of(h, 11) == 0);
}

/* Row 65. */
static void does_not_take_a_reused_pid_for_the_process_before(void **state)
{
	struct json_object *all;
	struct harness *h = *state;

	put(h, (struct fake){ .pid = 10, .comm = "first", .ticks = 9000, .start = 100 });
	put_cmdline(h, 10, "first", 5);
	collect(h);
	harness_pass(h, 1000);
	put(h, (struct fake){ .pid = 10, .comm = "first", .ticks = 50, .start = 100000 });
	put_cmdline(h, 10, "second", 6);
	collect(h);
	/* 0.5 s of CPU in the 1 s of its life */
	assert_true(fabs(cpu_of(h, 10) - 50) < 0.01);
	all = harness_emit(h);
	assert_string_equal(json_object_get_string(json_at(row_of(all, 10), "cmd_line")), "second");
	json_object_put(all);
}

static void asks_for_a_command_line_once_and_again_after_execve(void **state)
{
	struct json_object *all;
	struct harness *h = *state;

	put(h, (struct fake){ .pid = 10, .comm = "sh", .start = 100 });
	put_cmdline(h, 10, "sh -c x", 7);
	for (int i = 0; i < 3; i++) {
		collect(h);
		harness_pass(h, 1000);
	}
	assert_int_equal(direct.processes, 1);
	put(h, (struct fake){ .pid = 10, .comm = "x", .start = 100 });
	put_cmdline(h, 10, "x", 1);
	collect(h);
	assert_int_equal(direct.processes, 2);
	all = harness_emit(h);
	assert_string_equal(json_object_get_string(json_at(row_of(all, 10), "cmd_line")), "x");
	json_object_put(all);
}

static void never_asks_about_kernel_threads_and_zombies(void **state)
{
	struct json_object *all;
	struct harness *h = *state;

	put(h, (struct fake){ .pid = 2, .comm = "kthreadd", .flags = 0x00208040, .start = 1 });
	put(h, (struct fake){ .pid = 9, .comm = "gone", .letter = 'Z', .start = 1 });
	collect(h);
	assert_int_equal(direct.processes, 0);
	all = harness_emit(h);
	assert_string_equal(json_object_get_string(json_at(row_of(all, 2), "cmd_line")), "");
	assert_null(json_at(row_of(all, 2), "exe_path"));
	assert_string_equal(json_object_get_string(json_at(row_of(all, 9), "status")), "Zombie");
	json_object_put(all);
}

/* Row 64: an entry may be gone between readdir, open and read. */
static void skips_what_vanishes_or_makes_no_sense(void **state)
{
	struct json_object *all;
	struct harness *h = *state;

	put(h, (struct fake){ .pid = 10, .comm = "stays", .start = 1 });
	put(h, (struct fake){ .pid = 11, .comm = "goes", .start = 1 });
	harness_printf(h, "proc/12/comm", "listed, but without stat\n");
	harness_printf(h, "proc/13/stat", "13 (broken");
	harness_printf(h, "proc/13x/stat", "no pid\n");
	collect(h);
	harness_remove(h, "proc/11");
	collect(h);
	all = harness_emit(h);
	assert_int_equal(json_object_array_length(json_at(all, "processes")), 1);
	assert_int_equal(json_object_get_int(json_at(all, "processes_total")), 1);
	json_object_put(all);
	harness_remove(h, "proc/10");
	assert_int_equal(collector_processes.collect(h->state, &h->ctx), -ENODATA);
}

static void shows_the_busiest_and_of_equals_the_largest(void **state)
{
	static const int want[] = { 14, 12, 13 };
	struct json_object *list, *all;
	struct harness *h = *state;

	h->ctx.limits.processes_top = 3;
	for (int pid = 10; pid < 15; pid++)
		put(h, (struct fake){ .pid = pid,
				      .comm = "p",
				      .start = 1,
				      .rss = pid == 12	 ? 500
					     : pid == 13 ? 400
							 : 1 });
	collect(h);
	harness_pass(h, 1000);
	put(h, (struct fake){ .pid = 14, .comm = "p", .ticks = 50, .start = 1, .rss = 1 });
	collect(h);
	all = harness_emit(h);
	list = json_at(all, "processes");
	assert_int_equal(json_object_array_length(list), 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(json_object_get_int(json_at(json_object_array_get_idx(list, i), "pid")), want[i]);
	assert_int_equal(json_object_get_int(json_at(all, "processes_total")), 5);
	json_object_put(all);
}

static void shows_a_hostile_name_as_json(void **state)
{
	struct json_object *all;
	struct harness *h = *state;

	put(h, (struct fake){ .pid = 10, .comm = "a) R\n\x1b\"\\\xff", .start = 1 });
	collect(h);
	all = harness_emit(h);
	assert_string_equal(json_object_get_string(json_at(row_of(all, 10), "name")), "a) R\n\x1b\"\\\xef\xbf\xbd");
	json_object_put(all);
}

static void refresh_leaves_the_baseline_of_the_metrics_alone(void **state)
{
	struct process_row row;
	struct harness *h = *state;

	put(h, (struct fake){ .pid = 10, .comm = "a", .ticks = 1000, .start = 100 });
	collect(h);
	harness_pass(h, 1000);
	put(h, (struct fake){ .pid = 10, .comm = "a", .ticks = 1050, .start = 100 });
	assert_int_equal(processes_refresh(h->state, &h->ctx), 0);
	assert_true(processes_find(h->state, &h->ctx, 10, &row));
	assert_true(fabs(row.cpu_percent - 50) < 0.01);
	harness_pass(h, 1000);
	collect(h);
	assert_true(fabs(cpu_of(h, 10) - 25) < 0.01);
	/* 100 ms later: over the 2.1 s since the collect before, not over the last instant */
	harness_pass(h, 100);
	put(h, (struct fake){ .pid = 10, .comm = "a", .ticks = 1060, .start = 100 });
	assert_int_equal(processes_refresh(h->state, &h->ctx), 0);
	assert_true(processes_find(h->state, &h->ctx, 10, &row));
	assert_true(fabs(row.cpu_percent - 100 * 0.6 / 2.1) < 0.01);
}

static void gives_rows_in_the_order_asked_for(void **state)
{
	struct process_row rows[8];
	struct harness *h = *state;

	put(h, (struct fake){ .pid = 10, .comm = "small", .ticks = 500, .start = 100, .rss = 1 });
	put(h, (struct fake){ .pid = 9, .comm = "large", .ticks = 5, .start = 100, .rss = 100 });
	put(h, (struct fake){ .pid = 8, .comm = "middle", .ticks = 50, .start = 100, .rss = 10 });
	assert_int_equal(processes_refresh(h->state, &h->ctx), 0);
	assert_int_equal(processes_sorted(h->state, &h->ctx, PROCESSES_BY_CPU, rows, 8), 3);
	assert_int_equal(rows[0].pid, 10);
	assert_int_equal(rows[2].pid, 9);
	assert_int_equal(processes_sorted(h->state, &h->ctx, PROCESSES_BY_MEMORY, rows, 2), 2);
	assert_int_equal(rows[0].pid, 9);
	assert_int_equal(rows[1].pid, 8);
	assert_memory_equal(rows[1].comm, "middle", 6);
	assert_int_equal(processes_sorted(h->state, &h->ctx, PROCESSES_BY_PID, rows, 8), 3);
	assert_int_equal(rows[0].pid, 8);
	assert_int_equal(processes_count(h->state), 3);
	assert_false(processes_find(h->state, &h->ctx, 11, &rows[0]));
}

/* Slices of three; returns how many there were. */
static unsigned collect_in_slices(struct harness *h)
{
	unsigned slices = 1;

	h->ctx.slice = 3;
	while (collector_processes.collect(h->state, &h->ctx) == COLLECT_MORE) {
		struct process_row rows[64];

		/* Whoever looks in between finds a whole table. */
		processes_sorted(h->state, &h->ctx, PROCESSES_BY_CPU, rows, 64);
		slices++;
	}
	h->ctx.slice = 0;
	return slices;
}

static void a_scan_in_slices_ends_as_one_in_one_go(void **state)
{
	static const char *const gone[] = { "proc/100", "proc/107", "proc/119" };
	struct process_row rows[64];
	struct harness *h = *state;

	for (int i = 0; i < 20; i++)
		put(h, (struct fake){ .pid = 100 + i, .comm = "old", .ticks = 100, .start = 100 });
	assert_true(collect_in_slices(h) >= 7);
	assert_int_equal(processes_count(h->state), 20);
	harness_pass(h, 1000);
	for (size_t i = 0; i < 3; i++)
		harness_remove(h, gone[i]);
	put(h, (struct fake){ .pid = 50, .comm = "new", .ticks = 1, .start = 100050 });
	put(h, (struct fake){ .pid = 107, .comm = "again", .ticks = 1, .start = 100060 });
	put(h, (struct fake){ .pid = 300, .comm = "new", .ticks = 1, .start = 100070 });
	put(h, (struct fake){ .pid = 110, .comm = "old", .ticks = 150, .start = 100 });
	assert_true(collect_in_slices(h) >= 7);
	assert_int_equal(processes_sorted(h->state, &h->ctx, PROCESSES_BY_PID, rows, 64), 20);
	assert_int_equal(rows[0].pid, 50);
	assert_int_equal(rows[1].pid, 101);
	assert_int_equal(rows[7].pid, 107);
	assert_memory_equal(rows[7].comm, "again", 5);
	assert_int_equal(rows[18].pid, 118);
	assert_int_equal(rows[19].pid, 300);
	assert_true(fabs(cpu_of(h, 110) - 50) < 0.01);
}

static void the_end_of_a_scan_of_many_has_turns_of_its_own(void **state)
{
	enum { MANY = 1200 };
	struct harness *h = *state;
	unsigned slices = 1;

	for (int i = 0; i < MANY; i++)
		put(h, (struct fake){ .pid = 100 + i, .comm = "many", .ticks = 100, .start = 100 });
	collect(h);
	harness_pass(h, 1000);
	put(h, (struct fake){ .pid = 110, .comm = "many", .ticks = 150, .start = 100 });
	put(h, (struct fake){ .pid = 99, .comm = "new", .ticks = 1, .start = 100050 });
	h->ctx.slice = 10 * MANY;
	while (collector_processes.collect(h->state, &h->ctx) == COLLECT_MORE)
		slices++;
	assert_true(slices >= 3);
	assert_int_equal(processes_count(h->state), MANY + 1);
	assert_true(fabs(cpu_of(h, 110) - 50) < 0.01);
}

static void a_refresh_that_a_collect_overtakes_is_the_collects(void **state)
{
	struct harness *h = *state;

	for (int i = 0; i < 20; i++)
		put(h, (struct fake){ .pid = 100 + i, .comm = "old", .ticks = 100, .start = 100 });
	collect(h);
	harness_pass(h, 1000);
	h->ctx.slice = 3;
	assert_int_equal(processes_refresh(h->state, &h->ctx), COLLECT_MORE);
	for (int i = 0; i < 20; i++)
		put(h, (struct fake){ .pid = 100 + i, .comm = "old", .ticks = 110, .start = 100 });
	assert_true(collect_in_slices(h) > 1);
	harness_pass(h, 1000);
	put(h, (struct fake){ .pid = 119, .comm = "old", .ticks = 120, .start = 100 });
	collect(h);
	assert_true(fabs(cpu_of(h, 119) - 10) < 0.01);
}

static struct probe_request last_request;

static int never_answers(struct prober *prober, const struct probe_request *request)
{
	(void)prober;
	last_request = *request;
	return 0;
}

/* Of a process that started at 100: the command line "a b", the program /exe. */
static struct {
	struct probe_process head;
	char text[7];
} late_answer = { { .start_ticks = 100, .cmdline_len = 3, .exe_len = 4 }, "a b/exe" };
#define LATE_ANSWER_LEN (sizeof(late_answer.head) + sizeof(late_answer.text))

static void waits_for_command_lines_until_they_come(void **state)
{
	struct prober silent = { .request = never_answers };
	struct probe_result result = { .kind = PROBE_PROCESS, .data = &late_answer, .data_len = LATE_ANSWER_LEN };
	struct process_row row;
	struct harness *h = *state;

	h->ctx.prober = &silent;
	put(h, (struct fake){ .pid = 10, .comm = "a", .start = 100 });
	assert_int_equal(processes_refresh(h->state, &h->ctx), 0);
	assert_true(processes_find(h->state, &h->ctx, 10, &row));
	assert_int_equal(processes_ask(h->state, &h->ctx, &row, 1), 1);
	assert_int_equal(processes_ask(h->state, &h->ctx, &row, 1), 1);
	result.key = last_request.key;
	collector_processes.probed(h->state, &result);
	assert_int_equal(processes_ask(h->state, &h->ctx, &row, 1), 0);
	assert_true(processes_find(h->state, &h->ctx, 10, &row));
	assert_int_equal(row.cmdline_len, 3);
	assert_memory_equal(row.cmdline, "a b", 3);
	assert_int_equal(row.exe_len, 4);
	assert_memory_equal(row.exe, "/exe", 4);
	h->ctx.prober = NULL;
	put(h, (struct fake){ .pid = 11, .comm = "b", .start = 100 });
	processes_refresh(h->state, &h->ctx);
	assert_true(processes_find(h->state, &h->ctx, 11, &row));
	assert_int_equal(processes_ask(h->state, &h->ctx, &row, 1), -ENOSYS);
}

static void an_answer_that_comes_during_a_scan_is_taken(void **state)
{
	struct prober silent = { .request = never_answers };
	struct probe_result result = { .kind = PROBE_PROCESS, .data = &late_answer, .data_len = LATE_ANSWER_LEN };
	struct process_row row;
	struct harness *h = *state;

	h->ctx.prober = &silent;
	for (int i = 0; i < 8; i++)
		put(h, (struct fake){ .pid = 10 + i, .comm = "a", .start = 100 });
	assert_int_equal(processes_refresh(h->state, &h->ctx), 0);
	for (int pid = 10; pid <= 17; pid += 7) {
		assert_true(processes_find(h->state, &h->ctx, pid, &row));
		assert_int_equal(processes_ask(h->state, &h->ctx, &row, 1), 1);
		h->ctx.slice = 3;
		assert_int_equal(processes_refresh(h->state, &h->ctx), COLLECT_MORE);
		result.key = last_request.key;
		collector_processes.probed(h->state, &result);
		h->ctx.slice = 0;
		assert_int_equal(processes_refresh(h->state, &h->ctx), 0);
		assert_true(processes_find(h->state, &h->ctx, pid, &row));
		assert_int_equal(row.cmdline_len, 3);
	}
}

static void ignores_answers_that_make_no_sense_or_are_about_another(void **state)
{
	struct prober silent = { .request = never_answers };
	struct {
		struct probe_process head;
		char text[4];
	} answers[] = { { { 101, 4, 0 }, "last" }, { { 100, 5, 0 }, "long" }, { { 100, UINT32_MAX, 1 }, "wrap" } };
	struct process_row row;
	struct harness *h = *state;

	h->ctx.prober = &silent;
	put(h, (struct fake){ .pid = 10, .comm = "a", .start = 100 });
	collect(h);
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		collector_processes.probed(h->state, &(struct probe_result){ .kind = PROBE_PROCESS,
									     .key = last_request.key,
									     .data = &answers[i],
									     .data_len = 20 });
	collector_processes.probed(
		h->state, &(struct probe_result){
				  .kind = PROBE_PROCESS, .key = last_request.key, .data = &answers[0], .data_len = 3 });
	collector_processes.probed(h->state, &(struct probe_result){ .kind = PROBE_PROCESS,
								     .key = last_request.key + 1,
								     .data = &answers[0],
								     .data_len = 20 });
	assert_true(processes_find(h->state, &h->ctx, 10, &row));
	assert_null(row.cmdline);
}

/* The test's own child, told by the kernel in another way. */
static void sees_a_child_come_and_go(void **state)
{
	struct process_row row;
	struct harness *h = *state;
	pid_t child = fork();

	if (child == 0) {
		pause();
		_exit(0);
	}
	assert_true(child > 0);
	for (int i = 0; i < 3; i++) /* through a kept fd from the second time on */
		collect(h);
	assert_true(processes_find(h->state, &h->ctx, child, &row));
	assert_int_equal(row.ppid, getpid());
	assert_int_equal(row.uid, geteuid());
	assert_true(llabs(row.start_wall_ms - h->ctx.now.wall_ms) < 5000);
	assert_true(isfinite(row.cpu_percent));
	processes_ask(h->state, &h->ctx, &row, 1);
	assert_true(processes_find(h->state, &h->ctx, child, &row));
	assert_non_null(strstr(row.cmdline, "test_processes"));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	collect(h);
	assert_false(processes_find(h->state, &h->ctx, child, &row));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(shows_a_process_with_all_its_fields),
		TEST(shows_what_it_may_not_read_as_null),
		TEST(gives_a_process_first_seen_its_cpu_time_over_its_age),
		TEST(measures_cpu_over_the_time_since_the_last_collect),
		TEST(does_not_take_a_reused_pid_for_the_process_before),
		TEST(asks_for_a_command_line_once_and_again_after_execve),
		TEST(never_asks_about_kernel_threads_and_zombies),
		TEST(skips_what_vanishes_or_makes_no_sense),
		TEST(shows_the_busiest_and_of_equals_the_largest),
		TEST(shows_a_hostile_name_as_json),
		TEST(refresh_leaves_the_baseline_of_the_metrics_alone),
		TEST(gives_rows_in_the_order_asked_for),
		TEST(a_scan_in_slices_ends_as_one_in_one_go),
		TEST(the_end_of_a_scan_of_many_has_turns_of_its_own),
		TEST(a_refresh_that_a_collect_overtakes_is_the_collects),
		TEST(an_answer_that_comes_during_a_scan_is_taken),
		TEST(waits_for_command_lines_until_they_come),
		TEST(ignores_answers_that_make_no_sense_or_are_about_another),
		cmocka_unit_test_setup_teardown(sees_a_child_come_and_go, setup_live, teardown),
	};

	return cmocka_run_group_tests_name("processes", tests, NULL, NULL);
}
