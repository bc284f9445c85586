/* SPDX-License-Identifier: MIT */
/*
 * Every counter of every collector is walked through all that counters do: come, go on, step back, wrap, go away and
 * come back. What a step shows is written once, in `walks`, for all of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <math.h>

#include "collector_harness.h"
#include "collectors/self.h"
#include "collectors/table.h"

#define STEP_S	   10
#define SLEEP_S	   100 /* of a guest, in a step with a gap */
#define BASE	   3000000000
#define HELPER_PID 4711

struct counter {
	const char *name; /* key of the rate in the row */
	const struct collector *collector;
	/* Writes the kernel's text with the counter at `value`, or without its row. */
	void (*write)(struct harness *h, const struct counter *counter, bool there, uint64_t value);
	/* The row, NULL when there is none. */
	struct json_object *(*row)(struct json_object *sample);
	unsigned column;
	double scale;		/* of the rate, for one step of the counter in a second */
	double most;		/* of the rate; 0: no bound */
	bool bits32;		/* the kernel keeps it in 32 bits */
	const char *state_key;	/* in the row, or NULL */
	const char *total_path; /* a key in io_stats that is never null, or NULL */
};

/* ------------------------------------------------------------------------------------------------------ the texts */

static void write_columns(char *out, size_t size, unsigned columns, unsigned column, uint64_t value)
{
	size_t len = 0;

	for (unsigned i = 0; i < columns; i++)
		len += (size_t)snprintf(out + len, size - len, " %" PRIu64, i == column ? value : 7);
}

static void write_netdev(struct harness *h, const struct counter *counter, bool there, uint64_t value)
{
	char columns[512];

	write_columns(columns, sizeof(columns), 16, counter->column, value);
	harness_printf(h, "proc/net/dev", "Inter-| Receive\n face |bytes\n    lo:%s\n%s%s%s",
		       " 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0", there ? "  eth0:" : "", there ? columns : "",
		       there ? "\n" : "");
}

static void write_diskstats(struct harness *h, const struct counter *counter, bool there, uint64_t value)
{
	char columns[512];

	write_columns(columns, sizeof(columns), 17, counter->column, value);
	harness_printf(h, "proc/diskstats", " 254 16 vdb 1 1 1 1 1 1 1 1 1 1 1\n%s%s\n", there ? " 254 0 vda" : "",
		       there ? columns : "");
}

static void write_stat(struct harness *h, const struct counter *counter, bool there, uint64_t value)
{
	static const char *const names[] = { "ctxt", "processes", "intr" };
	/* The columns of time go on, as a collect within one tick is none. */
	uint64_t ticks = h->ctx.now.mono_ns / (10 * NS_PER_MS);

	harness_printf(h, "proc/stat", "cpu  5 0 0 %" PRIu64 "\ncpu0 5 0 0 %" PRIu64 "\n", ticks, ticks);
	if (!there)
		return;
	harness_printf(h, "proc/stat", "cpu  5 0 0 %" PRIu64 "\ncpu0 5 0 0 %" PRIu64 "\n%s %" PRIu64 "\n", ticks, ticks,
		       names[counter->column], value);
}

static void write_vmstat(struct harness *h, const struct counter *counter, bool there, uint64_t value)
{
	static const char *const names[] = { "pgpgin",	   "pgpgout",  "pswpin",       "pswpout", "allocstall_normal",
					     "pgmajfault", "oom_kill", "compact_stall" };
	char text[512];
	size_t len = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (i != counter->column || there)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s %" PRIu64 "\n", names[i],
						i == counter->column ? value : 7);
	}
	harness_write(h, "proc/vmstat", text, len);
}

