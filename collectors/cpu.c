/* SPDX-License-Identifier: MIT */
/*
 * system.cpu: the use of the processors since the last collect, from the tick counters of /proc/stat. The first
 * collect, and a CPU that has just come online, give the average since boot: the host wants a figure from the first
 * sample on.
 */
#include "cpu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/collector.h>

#include "procfs.h"
#include "rate.h"
#include "table.h"

#define CPU_LISTED_MAX 64 /* processors whose seconds are listed one by one */

/* ------------------------------------------------------------------------------------------------------ parsing */

static bool times_parse(struct scan *line, struct cpu_times *out)
{
	struct cpu_times times = { .id = out->id };
	unsigned n = 0;

	while (n < CPU_STATES && scan_u64(line, &times.ticks[n]))
		n++;
	/* Four columns are what every kernel has; a column that is there but is no number spoils the line. */
	scan_blanks(line);
	if (n <= CPU_IDLE || (n < CPU_STATES && line->at < line->end))
		return false;
	if (scan_u64(line, &times.guest))
		scan_u64(line, &times.guest_nice);
	*out = times;
	return true;
}

/*
 * The lines usually rise by id; a line out of order is inserted at its place, and of two lines with one id the first
 * counts.
 */
static bool core_add(struct cpu_stat *stat, const struct cpu_times *times)
{
	size_t at = stat->cores_count;

	while (at > 0 && stat->cores[at - 1].id > times->id)
		at--;
	if (at > 0 && stat->cores[at - 1].id == times->id)
		return false;
	stat->cores_seen++;
	if (stat->cores_count == stat->cores_max)
		return true;
	if (at < stat->cores_count)
		memmove(&stat->cores[at + 1], &stat->cores[at], (stat->cores_count - at) * sizeof(*times));
	stat->cores[at] = *times;
	stat->cores_count++;
	return true;
}

static bool core_parse(struct scan *line, struct cpu_stat *stat)
{
	struct cpu_times times = { .id = 0 };
	uint64_t id;

	if (!scan_digits(line, &id) || id > CPU_ID_MAX)
		return false;
	times.id = (unsigned)id;
	return times_parse(line, &times) && core_add(stat, &times);
}

static void sum_add(struct cpu_times *sum, const struct cpu_times *times)
{
	for (int i = 0; i < CPU_STATES; i++)
		sum->ticks[i] += times->ticks[i];
	sum->guest += times->guest;
	sum->guest_nice += times->guest_nice;
}

/* False if a known counter is invalid. */
static bool counter_parse(struct scan *line, struct cpu_stat *stat)
{
	if (scan_key(line, "ctxt "))
		return stat->has_context_switches = scan_u64(line, &stat->context_switches);
	if (scan_key(line, "intr "))
		return stat->has_interrupts = scan_u64(line, &stat->interrupts);
	if (scan_key(line, "processes "))
		return stat->has_forks = scan_u64(line, &stat->forks);
	if (scan_key(line, "procs_running "))
		return stat->has_running = scan_u64(line, &stat->running);
	if (scan_key(line, "procs_blocked "))
		return stat->has_blocked = scan_u64(line, &stat->blocked);
	return true;
}

/*
 *	cpu  user nice system idle iowait irq softirq steal guest guest_nice
 *	cpu0 …
 *	intr …
 *	ctxt 1990473
 *	btime 1062191376
 *	processes 2915
 *	procs_running 1
 *	procs_blocked 0
 *	softirq …
 */
int cpu_stat_parse(const char *text, size_t len, struct cpu_stat *out)
{
	struct cpu_stat stat = { .cores = out->cores, .cores_max = out->cores_max };
	struct scan rest = scan_text(text, len), line;
	bool found = false;

	while (scan_line(&rest, &line)) {
		if (!scan_key(&line, "cpu"))
			stat.skipped += !counter_parse(&line, &stat);
		else if (line.at == line.end || *line.at != ' ')
			stat.skipped += !core_parse(&line, &stat);
		else if (!found && times_parse(&line, &stat.all))
			found = true;
		else
			stat.skipped++;
	}
	if (!found && stat.cores_seen == 0)
		return -EBADMSG;
	for (size_t i = 0; !found && i < stat.cores_count; i++)
		sum_add(&stat.all, &stat.cores[i]);
	*out = stat;
	return 0;
}

static bool is_busy(int state)
{
	return state != CPU_IDLE && state != CPU_IOWAIT && state != CPU_STEAL;
}

