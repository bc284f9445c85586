/* SPDX-License-Identifier: MIT */
/* /proc/stat, parsed: the time each CPU spent in each state, and the kernel's counters below them. */
#ifndef COLLECTORS_CPU_H
#define COLLECTORS_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* CPUs with a higher number are not measured one by one (CONFIG_NR_CPUS ends at 8192 on x86). */
#define CPU_ID_MAX 8191

enum cpu_state {
	CPU_USER, /* includes guest, see account_guest_time in kernel/sched/cputime.c */
	CPU_NICE,
	CPU_SYSTEM,
	CPU_IDLE,
	CPU_IOWAIT,
	CPU_IRQ,
	CPU_SOFTIRQ,
	CPU_STEAL, /* since Linux 2.6.11 */
	CPU_STATES,
};

/* In ticks of sysconf(_SC_CLK_TCK). */
struct cpu_times {
	unsigned id; /* the number in "cpuN"; 0 in the line of all */
	uint64_t ticks[CPU_STATES];
	uint64_t guest, guest_nice; /* within user and nice: of guests that this machine runs itself */
};

struct cpu_stat {
	struct cpu_times all;
	struct cpu_times *cores; /* the caller's array, in rising order of id */
	size_t cores_max;
	size_t cores_count; /* filled */
	size_t cores_seen;  /* online CPUs in the text; above cores_max: read again with more room */
	size_t skipped;	    /* invalid or duplicate lines of CPUs */
	bool has_context_switches, has_forks, has_interrupts, has_running, has_blocked;
	uint64_t context_switches, forks, interrupts; /* since boot */
	uint64_t running, blocked;		      /* now */
};

/*
 * Parses /proc/stat into *out; the caller has set `cores` and `cores_max`. 0 or -EBADMSG: there was no usable line of
 * any CPU (only the array may then have changed). CPUs that are offline have no line; further columns and lines are
 * skipped, and invalid lines of CPUs are skipped and counted. Without a line for all CPUs, `all` is the sum
 * of those that have one.
 */
int cpu_stat_parse(const char *text, size_t len, struct cpu_stat *out);

/* Shares of the time between two readings, 0-100 each. */
struct cpu_share {
	double usage; /* user + nice + system + irq + softirq: neither iowait nor steal */
	double state[CPU_STATES];
	bool known; /* false: no kernel tick has passed, and all shares are 0 */
	bool reset; /* a column stepped back or jumped: shares are relative to the time passed */
};

/*
 * The shares between two readings; `before` NULL: since the CPU came up. `passed` is how many ticks the CPUs of the
 * line together really had in between (0: not known).
 *
 * A column that went backwards (iowait and idle may, see proc(5); all may when a CPU is taken away and comes back), or
 * ahead by more than any clock, counts as not having moved. Then the other columns do not add up to the whole, so the
 * shares are relative to the time that really passed.
 */
struct cpu_share cpu_share_between(const struct cpu_times *before, const struct cpu_times *now, double passed);

/*
 * The shares of all CPUs together over the last two collects, since boot after the first one. `state` is that of
 * collector_cpu; NULL: not known.
 */
struct cpu_share cpu_last_share(const void *state);

#endif