/* All of them in one text: the groups may stand in either file. */
static void write_snmp(struct harness *h, const struct counter *counter, bool there, uint64_t value)
{
	static const char *const names[] = { "InSegs", "OutSegs", "RetransSegs", "OutRsts" };
	char heads[128] = "Tcp:", numbers[192] = "Tcp:";

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (i == counter->column && !there)
			continue;
		snprintf(heads + strlen(heads), sizeof(heads) - strlen(heads), " %s", names[i]);
		snprintf(numbers + strlen(numbers), sizeof(numbers) - strlen(numbers), " %" PRIu64,
			 i == counter->column ? value : 7);
	}
	harness_printf(h, "proc/net/snmp", "%s\n%s\n", heads, numbers);
	if (counter->column == ARRAY_SIZE(names) && there)
		harness_printf(h, "proc/net/netstat", "TcpExt: ListenDrops\nTcpExt: %" PRIu64 "\n", value);
	else
		harness_printf(h, "proc/net/netstat", "IpExt: InNoRoutes\nIpExt: 0\n");
}

static void write_schedstat(struct harness *h, const struct counter *counter, bool there, uint64_t value)
{
	const char *path = counter->column ? "proc/4711/schedstat" : "proc/self/schedstat";

	/* A file kept open is emptied, not removed. */
	if (there)
		harness_printf(h, path, "%" PRIu64 " 5 7\n", value);
	else
		harness_write(h, path, "", 0);
}

/* ------------------------------------------------------------------------------------------------------- the rows */

static struct json_object *row_eth0(struct json_object *sample)
{
	return harness_item(json_at(sample, "interfaces"), "name", "eth0");
}

static struct json_object *row_vda(struct json_object *sample)
{
	return harness_item(json_at(sample, "devices"), "name", "vda");
}

static struct json_object *row_itself(struct json_object *sample)
{
	return sample;
}

static struct json_object *row_self(struct json_object *sample)
{
	return json_at(sample, "self");
}

static struct json_object *row_helpers(struct json_object *sample)
{
	return json_at(row_self(sample), "helpers");
}

#define NET(key, at)                                                                                                   \
	{                                                                                                              \
		.name = key, .collector = &collector_network, .write = write_netdev, .row = row_eth0, .column = at,    \
		.scale = 1, .state_key = "rate_state"                                                                  \
	}
#define DISK(key, at, unit)                                                                                            \
	{                                                                                                              \
		.name = key, .collector = &collector_disk, .write = write_diskstats, .row = row_vda, .column = at,     \
		.scale = unit, .state_key = "state", .total_path = key                                                 \
	}
#define VMSTAT(key, at)                                                                                                \
	{                                                                                                              \
		.name = key, .collector = &collector_vmstat, .write = write_vmstat, .row = row_itself, .column = at,   \
		.scale = 1, .state_key = "state"                                                                       \
	}

#define TCP(key, at)                                                                                                   \
	{                                                                                                              \
		.name = key, .collector = &collector_tcp, .write = write_snmp, .row = row_itself, .column = at,        \
		.scale = 1, .state_key = "state"                                                                       \
	}