/* No clock of a kernel runs ahead of ours by as much: a column below zero, which reads as nearly 2^64. */
static double jump_limit(double passed)
{
	return passed > 0 ? 1000 * passed + 100000 : 1e300;
}

struct cpu_share cpu_share_between(const struct cpu_times *before, const struct cpu_times *now, double passed)
{
	struct cpu_share share = { 0 };
	double moved[CPU_STATES], total = 0;
	bool whole = true, busy_whole = true;

	for (int i = 0; i < CPU_STATES; i++) {
		uint64_t delta = 0;
		bool good = rate_moved(before ? before->ticks[i] : 0, now->ticks[i], &delta) &&
			    (double)delta <= jump_limit(passed);

		whole = whole && good;
		busy_whole = busy_whole && (good || !is_busy(i));
		moved[i] = good ? (double)delta : 0;
		total += moved[i];
	}
	/* An iowait that trembles leaves the others whole; time that was lost does not. */
	share.reset = !busy_whole || (!whole && total < passed * 0.9);
	if (!whole && total < passed)
		total = passed;
	if (!(total > 0))
		return share;
	for (int i = 0; i < CPU_STATES; i++) {
		share.state[i] = 100 * moved[i] / total;
		if (is_busy(i))
			share.usage += share.state[i];
	}
	if (share.usage > 100)
		share.usage = 100;
	share.known = true;
	return share;
}

/* ---------------------------------------------------------------------------------------------------- collecting */

struct figure {
	double usage;
	bool reset;
};

struct cpu {
	struct procfs_file stat_file, temperature_file;
	struct procfs_buffer text, small;
	struct cpu_stat stat[2]; /* stat[at] is the last reading; the other takes the next */
	unsigned at;
	size_t room;		/* of both arrays of cores, and of figures */
	struct figure *figures; /* of stat[at].cores */
	double tick_hz;
	struct cpu_share all;
	enum rate_state state;
	struct rate_clock clock;
	struct rate context_switches, forks, interrupts;
	char temperature_path[64]; /* relative to /sys; "" when there is none */
	bool has_temperature;
	double temperature;
};

static void cpu_close(void *state)
{
	struct cpu *cpu = state;

	if (!cpu)
		return;
	procfs_close(&cpu->stat_file);
	procfs_close(&cpu->temperature_file);
	procfs_buffer_free(&cpu->text);
	procfs_buffer_free(&cpu->small);
	free(cpu->stat[0].cores);
	free(cpu->stat[1].cores);
	free(cpu->figures);
	free(cpu);
}

/* True when the small sysfs attribute holds one of the names. */
static bool attribute_among(const struct collect_ctx *ctx, const char *path, const char *const *names)
{
	char text[64];
	ssize_t n = procfs_read_once(ctx->sys_fd, path, text, sizeof(text));
	struct scan rest, line;

	if (n <= 0)
		return false;
	rest = scan_text(text, (size_t)n);
	if (!scan_line(&rest, &line))
		return false;
	for (; *names; names++)
		if (scan_equals(&line, *names))
			return true;
	return false;
}

