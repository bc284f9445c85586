/* SPDX-License-Identifier: MIT */
/*
 * Runs the collectors and turns their state into `metrics` lines: on the grid of the metrics interval, on a grid of the
 * log's own where that differs, and out of turn for a request, a collector's wake-up or a clock step. At most one
 *sample is in the making. It also has the processes scanned for actions that need them in between.
 *
 *	due ─► collect, a slice a turn ─► all probes answered, or their time is over ─► encode ─► sample()
 *
 * A collector that fails costs its own part only: its keys are left out, data.failed_collectors says why, and it is
 *tried again with back-off. The state of each collector stays readable between samples, as the cache that commands
 *answer from.
 */
#ifndef AGENT_METRICS_SAMPLING_H
#define AGENT_METRICS_SAMPLING_H

#include <stdbool.h>
#include <stdint.h>

#include <infiniservice/collector.h>
#include <infiniservice/line.h>
#include <infiniservice/sink.h>

#include "agent/base/identity.h"
#include "agent/base/loop.h"
#include "agent/config/config.h"
#include "agent/metrics/prober.h"

/* Least time between two samples: rates over less say more about the scheduler than about the guest. */
#define SAMPLING_BASELINE_NS (200 * NS_PER_MS)
/*
 * Wake-ups of a collector come in bursts (RTNETLINK): a sample waits for the rest of a burst, and is not taken more
 * often than this.
 */
#define SAMPLING_SETTLE_NS  (500 * NS_PER_MS)
#define SAMPLING_SPACING_NS (2 * NS_PER_S)
/* A point of the grid that is passed over by this much: the loop is not that slow, so the guest must have stood still.
 */
#define SAMPLING_LATE_NS (5 * NS_PER_S)

struct sampling;

/* Where a sample goes. */
enum sample_to {
	SAMPLE_TO_PORT = 1 << 0, /* and to the subscribers of "metrics" */
	SAMPLE_TO_LOG = 1 << 1,
	SAMPLE_TO_LATEST = 1 << 2,
	SAMPLE_TO_ALL = SAMPLE_TO_PORT | SAMPLE_TO_LOG | SAMPLE_TO_LATEST,
};

struct sampling_config {
	struct loop *loop;
	struct prober_pool *probers; /* NULL: none */
	const struct identity *id;
	uint64_t first_seq; /* of the first sample */

	/* A collector begins to fail (error < 0) or recovers (0). */
	void (*changed)(void *data, const struct collector *collector, int error);
	/* A point of the grid was passed over by SAMPLING_LATE_NS or more: told before all else of the turn. Optional.
	 */
	void (*late)(void *data);
	/* A sample is about to be collected: the place to look at the clock, and to call sampling_gap. */
	void (*begin)(void *data);
	/*
	 * `line` is the sample for port and log; `whole` is the same, or the sample with what is only in whole ones,
	 * for those who get it without the ones before. They are the caller's; NULL: the sample could not be encoded
	 * (out of memory, or over the line limit).
	 */
	void (*sample)(void *data, unsigned to, struct line *line, struct line *whole);
	/* Writes the agent's own figures into the open object data.self. */
	void (*emit_self)(void *data, struct sink *out);
	void *data; /* of all of them */
};

struct sampling_stats {
	uint64_t next_seq;
	uint64_t samples, lost; /* lost: could not be encoded */
	uint64_t ticks;		/* of the metrics grid */
	uint64_t skipped;	/* points of that grid that were passed over */
	uint64_t due_ns;	/* CLOCK_MONOTONIC: the next point of that grid; 0: not started */
	uint64_t begun_ns;	/* when the last sample was begun to be collected, */
	uint64_t taken_ns;	/* and when the last one was ready; 0: none yet */
	unsigned making;	/* enum sample_to of the sample in the making and of the next one out of turn */
};

/*
 * Opens the collectors that `settings` has switched on; a collector that cannot be opened only counts as failing. The
 * objects that `config` points to must outlive it. Nothing happens before sampling_start. NULL: out of memory.
 */
struct sampling *sampling_new(const struct sampling_config *config, const struct config *settings);

/* Accepts NULL. Returns NULL. */
struct sampling *sampling_free(struct sampling *sampling);

/* Collects a baseline, which is not handed on, so that the first sample has rates, and starts the grids. */
void sampling_start(struct sampling *sampling, const struct config *settings);

/* Applies new intervals and switches, without losing a point of the grid. */
void sampling_configure(struct sampling *sampling, const struct config *settings);

/* No sample is taken any more; one in the making is given up. */
void sampling_stop(struct sampling *sampling);

/* Requests a sample for `to` (enum sample_to): at once, or as soon as SAMPLING_BASELINE_NS has passed. */
void sampling_soon(struct sampling *sampling, unsigned to);

/* The next sample for port or log (bits of enum sample_to) is a whole one. */
void sampling_whole(struct sampling *sampling, unsigned to);

/*
 * The clock stepped or the guest slept since the last collect: the next sample says so, and has no rates over the gap.
 */
void sampling_gap(struct sampling *sampling);

/* All probes have been answered: a sample that waited for them is finished, and the waiters are called. */
void sampling_probed(struct sampling *sampling);

/* An action that waits for a scan or for probes. Its memory is the caller's, and zeroed but for ready and data. */
struct sampling_waiter {
	void (*ready)(void *data); /* called once, from the loop; it may wait again */
	void *data;
	struct sampling_waiter *next, **at; /* at: the pointer to it in the list; NULL: it does not wait */
	uint64_t scans;			    /* that have to be over; 0: it waits for probes */
};

/*
 * Has the processes scanned. True: the table of processes is no older than this call. False: the waiter is called when
 * it is so.
 */
bool sampling_scan(struct sampling *sampling, struct sampling_waiter *waiter);

/* True: no probe is outstanding. False: the waiter is called when all have been answered. */
bool sampling_await_probes(struct sampling *sampling, struct sampling_waiter *waiter);

/* The waiter is not called any more. Ignores a waiter that does not wait. */
void sampling_leave(struct sampling_waiter *waiter);

/* The last sample, for any destination, whole; NULL: none yet. Owned by the sampling. */
struct line *sampling_latest(const struct sampling *sampling);

/* True if the last sample went out whole, so that port and log have it as sampling_latest says. */
bool sampling_latest_went_whole(const struct sampling *sampling);

struct sampling_stats sampling_stats(const struct sampling *sampling);

/*
 * The state of a collector for the typed accessors of collectors/; NULL if it is switched off or its last collect
 * failed.
 */
void *sampling_state(struct sampling *sampling, const struct collector *collector);

/* The context of the last collect, moved to now: for accessors that read again. */
struct collect_ctx sampling_context(struct sampling *sampling, const struct collector *collector);

/* Writes, per collector that is on: state, error, failures, last duration. Into an open object. */
void sampling_report(const struct sampling *sampling, struct sink *out);

/*
 * Where no loop waits, without sampling_start: reads all collectors in one go, however long it takes; makes a numbered,
 * whole line of what has been read (NULL: out of memory, or over the line limit); and calls `say` for each collector
 * that is on and has nothing to show, with what went wrong (0: it has not answered yet). sampling_collect_due reads as
 * a tick does: without the collectors whose period is not over.
 */
void sampling_collect_all(struct sampling *sampling);
void sampling_collect_due(struct sampling *sampling);
struct line *sampling_encode(struct sampling *sampling);
void sampling_each_left_out(const struct sampling *sampling, void (*say)(void *data, const char *name, int error),
			    void *data);

#endif