static const struct counter counters[] = {
	NET("rx_bytes_per_sec", 0),
	NET("rx_packets_per_sec", 1),
	NET("tx_bytes_per_sec", 8),
	NET("tx_packets_per_sec", 9),
	DISK("read_ops_per_sec", 0, 1),
	DISK("read_bytes_per_sec", 2, 512),
	DISK("write_ops_per_sec", 4, 1),
	DISK("write_bytes_per_sec", 6, 512),
	{ .name = "io_utilization_percent",
	  .collector = &collector_disk,
	  .write = write_diskstats,
	  .row = row_vda,
	  .column = 9,
	  .scale = 0.1,
	  .most = 100,
	  .bits32 = true,
	  .state_key = "state" },
	{ .name = "context_switches_per_sec",
	  .collector = &collector_cpu,
	  .write = write_stat,
	  .row = row_itself,
	  .scale = 1 },
	{ .name = "forks_per_sec",
	  .collector = &collector_cpu,
	  .write = write_stat,
	  .row = row_itself,
	  .column = 1,
	  .scale = 1 },
	VMSTAT("paged_in_kb_per_sec", 0),
	VMSTAT("paged_out_kb_per_sec", 1),
	VMSTAT("swapped_in_pages_per_sec", 2),
	VMSTAT("swapped_out_pages_per_sec", 3),
	VMSTAT("allocation_stalls_per_sec", 4),
	VMSTAT("major_faults_per_sec", 5),
	VMSTAT("oom_kills_per_sec", 6),
	VMSTAT("compaction_stalls_per_sec", 7),
	TCP("segments_in_per_sec", 0),
	TCP("segments_out_per_sec", 1),
	TCP("retransmitted_per_sec", 2),
	TCP("resets_sent_per_sec", 3),
	TCP("listen_drops_per_sec", 4),
	{ .name = "interrupts_per_sec",
	  .collector = &collector_cpu,
	  .write = write_stat,
	  .row = row_itself,
	  .column = 2,
	  .scale = 1 },
	{ .name = "queue_length",
	  .collector = &collector_disk,
	  .write = write_diskstats,
	  .row = row_vda,
	  .column = 10,
	  .scale = 0.001,
	  .bits32 = true,
	  .state_key = "state" },
	{ .name = "cpu_percent",
	  .collector = &collector_self,
	  .write = write_schedstat,
	  .row = row_self,
	  .scale = 1e-7 },
	{ .name = "cpu_percent",
	  .collector = &collector_self,
	  .write = write_schedstat,
	  .row = row_helpers,
	  .column = 1,
	  .scale = 1e-7 },
};

/* ------------------------------------------------------------------------------------------------------- the walks */

#define GONE UINT64_MAX /* the row is not there in this step */

enum want { FIRST, OK, RESET, GAP, RESET_OR_FIRST };

static const struct walk {
	const char *name;
	uint64_t values[4];
	unsigned steps;
	bool gap; /* the guest slept before the last step */
	enum want want, want_32;
	uint64_t moved;
} walks[] = {
	{ "first", { BASE }, 1, false, FIRST, FIRST, 0 },
	{ "steady", { BASE, BASE + 1000 }, 2, false, OK, OK, 1000 },
	{ "still", { BASE, BASE }, 2, false, OK, OK, 0 },
	{ "back by little", { BASE, BASE - 1 }, 2, false, RESET, RESET, 0 },
	{ "after back by little", { BASE, BASE - 1, BASE + 499 }, 3, false, OK, OK, 500 },
	{ "back by much", { BASE, BASE / 2 }, 2, false, RESET, RESET, 0 },
	{ "to zero", { BASE, 0 }, 2, false, RESET, RESET, 0 },
	{ "after zero", { BASE, 0, 700 }, 3, false, OK, OK, 700 },
	{ "back twice", { BASE, BASE - 1, BASE - 2 }, 3, false, RESET, RESET, 0 },
	{ "wrap of 32 bits", { UINT32_MAX - 299, 200 }, 2, false, RESET, OK, 500 },
	{ "back across half of 32 bits", { 1U << 31, 5 }, 2, false, RESET, RESET, 0 },
	/* 512 times as much is no number of bytes any more: such a line is none. */
	{ "wrap of 64 bits", { UINT64_MAX - 299, 200 }, 2, false, RESET_OR_FIRST, RESET_OR_FIRST, 0 },
	{ "gap", { BASE, BASE + 1000 }, 2, true, GAP, GAP, 1000 },
	{ "back in a gap", { BASE, 5 }, 2, true, RESET, RESET, 0 },
	{ "gone", { BASE, GONE }, 2, false, FIRST, FIRST, 0 },
	{ "gone and back", { BASE, GONE, BASE + 1000 }, 3, false, FIRST, FIRST, 0 },
	{ "after gone and back", { BASE, GONE, BASE, BASE + 300 }, 4, false, OK, OK, 300 },
	{ "attached late", { GONE, BASE }, 2, false, FIRST, FIRST, 0 },
	{ "after attached late", { GONE, BASE, BASE + 500 }, 3, false, OK, OK, 500 },
};

