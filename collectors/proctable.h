/* SPDX-License-Identifier: MIT */
/*
 * The table behind the processes collector: one row a process, sorted by pid, and the scan that brings it up to date.
 *
 * The kernel lists /proc in ascending order of pid, so a scan is a merge of that list with the rows before, without a
 * hash. It can be done in slices (ctx->slice): the rows stay those of the last scan, some of them newer, until it ends.
 * A `stat` read through an fd that stays open costs less than half of open, read, close (and can only ever be the same
 * process), but holds a page of kernel memory; so the first PROCTABLE_KEPT_MAX that are seen twice keep theirs.
 */
#ifndef COLLECTORS_PROCTABLE_H
#define COLLECTORS_PROCTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/collector.h>

#include "pidstat.h"
#include "rate.h"

#define PROCTABLE_ROWS_MAX 32768U
#define PROCTABLE_KEPT_MAX 256U

/* CPU over less time than this says nothing: a clock tick is 10 ms. */
#define PROCTABLE_BASELINE_NS (200 * NS_PER_MS)

/* The prober's answer about a process, in one allocation. */
struct process_detail {
	uint32_t cmdline_len, exe_len;
	char text[]; /* cmdline, exe */
};

struct process {
	struct pidstat stat;
	uint64_t base_ticks[2]; /* cpu_ticks at the two baselines, or PROCESS_NO_BASE */
	double cpu_percent;
	int fd; /* of stat, or -1 */
	uid_t uid;
	uint64_t looked_ns; /* when uid and the right to read io were last looked at; 0: never */
	bool uid_known, io_denied;
	bool picked; /* while the rows of a sample are chosen */
	bool switches_known;
	struct pidswitches switches; /* as last read, when cpu_ticks were */
	uint64_t switches_ticks;
	bool io_rated;				/* io_per_second holds a rate */
	struct pidio io;			/* as last read, */
	uint64_t io_ns;				/* then; 0: not known */
	double io_per_second;			/* bytes read and written */
	char container[PIDSTAT_CONTAINER_SIZE]; /* "": in none, or not known */
	bool gone;				/* during a scan: not there any more */
	bool asked;				/* the prober is at it */
	uint64_t asked_ns;			/* when it was last asked; 0: never */
	struct process_detail *detail;		/* NULL: not known */
};

#define PROCESS_NO_BASE UINT64_MAX

/* A scan under way. */
struct proctable_scan {
	bool active, listing, baseline;
	bool merged, measured;
	size_t at;	       /* the next of the pids listed, */
	size_t old;	       /* and of the rows */
	struct process *fresh; /* rows of new processes */
	size_t fresh_count, fresh_size;
	int failed; /* -errno of ours */
};

/* Initialise with proctable_init. */
struct proctable {
	struct process *rows;
	size_t count, size;
	struct proctable_scan scan;
	int32_t *pids; /* as listed, during a scan */
	size_t pid_count, pid_size;
	char *names; /* the directory's entries */
	int dir_fd;
	unsigned kept, kept_max;
	bool truncated;		    /* there were more than PROCTABLE_ROWS_MAX, */
	size_t left_out;	    /* so many */
	struct rate_clock clock[2]; /* of the baselines, the newer first */
	double tick_hz, page_kb;
	size_t details, detail_bytes;
};

void proctable_init(struct proctable *table);
void proctable_done(struct proctable *table);

/*
 * Reads all processes. cpu_percent is over the time since the newer baseline, or since the older if that is not
 * PROCTABLE_BASELINE_NS ago; for a process younger than that, CPU time ÷ age (at least PROCTABLE_BASELINE_NS), at most
 * 100 a thread. It is never more than 100 for each CPU online. With `baseline`, this scan becomes
 * the newer baseline (unless the one there is younger than that). 0; COLLECT_MORE: call again, it is not done; or
 * -errno: then the rows may be fewer than there are, or old.
 */
int proctable_scan(struct proctable *table, const struct collect_ctx *ctx, bool baseline);

/* The row of a pid, NULL when there is none. Valid until a scan ends. */
struct process *proctable_find(const struct proctable *table, pid_t pid);

/* Sets the detail of a row, taking ownership; NULL removes it. */
void proctable_set_detail(struct proctable *table, struct process *row, struct process_detail *detail);

#endif