/* Looks for one sensor of the package, by driver, as lm-sensors and the kernel's thermal zones name them. */
static void temperature_find(struct cpu *cpu, const struct collect_ctx *ctx)
{
	static const char *const drivers[] = { "coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal", NULL };
	static const char *const zones[] = {
		"x86_pkg_temp", "cpu-thermal", "cpu_thermal", "soc_thermal", "acpitz", NULL
	};
	static const struct {
		const char *name, *input;
		const char *const *accepted;
	} places[] = {
		{ "class/hwmon/hwmon%u/name", "class/hwmon/hwmon%u/temp1_input", drivers },
		{ "class/thermal/thermal_zone%u/type", "class/thermal/thermal_zone%u/temp", zones },
	};

	for (size_t p = 0; p < ARRAY_SIZE(places); p++) {
		for (unsigned i = 0; i < 16; i++) {
			char name[sizeof(cpu->temperature_path)];

			/* The formats are the constants above. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
			snprintf(name, sizeof(name), places[p].name, i);
			if (!attribute_among(ctx, name, places[p].accepted))
				continue;
			snprintf(cpu->temperature_path, sizeof(cpu->temperature_path), places[p].input, i);
#pragma GCC diagnostic pop
			return;
		}
	}
}

static int cpu_open(const struct collect_ctx *ctx, void **ret_state)
{
	struct cpu *cpu = calloc(1, sizeof(*cpu));

	if (!cpu)
		return -ENOMEM;
	cpu->stat_file = PROCFS_FILE_SINGLE;
	cpu->temperature_file = PROCFS_FILE_SINGLE;
	cpu->small.max = 64;
	cpu->tick_hz = (double)sysconf(_SC_CLK_TCK);
	temperature_find(cpu, ctx);
	*ret_state = cpu;
	return 0;
}

static bool array_grow(void *array, size_t count, size_t item)
{
	void **at = array, *grown = reallocarray(*at, count, item);

	if (!grown)
		return false;
	*at = grown;
	return true;
}

/* Room for `count` cores in all three arrays. */
static int cores_reserve(struct cpu *cpu, size_t count)
{
	if (!array_grow(&cpu->stat[0].cores, count, sizeof(struct cpu_times)) ||
	    !array_grow(&cpu->stat[1].cores, count, sizeof(struct cpu_times)) ||
	    !array_grow(&cpu->figures, count, sizeof(struct figure)))
		return -ENOMEM;
	cpu->room = count;
	return 0;
}

/* The counters of now into *next. A CPU more than there was room for costs a second parse, once. */
static int stat_read(struct cpu *cpu, const struct collect_ctx *ctx, struct cpu_stat *next)
{
	int r = procfs_read(&cpu->stat_file, ctx->proc_fd, "stat", &cpu->text);

	while (r == 0) {
		next->cores_max = cpu->room;
		r = cpu_stat_parse(cpu->text.text, cpu->text.len, next);
		if (r < 0 || next->cores_seen <= cpu->room)
			break;
		r = cores_reserve(cpu, next->cores_seen);
	}
	return r;
}

/* The former reading of a core; both lists rise by id, and *at goes along. NULL: it was offline. */
static const struct cpu_times *core_before(const struct cpu_stat *last, size_t *at, unsigned id)
{
	while (*at < last->cores_count && last->cores[*at].id < id)
		++*at;
	return *at < last->cores_count && last->cores[*at].id == id ? &last->cores[*at] : NULL;
}

/*
 * Each core's figure. True when all are the cores of the last time and none of them stepped back. A core that was not
 * there last time has kept what it had used before it was taken away, and lost its idle time: it has no figure yet.
 */
static bool cores_compare(struct cpu *cpu, const struct cpu_stat *last, const struct cpu_stat *now, double passed)
{
	bool first = !cpu->clock.started, same = first || last->cores_count == now->cores_count;
	size_t at = 0;

	for (size_t i = 0; i < now->cores_count; i++) {
		const struct cpu_times *before = first ? NULL : core_before(last, &at, now->cores[i].id);
		struct cpu_share share = { .reset = true };

		if (before || first)
			share = cpu_share_between(before, &now->cores[i], passed);
		cpu->figures[i] = (struct figure){ .usage = share.usage, .reset = share.reset };
		same = same && !share.reset;
	}
	return same;
}

/* The total over the cores that are in both readings and have no column that stepped back. */
static struct cpu_share share_of_common(const struct cpu *cpu, const struct cpu_stat *last, const struct cpu_stat *now,
					double passed)
{
	struct cpu_times before = { 0 }, after = { 0 };
	size_t at = 0, common = 0;

	for (size_t i = 0; i < now->cores_count; i++) {
		const struct cpu_times *core = core_before(last, &at, now->cores[i].id);

		if (!core || cpu->figures[i].reset)
			continue;
		sum_add(&before, core);
		sum_add(&after, &now->cores[i]);
		common++;
	}
	return cpu_share_between(&before, &after, passed * (double)common);
}

/*
 * The first line counts what CPUs had used before they went offline, but not how long they had been idle: its idle time
 * steps back when one goes and leaps ahead when one comes. Then only the cores can tell.
 */
static void all_measure(struct cpu *cpu, const struct cpu_stat *last, const struct cpu_stat *now, double passed,
			bool same)
{
	double cores = now->cores_count > 0 ? (double)now->cores_count : 1;
	struct cpu_share common;

	if (!cpu->clock.started) {
		cpu->all = cpu_share_between(NULL, &now->all, passed * cores);
		return;
	}
	cpu->all = cpu_share_between(&last->all, &now->all, passed * cores);
	if (same && !cpu->all.reset)
		return;
	common = share_of_common(cpu, last, now, passed);
	if (common.known && !common.reset)
		cpu->all = common;
}

static void counters_update(struct cpu *cpu, struct rate_interval interval, const struct cpu_stat *now)
{
	if (now->has_context_switches)
		rate_update(&cpu->context_switches, interval, now->context_switches);
	else
		rate_miss(&cpu->context_switches);
	if (now->has_forks)
		rate_update(&cpu->forks, interval, now->forks);
	else
		rate_miss(&cpu->forks);
	if (now->has_interrupts)
		rate_update(&cpu->interrupts, interval, now->interrupts);
	else
		rate_miss(&cpu->interrupts);
}

static enum rate_state state_of(const struct cpu *cpu, const struct cpu_stat *now, struct rate_interval interval)
{
	bool reset = cpu->all.reset;

	for (size_t i = 0; i < now->cores_count; i++)
		reset = reset || cpu->figures[i].reset;
	return reset ? RATE_RESET : interval.first ? RATE_FIRST : interval.gap ? RATE_GAP : RATE_OK;
}

/* Thousandths of a degree; a value that no processor survives is of a broken sensor. */
static void temperature_read(struct cpu *cpu, const struct collect_ctx *ctx)
{
	struct scan rest, line;
	int64_t milli;

	cpu->has_temperature = false;
	if (cpu->temperature_path[0] == '\0' ||
	    procfs_read(&cpu->temperature_file, ctx->sys_fd, cpu->temperature_path, &cpu->small) < 0)
		return;
	rest = scan_text(cpu->small.text, cpu->small.len);
	if (!scan_line(&rest, &line) || !scan_i64(&line, &milli) || milli < -50000 || milli > 150000)
		return;
	cpu->temperature = (double)milli / 1000;
	cpu->has_temperature = true;
}

/* True when not one column of the line of all has moved, either way. */
static bool stood_still(const struct cpu_stat *last, const struct cpu_stat *now)
{
	return memcmp(last->all.ticks, now->all.ticks, sizeof(now->all.ticks)) == 0 &&
	       last->cores_count == now->cores_count;
}

static int cpu_collect(void *state, const struct collect_ctx *ctx)
{
	struct cpu *cpu = state;
	const struct cpu_stat *last = &cpu->stat[cpu->at];
	struct cpu_stat *next = &cpu->stat[!cpu->at];
	struct rate_clock clock = cpu->clock;
	struct rate_interval interval;
	double passed;
	bool same;
	int r = stat_read(cpu, ctx, next);

	if (r < 0)
		return r;
	temperature_read(cpu, ctx);
	interval = rate_clock_next(&clock, &ctx->now, ctx->gap);
	/* A second collect within one tick of the kernel, or of the clock: the last figures and their baseline stay. */
	if (!interval.first && (!(interval.seconds > 0) || stood_still(last, next)))
		return 0;
	passed = cpu->tick_hz * (interval.first ? (double)ctx->now.boot_ns / (double)NS_PER_S : interval.seconds);
	same = cores_compare(cpu, last, next, passed);
	all_measure(cpu, last, next, passed, same);
	cpu->state = state_of(cpu, next, interval);
	cpu->clock = clock;
	counters_update(cpu, interval, next);
	cpu->at = !cpu->at;
	return 0;
}

/* ------------------------------------------------------------------------------------------------------- writing */

static void cores_name(const struct cpu *cpu, struct sink *out, const char *key, bool only_reset)
{
	const struct cpu_stat *now = &cpu->stat[cpu->at];

	sink_array_begin(out, key);
	for (size_t i = 0; i < now->cores_count; i++)
		if (cpu->figures[i].reset || !only_reset)
			sink_uint(out, NULL, now->cores[i].id);
	sink_array_end(out);
}

static void cores_emit(const struct cpu *cpu, struct sink *out)
{
	const struct cpu_stat *now = &cpu->stat[cpu->at];
	bool holes = false, reset = false;

	sink_array_begin(out, "cores_usage");
	for (size_t i = 0; i < now->cores_count; i++) {
		sink_real(out, NULL, cpu->figures[i].usage, 2);
		holes = holes || now->cores[i].id != i;
		reset = reset || cpu->figures[i].reset;
	}
	sink_array_end(out);
	/* Some CPU is offline: writes the ids of the cores that the figures above belong to. */
	if (holes)
		cores_name(cpu, out, "cores_ids", false);
	/* A host takes numbers only: writes the ids of the cores whose figure is not valid. */
	if (reset)
		cores_name(cpu, out, "cores_reset", true);
}

static void rate_emit(struct sink *out, const char *key, const struct rate *rate)
{
	if (rate_known(rate))
		sink_real(out, key, rate->per_second, 1);
	else
		sink_null(out, key);
}

static void counter_emit(struct sink *out, const char *key, const struct rate *rate)
{
	if (rate->started)
		sink_uint(out, key, rate->counter);
	else
		sink_null(out, key);
}

static uint64_t column_of(const struct cpu_times *times, unsigned column)
{
	return column < CPU_STATES ? times->ticks[column] : column == CPU_STATES ? times->guest : times->guest_nice;
}

/*
 * The seconds that each processor has been in each state since it came up: a list a state, in the order of cores_usage;
 * those of the processors beyond CPU_LISTED_MAX in one more item.
 */
static void seconds_emit(const struct cpu *cpu, struct sink *out)
{
	static const char *const names[] = { "user", "nice",	"system", "idle",  "iowait",
					     "irq",  "softirq", "steal",  "guest", "guest_nice" };
	const struct cpu_stat *now = &cpu->stat[cpu->at];
	struct sink_mark mark = sink_mark(out);

	sink_object_begin(out, "cores_seconds");
	for (unsigned column = 0; column < ARRAY_SIZE(names); column++) {
		uint64_t rest = 0, used = 0;

		/* What these machines never do is said in whole samples: that nothing is run here as a guest, say. */
		for (size_t i = 0; i < now->cores_count; i++)
			used |= column_of(&now->cores[i], column);
		if (!used)
			sink_whole_begin(out);
		sink_array_begin(out, names[column]);
		for (size_t i = 0; i < now->cores_count; i++) {
			uint64_t ticks = column_of(&now->cores[i], column);

			if (i < CPU_LISTED_MAX)
				sink_real(out, NULL, (double)ticks / cpu->tick_hz, 2);
			else
				rest += ticks;
		}
		if (now->cores_count > CPU_LISTED_MAX)
			sink_real(out, NULL, (double)rest / cpu->tick_hz, 2);
		sink_array_end(out);
		if (!used)
			sink_whole_end(out);
	}
	sink_object_end(out);
	if (!sink_full(out))
		return;
	sink_rewind(out, mark);
	sink_bool(out, "cores_seconds_truncated", true);
}

static void cpu_emit(const void *state, struct sink *out)
{
	static const struct {
		const char *key;
		enum cpu_state state;
	} shares[] = {
		{ "user_percent", CPU_USER },	  { "nice_percent", CPU_NICE }, { "system_percent", CPU_SYSTEM },
		{ "iowait_percent", CPU_IOWAIT }, { "irq_percent", CPU_IRQ },	{ "softirq_percent", CPU_SOFTIRQ },
		{ "steal_percent", CPU_STEAL },
	};
	const struct cpu *cpu = state;
	const struct cpu_stat *now = &cpu->stat[cpu->at];

	sink_real(out, "usage_percent", cpu->all.usage, 2);
	cores_emit(cpu, out);
	if (cpu->has_temperature)
		sink_real(out, "temperature", cpu->temperature, 1);
	else
		sink_null(out, "temperature");
	for (size_t i = 0; i < ARRAY_SIZE(shares); i++)
		sink_real(out, shares[i].key, cpu->all.state[shares[i].state], 2);
	rate_emit(out, "context_switches_per_sec", &cpu->context_switches);
	rate_emit(out, "forks_per_sec", &cpu->forks);
	if (now->has_blocked)
		sink_uint(out, "procs_blocked", now->blocked);
	else
		sink_null(out, "procs_blocked");
	sink_str(out, "state", rate_state_name(cpu->state));
	if (now->skipped > 0)
		sink_uint(out, "lines_skipped", now->skipped);
	counter_emit(out, "context_switches", &cpu->context_switches);
	counter_emit(out, "forks", &cpu->forks);
	counter_emit(out, "interrupts", &cpu->interrupts);
	rate_emit(out, "interrupts_per_sec", &cpu->interrupts);
	seconds_emit(cpu, out);
}

struct cpu_share cpu_last_share(const void *state)
{
	const struct cpu *cpu = state;

	return cpu ? cpu->all : (struct cpu_share){ 0 };
}

const struct collector collector_cpu = {
	.name = "cpu",
	.path = "system.cpu",
	.reserve_bytes = 3072,
	.whole_keys = "user nice system idle iowait irq softirq steal guest guest_nice",
	.required = true,
	.open = cpu_open,
	.close = cpu_close,
	.collect = cpu_collect,
	.emit = cpu_emit,
};