static int complain(const struct counter *counter, const struct walk *walk, const char *what,
		    struct json_object *sample)
{
	print_error("%s %s, %s: %s in %s\n", counter->collector->name, counter->name, walk->name, what,
		    json_object_to_json_string(sample));
	return 1;
}

static bool state_is(const char *state, enum want want)
{
	static const char *const names[] = { [FIRST] = "first", [OK] = "ok", [RESET] = "reset", [GAP] = "gap" };

	if (want == RESET_OR_FIRST)
		return strcmp(state, "reset") == 0 || strcmp(state, "first") == 0;
	return strcmp(state, names[want]) == 0;
}

static bool near(double got, double want)
{
	return fabs(got - want) <= 0.51 || fabs(got - want) <= want * 0.001;
}

/* What the last step shows of this counter: a number where one is wanted, null everywhere else. */
static int check(const struct counter *counter, const struct walk *walk, struct json_object *sample)
{
	enum want want = counter->bits32 ? walk->want_32 : walk->want;
	double seconds = STEP_S + (walk->gap ? SLEEP_S : 0);
	double rate = counter->scale * (double)walk->moved / seconds, total;
	struct json_object *row = counter->row(sample), *value = json_at(row, counter->name), *state;
	bool known = want == OK || want == GAP;

	if (walk->values[walk->steps - 1] == GONE) {
		if (value)
			return complain(counter, walk, "a rate of what is not there", sample);
	} else if (!row) {
		/* The line of a counter too large to be one. */
		if (want != RESET_OR_FIRST)
			return complain(counter, walk, "no row", sample);
	} else {
		if (known != (value != NULL))
			return complain(counter, walk, known ? "no rate" : "an invented rate", sample);
		if (known && !near(json_object_get_double(value), rate))
			return complain(counter, walk, "a wrong rate", sample);
		state = counter->state_key ? json_at(row, counter->state_key) : NULL;
		if (counter->state_key && !state_is(json_object_get_string(state), want))
			return complain(counter, walk, "a wrong state", sample);
	}
	if (!counter->total_path || walk->steps == 1)
		return 0;
	total = json_object_get_double(json_at(json_at(sample, "io_stats"), counter->total_path));
	if (!near(total, known ? rate : 0))
		return complain(counter, walk, "a wrong total", sample);
	return 0;
}

static int walk_through(const struct counter *counter, const struct walk *walk)
{
	static const pid_t helper = HELPER_PID;
	struct harness *h = harness_new(counter->collector, false);
	struct json_object *sample;
	int failed;

	assert_non_null(h);
	assert_int_equal(counter->collector->open(&h->ctx, &h->state), 0);
	if (counter->row == row_helpers)
		self_helpers_set(h->state, &helper, 1);
	for (unsigned i = 0; i < walk->steps; i++) {
		harness_pass(h, STEP_S * 1000);
		h->ctx.gap = walk->gap && i + 1 == walk->steps;
		if (h->ctx.gap)
			h->ctx.now.boot_ns += SLEEP_S * NS_PER_S;
		counter->write(h, counter, walk->values[i] != GONE, walk->values[i]);
		assert_int_equal(counter->collector->collect(h->state, &h->ctx), 0);
	}
	sample = harness_emit(h);
	assert_non_null(sample);
	failed = check(counter, walk, sample);
	json_object_put(sample);
	harness_free(h);
	return failed;
}

static void every_counter_is_walked_through_all_that_counters_do(void **state)
{
	int failed = 0;

	(void)state;
	for (size_t c = 0; c < ARRAY_SIZE(counters); c++)
		for (size_t w = 0; w < ARRAY_SIZE(walks); w++)
			failed += walk_through(&counters[c], &walks[w]);
	assert_int_equal(failed, 0);
}

/*
 * ------------------------------------------------------------------------------------------------- the CPUs' columns
 */

#define COLUMNS 8

