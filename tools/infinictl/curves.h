/* SPDX-License-Identifier: MIT */
/*
 * Metrics over time, each a curve of a bounded number of steps, whatever the length of the log: each step has the
 * least, the greatest and the average value of its time, and beside them stand the gaps in which nothing was measured.
 */
#ifndef TOOLS_INFINICTL_CURVES_H
#define TOOLS_INFINICTL_CURVES_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/catalog/catalog.h"
#include "tools/infinictl/aggregate.h"
#include "tools/infinictl/metric.h"

#define CURVES_METRICS_MAX 32
#define CURVES_STEPS_MAX   4096
#define CURVES_GAPS_MAX	   128 /* the longest of them */

struct curve_step {
	uint64_t count; /* samples; 0: no value */
	double min, max, sum, last;
};

struct curve_gap {
	int64_t begin_ms, end_ms; /* between two samples, or around summaries */
	bool whole;		  /* nothing was measured in all of it; else its ends are samples */
};

struct curve {
	char path[METRIC_TEXT_MAX];	    /* whole, below `data` */
	const struct catalog_metric *known; /* NULL: not in the catalogue */
	struct curve_step *steps;	    /* `step_count` of them */
	struct curve_step whole;	    /* all samples as one */
	struct aggregate values;	    /* for its percentiles, when `percentiles` is set */
};

/* What a value stands for. */
struct curve_span {
	int64_t begin_ms, end_ms; /* the same for a sample; a summary is of begin_ms <= time < end_ms */
	uint64_t count;		  /* samples */
};

struct curves {
	unsigned metric_count, step_count;
	bool percentiles;
	struct curve metrics[CURVES_METRICS_MAX];
	int64_t begin_ms, step_ms;  /* of the first step; the width of each */
	int64_t first_ms, last_ms;  /* of the samples; the last moment of a summary */
	uint64_t samples, left_out; /* left_out: samples whose time lies before the first one's */
	uint64_t summed;	    /* of `samples`: those that came as a summary */
	uint64_t rows;		    /* samples and summaries */
	struct curve_span row;	    /* the last of them */
	double rates[4];	    /* samples a ms of the last summaries */
	bool ends_in_gap;	    /* the last summary did */
	uint32_t deltas[512];	    /* times between two samples, in ms, a few of them */
	struct curve_gap gaps[CURVES_GAPS_MAX];
	unsigned gap_count;
	int64_t interval_ms; /* the usual time between two samples; 0: unknown */
};

/*
 * Makes room for `steps` (2 to CURVES_STEPS_MAX) of each metric of `curves->metrics`. `begin_ms` and `end_ms` are the
 * span, or INT64_MIN and INT64_MAX: then the steps grow with the log. 0 or -ENOMEM.
 */
int curves_init(struct curves *curves, unsigned steps, int64_t begin_ms, int64_t end_ms);
/* What a sample, or a summary of several, says of each metric. */
struct curve_value {
	bool known;
	double min, average, max, last;
};
/*
 * Adds a sample or a summary, in the order of time. A summary counts where its middle lies, so the steps should be
 * whole multiples of it. Of one with less than three quarters of the samples that those before it had, the rest of its
 * time is a gap: at its end, or at its begin where the one before ends in a gap; where within it is not known.
 * `values` may be NULL when there are no metrics.
 */
void curves_add(struct curves *curves, const struct curve_span *span, const struct curve_value *values);
/* A metric by its path, as people write it. 0, or -EINVAL or -ENOSPC with words. */
int curves_name(struct curves *curves, const char *path, struct err *err);
/*
 * After the last sample: finds the usual interval and leaves of the gaps those that are more than two of it (of those
 * in which nothing was measured at all: more than one, since both neighbours are half of one away).
 */
void curves_finish(struct curves *curves);
void curves_done(struct curves *curves);
/* Without samples again, of the same metrics; curves_init follows. */
void curves_reset(struct curves *curves);

/* The step's average in `ret`; false without any value. */
bool curves_average(const struct curve_step *step, double *ret);

/* True when a gap lies within begin_ms..end_ms. */
bool curves_has_gap(const struct curves *curves, int64_t begin_ms, int64_t end_ms);

/* True when a gap begins in step `from` (or behind it) and ends in step `to` or before: no line joins the two. */
bool curves_breaks(const struct curves *curves, unsigned from, unsigned to);

/* The middle of a step. */
int64_t curves_middle(const struct curves *curves, unsigned step);

#endif
