/* SPDX-License-Identifier: MIT */
/*
 * Metrics over time in a bounded number of steps, whatever the length of the log: each step has the least, the greatest
 * and the average value of its time, and beside them stand the gaps in which nothing was measured. The one place where
 * charts and report meet the log's reader.
 */
#ifndef TOOLS_INFINICTL_SERIES_H
#define TOOLS_INFINICTL_SERIES_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/catalog/catalog.h"
#include "tools/infinictl/metric.h"

struct json_object;

#define SERIES_METRICS_MAX 16
#define SERIES_STEPS_MAX   2048
#define SERIES_GAPS_MAX	   128 /* the longest of them */

struct series_step {
	uint32_t count; /* 0: no value */
	double min, max, sum, last;
};

struct series_gap {
	int64_t begin_ms, end_ms; /* between two samples */
};

struct series_metric {
	struct metric path;
	const struct catalog_metric *known; /* NULL: not in the catalogue */
	struct series_step *steps;	    /* `step_count` of them */
	struct series_step whole;	    /* all samples as one */
};

struct series {
	unsigned metric_count, step_count;
	struct series_metric metrics[SERIES_METRICS_MAX];
	int64_t begin_ms, step_ms;  /* of the first step; the width of each */
	int64_t first_ms, last_ms;  /* of the samples */
	uint64_t samples, left_out; /* left_out: samples whose time lies before the first one's */
	uint32_t deltas[512];	    /* times between two samples, in ms, a few of them */
	struct series_gap gaps[SERIES_GAPS_MAX];
	unsigned gap_count;
	int64_t interval_ms; /* the usual time between two samples; 0: unknown */
};

/*
 * Makes room for `steps` (2 to SERIES_STEPS_MAX) of each metric of `series->metrics`. `begin_ms` and `end_ms` are the
 * span, or INT64_MIN and INT64_MAX: then the steps grow with the log. 0 or -ENOMEM.
 */
int series_init(struct series *series, unsigned steps, int64_t begin_ms, int64_t end_ms);
/* Adds the numbers of a sample's `data`. */
void series_add(struct series *series, int64_t wall_ms, struct json_object *data);
/* After the last sample: finds the usual interval and leaves of the gaps those that are more than two of it. */
void series_finish(struct series *series);
void series_done(struct series *series);
/* Without samples again, of the same metrics; series_init follows. */
void series_reset(struct series *series);

/* The step's average in `ret`; false without any value. */
bool series_average(const struct series_step *step, double *ret);

/* True when a gap lies within begin_ms..end_ms. */
bool series_has_gap(const struct series *series, int64_t begin_ms, int64_t end_ms);

/* True when a gap begins in step `from` (or behind it) and ends in step `to` or before: no line joins the two. */
bool series_breaks(const struct series *series, unsigned from, unsigned to);

/* The middle of a step. */
int64_t series_middle(const struct series *series, unsigned step);

#endif