static void write_cpus(struct harness *h, const uint64_t one[COLUMNS], const uint64_t two[COLUMNS])
{
	char text[2048];
	size_t len = 0;

	for (int line = 0; line < 3; line++) {
		len += (size_t)snprintf(text + len, sizeof(text) - len, line ? "cpu%d" : "cpu ", line - 1);
		for (int i = 0; i < COLUMNS; i++)
			len += (size_t)snprintf(text + len, sizeof(text) - len, " %" PRIu64,
						line == 0   ? one[i] + two[i]
						: line == 1 ? one[i]
							    : two[i]);
		len += (size_t)snprintf(text + len, sizeof(text) - len, "\n");
	}
	harness_write(h, "proc/stat", text, len);
}

static double usage_of(struct json_object *sample)
{
	return json_object_get_double(json_at(sample, "usage_percent"));
}

static double core_of(struct json_object *sample, size_t core)
{
	return json_object_get_double(json_object_array_get_idx(json_at(sample, "cores_usage"), core));
}

/* Both CPUs are 5 % busy, and on the second one column of `column` does what `now` says instead. */
static struct json_object *sample_cpus(unsigned column, uint64_t before, uint64_t now)
{
	struct harness *h = harness_new(&collector_cpu, false);
	uint64_t one[COLUMNS] = { 1000, 0, 0, 100000 }, two[COLUMNS] = { 1000, 0, 0, 100000 };
	struct json_object *sample;

	assert_non_null(h);
	assert_int_equal(collector_cpu.open(&h->ctx, &h->state), 0);
	two[column] = before;
	write_cpus(h, one, two);
	assert_int_equal(collector_cpu.collect(h->state, &h->ctx), 0);
	harness_pass(h, STEP_S * 1000);
	one[0] += 50;
	one[3] += 950;
	two[0] += 50;
	two[3] += 950;
	two[column] = now;
	write_cpus(h, one, two);
	assert_int_equal(collector_cpu.collect(h->state, &h->ctx), 0);
	sample = harness_emit(h);
	harness_free(h);
	return sample;
}

static void no_column_of_a_cpu_makes_a_full_load_by_stepping_back(void **state)
{
	static const struct {
		const char *name;
		uint64_t before, now;
	} steps[] = {
		{ "little", 5000, 4999 },
		{ "much", 500000, 400000 },
		{ "zero", 5000, 0 },
		{ "1190", 20000, 18810 },
		{ "below zero", 100, UINT64_MAX },
		{ "back from below zero", UINT64_MAX, 100 },
		{ "32 bits", 1ULL << 32, 7 },
	};

	(void)state;
	for (unsigned column = 0; column < COLUMNS; column++) {
		for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
			struct json_object *sample = sample_cpus(column, steps[i].before, steps[i].now);
			double core = core_of(sample, 1), usage = usage_of(sample);
			bool good = core >= 0 && core <= 6 && usage >= 2.4 && usage <= 6 && near(core_of(sample, 0), 5);

			if (!good)
				print_error("column %u, %s: %s\n", column, steps[i].name,
					    json_object_to_json_string(sample));
			json_object_put(sample);
			assert_true(good);
		}
	}
}

static void an_idle_time_that_was_lost_is_a_reset_and_the_time_passed_stands_in(void **state)
{
	struct json_object *sample = sample_cpus(3, 100000, 98810);

	(void)state;
	assert_string_equal(json_object_get_string(json_at(sample, "state")), "reset");
	assert_true(near(usage_of(sample), 5) && near(core_of(sample, 1), 5));
	assert_int_equal(json_object_array_length(json_at(sample, "cores_reset")), 1);
	json_object_put(sample);
}

/* -------------------------------------------------------------------------------------------------- the processes */

static void write_process(struct harness *h, uint64_t cpu_ticks, uint64_t start_ticks, unsigned threads)
{
	harness_printf(h, "proc/77/stat",
		       "77 (busy) R 1 77 77 0 -1 4194304 1 0 0 0 %" PRIu64 " 0 0 0 20 0 %u 0 %" PRIu64
		       " 1000000 100 18446744073709551615\n",
		       cpu_ticks, threads, start_ticks);
}

