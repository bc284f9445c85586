/* SPDX-License-Identifier: MIT */
/*
 * The processes of the guest, read from /proc/PID/stat. The metrics show the first rows by CPU; the actions
 * ProcessList, ProcessTop and ProcessKill read the same table through the accessors below:
 *
 *	processes_refresh(state, ctx);                          a scan now, which leaves the metrics' baseline alone
 *	n = processes_sorted(state, ctx, PROCESSES_BY_CPU, rows, max);
 *	waiting = processes_ask(state, ctx, rows, n);           command lines, through the prober
 *	… once answers came through `probed`: processes_sorted again, and the command lines are in the rows
 *
 * A process is (pid, start time): a pid used again is another process.
 */
#ifndef COLLECTORS_PROCESSES_H
#define COLLECTORS_PROCESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <infiniservice/collector.h>

enum processes_sort {
	PROCESSES_BY_CPU,    /* highest first, ties by memory */
	PROCESSES_BY_MEMORY, /* highest first */
	PROCESSES_BY_PID,    /* lowest first */
};

/* Pointers are valid until the next refresh, collect, probed or close of the same state. */
struct process_row {
	pid_t pid, ppid;
	const char *comm; /* any bytes; comm_len of them, no final NUL */
	size_t comm_len;
	double cpu_percent; /* of one CPU, finite */
	uint64_t rss_kb;
	const char *status; /* "Running", "Sleeping", … */
	uid_t uid;
	bool uid_known;
	const char *user;     /* from etc/passwd, else from wherever users are; NULL: not known (yet), show the uid */
	uint64_t start_ticks; /* field 22 of stat: with the pid, the identity */
	int64_t start_wall_ms;
	uint32_t threads;
	bool kernel_thread;
	const char *cmdline; /* arguments joined by spaces; NULL: not known (yet); kernel threads and zombies have "" */
	size_t cmdline_len;
	const char *exe; /* NULL: not known or not permitted */
	size_t exe_len;
};

/*
 * Scans the processes now. The baseline of the metrics stays: cpu_percent is over the time since the last collect, or,
 * if that was less than 200 ms ago, since the one before it. 0; COLLECT_MORE: as of collect, call again; or -errno. Not
 * while a collect is under way.
 */
int processes_refresh(void *state, const struct collect_ctx *ctx);

/* How many processes the last scan found. */
size_t processes_count(const void *state);

/* Fills at most `max` rows in the given order from the last scan; returns how many. */
size_t processes_sorted(void *state, const struct collect_ctx *ctx, enum processes_sort sort, struct process_row *rows,
			size_t max);

/* Fills one row; false when the last scan did not find that pid. */
bool processes_find(void *state, const struct collect_ctx *ctx, pid_t pid, struct process_row *ret_row);

/*
 * Asks the prober for the command lines of those rows that have none, and for users that etc/passwd does not have.
 * Returns how many answers are still to come (0: all there is to know is in the table) or -errno of the prober when
 * nothing could be asked at all (-ENOSYS, -ENOBUFS). May be called again with the same rows to see how many are left.
 */
int processes_ask(void *state, const struct collect_ctx *ctx, const struct process_row *rows, size_t count);

#endif