static double process_percent(struct harness *h)
{
	struct json_object *sample = harness_emit(h);
	double percent = json_object_get_double(
		json_at(harness_item(json_at(sample, "processes"), "name", "busy"), "cpu_percent"));

	json_object_put(sample);
	return percent;
}

static struct harness *processes_harness(void)
{
	struct harness *h = harness_new(&collector_processes, false);

	assert_non_null(h);
	assert_int_equal(collector_processes.open(&h->ctx, &h->state), 0);
	h->ctx.now.boot_ns = 1000 * NS_PER_S;
	harness_printf(h, "sys/devices/system/cpu/online", "0-3\n");
	return h;
}

static void a_process_whose_time_steps_back_has_none(void **state)
{
	static const uint64_t now[] = { 49999, 20000, 0 };
	struct harness *h;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(now); i++) {
		h = processes_harness();
		write_process(h, 50000, 100, 1);
		assert_int_equal(collector_processes.collect(h->state, &h->ctx), 0);
		harness_pass(h, STEP_S * 1000);
		write_process(h, now[i], 100, 1);
		assert_int_equal(collector_processes.collect(h->state, &h->ctx), 0);
		assert_true(near(process_percent(h), 0));
		harness_pass(h, STEP_S * 1000);
		write_process(h, now[i] + 500, 100, 1);
		assert_int_equal(collector_processes.collect(h->state, &h->ctx), 0);
		assert_true(near(process_percent(h), 50));
		harness_free(h);
	}
}

/* The start is in ticks before now: a process that has just begun, with what the kernel has charged it so far. */
static void a_young_process_has_no_more_than_its_threads_and_the_cpus_can_make(void **state)
{
	static const struct {
		uint64_t cpu_ticks, age_ticks;
		unsigned threads;
		double most;
	} cases[] = {
		{ 8, 0, 1, 100 },    { 8, 1, 1, 100 },	   { 80, 10, 1, 100 }, { 16, 2, 2, 200 },
		{ 400, 40, 8, 400 }, { 1000, 2, 64, 400 }, { 1, 0, 1, 5 },     { 20, 40, 1, 50 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct harness *h = processes_harness();
		double percent;

		write_process(h, cases[i].cpu_ticks, 100000 - cases[i].age_ticks, cases[i].threads);
		assert_int_equal(collector_processes.collect(h->state, &h->ctx), 0);
		percent = process_percent(h);
		harness_free(h);
		if (percent > cases[i].most + 0.01 || percent < 0)
			print_error("case %zu: %f\n", i, percent);
		assert_true(percent >= 0 && percent <= cases[i].most + 0.01);
	}
}

static void a_pid_used_again_is_measured_from_its_own_start(void **state)
{
	struct harness *h = processes_harness();

	(void)state;
	write_process(h, 50000, 100, 1);
	assert_int_equal(collector_processes.collect(h->state, &h->ctx), 0);
	harness_pass(h, STEP_S * 1000);
	write_process(h, 50100, 100500, 1);
	assert_int_equal(collector_processes.collect(h->state, &h->ctx), 0);
	assert_true(process_percent(h) <= 100);
	harness_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_counter_is_walked_through_all_that_counters_do),
		cmocka_unit_test(no_column_of_a_cpu_makes_a_full_load_by_stepping_back),
		cmocka_unit_test(an_idle_time_that_was_lost_is_a_reset_and_the_time_passed_stands_in),
		cmocka_unit_test(a_process_whose_time_steps_back_has_none),
		cmocka_unit_test(a_young_process_has_no_more_than_its_threads_and_the_cpus_can_make),
		cmocka_unit_test(a_pid_used_again_is_measured_from_its_own_start),
	};

	return cmocka_run_group_tests_name("counters", tests, NULL, NULL);
}
