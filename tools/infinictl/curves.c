/* SPDX-License-Identifier: MIT */
/*
 * Without a span the first step begins with the first sample, a second wide; when the steps are used up, two of them
 * become one each, and the width doubles. So one pass over a log of any length is enough.
 */
#include "tools/infinictl/curves.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#define GAP_INTERVALS 2

int curves_name(struct curves *curves, const char *path, struct err *err)
{
	struct curve *metric = &curves->metrics[curves->metric_count];
	struct metric parsed;

	if (curves->metric_count == CURVES_METRICS_MAX)
		return err_set(err, -ENOSPC, "more than %d metrics", CURVES_METRICS_MAX);
	metric->known = catalog_full_path(path, metric->path, sizeof(metric->path));
	if (!metric->known)
		return err_set(err, -EINVAL, "there is no metric \"%.100s\"", path);
	if (!strcmp(metric->path, metric->known->path) && strchr(metric->path, '['))
		return err_set(err, -EINVAL, "%.100s is a list: write in [] which item is meant", path);
	if (metric_parse(metric->path, &parsed, err))
		return -EINVAL;
	curves->metric_count++;
	return 0;
}

int curves_init(struct curves *curves, unsigned steps, int64_t begin_ms, int64_t end_ms)
{
	bool spans = begin_ms != INT64_MIN && end_ms != INT64_MAX;

	curves->step_count = steps & ~1u;
	curves->begin_ms = begin_ms;
	curves->step_ms = spans ? (end_ms - begin_ms + curves->step_count - 1) / curves->step_count : 1000;
	if (curves->step_ms < 1)
		curves->step_ms = 1;
	for (unsigned i = 0; i < curves->metric_count; i++) {
		curves->metrics[i].steps = calloc(curves->step_count, sizeof(struct curve_step));
		if (!curves->metrics[i].steps)
			return -ENOMEM;
		aggregate_init(&curves->metrics[i].values, curves->percentiles);
	}
	return 0;
}

static void add_value(struct curve_step *step, uint64_t count, const struct curve_value *value)
{
	step->min = step->count == 0 || value->min < step->min ? value->min : step->min;
	step->max = step->count == 0 || value->max > step->max ? value->max : step->max;
	step->sum += value->average * (double)count;
	step->last = value->last;
	step->count += count;
}

static struct curve_step merged(const struct curve_step *a, const struct curve_step *b)
{
	struct curve_step sum = *a;

	if (a->count == 0 || b->count == 0)
		return a->count ? *a : *b;
	sum.count += b->count;
	sum.sum += b->sum;
	sum.last = b->last;
	sum.min = b->min < a->min ? b->min : a->min;
	sum.max = b->max > a->max ? b->max : a->max;
	return sum;
}

static void widen(struct curves *curves)
{
	unsigned half = curves->step_count / 2;

	for (unsigned i = 0; i < curves->metric_count; i++) {
		struct curve_step *steps = curves->metrics[i].steps;

		for (unsigned j = 0; j < half; j++)
			steps[j] = merged(&steps[2 * j], &steps[2 * j + 1]);
		memset(steps + half, 0, half * sizeof(*steps));
	}
	curves->step_ms *= 2;
}

/* A gap takes the place of the shortest one when there is no room. */
static void note_gap(struct curves *curves, int64_t begin_ms, int64_t end_ms, bool whole)
{
	struct curve_gap *at = &curves->gaps[curves->gap_count];

	if (curves->gap_count == CURVES_GAPS_MAX) {
		at = curves->gaps;
		for (unsigned i = 1; i < CURVES_GAPS_MAX; i++)
			if (curves->gaps[i].end_ms - curves->gaps[i].begin_ms < at->end_ms - at->begin_ms)
				at = &curves->gaps[i];
		if (at->end_ms - at->begin_ms >= end_ms - begin_ms)
			return;
	} else {
		curves->gap_count++;
	}
	*at = (struct curve_gap){ begin_ms, end_ms, whole };
}

/* The part of a summary's time that its samples do not account for, as those before it had them. */
static void note_lack(struct curves *curves, const struct curve_span *span, bool after_gap)
{
	int64_t width = span->end_ms - span->begin_ms, lack;
	double rate = (double)span->count / (double)width, usual = 0;

	for (size_t i = 0; i < ARRAY_SIZE(curves->rates); i++)
		usual = curves->rates[i] > usual ? curves->rates[i] : usual;
	curves->rates[curves->rows % ARRAY_SIZE(curves->rates)] = rate;
	curves->ends_in_gap = rate < usual * 3 / 4;
	if (!curves->ends_in_gap)
		return;
	lack = width - (int64_t)((double)span->count / usual);
	curves->ends_in_gap = !after_gap;
	if (after_gap)
		note_gap(curves, span->begin_ms, span->begin_ms + lack, true);
	else
		note_gap(curves, span->end_ms - lack, span->end_ms, true);
}

static void note_time(struct curves *curves, const struct curve_span *span)
{
	const struct curve_span *before = &curves->row;
	int64_t delta = span->begin_ms - before->begin_ms;
	bool first = curves->rows == 0, summary = span->end_ms > span->begin_ms, after_gap = false;

	if (first)
		curves->first_ms = curves->last_ms = span->begin_ms;
	if (!first && delta > 0) {
		uint64_t interval = (uint64_t)delta / (before->count ? before->count : 1);
		bool whole = summary || before->end_ms > before->begin_ms;

		curves->deltas[curves->rows % ARRAY_SIZE(curves->deltas)] =
			interval < UINT32_MAX ? (uint32_t)interval : UINT32_MAX;
		after_gap = curves->ends_in_gap || span->begin_ms > before->end_ms;
		if (span->begin_ms > before->end_ms)
			note_gap(curves, before->end_ms, span->begin_ms, whole);
	}
	if (first || delta > 0) {
		curves->ends_in_gap = false;
		if (summary)
			note_lack(curves, span, after_gap);
		curves->row = *span;
		curves->last_ms = summary ? span->end_ms - 1 : span->begin_ms;
	}
	curves->rows++;
	curves->samples += span->count;
	curves->summed += summary ? span->count : 0;
}

void curves_add(struct curves *curves, const struct curve_span *span, const struct curve_value *values)
{
	int64_t middle_ms = span->begin_ms + (span->end_ms - span->begin_ms) / 2, at;

	if (curves->begin_ms == INT64_MIN)
		curves->begin_ms = span->begin_ms - span->begin_ms % 1000;
	if (middle_ms < curves->begin_ms) {
		curves->left_out += span->count;
		return;
	}
	while ((at = (middle_ms - curves->begin_ms) / curves->step_ms) >= curves->step_count)
		widen(curves);
	note_time(curves, span);
	for (unsigned i = 0; i < curves->metric_count; i++) {
		struct curve *metric = &curves->metrics[i];
		const struct curve_value *value = &values[i];

		if (!value->known)
			continue;
		add_value(&metric->steps[at], span->count, value);
		add_value(&metric->whole, span->count, value);
		if (curves->percentiles)
			aggregate_add_several(&metric->values,
					      &(struct aggregate_several){ span->count, value->min, value->average,
									   value->max, value->last });
	}
}

static int by_size(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return left < right ? -1 : left > right;
}

static int by_begin(const void *a, const void *b)
{
	const struct curve_gap *left = a, *right = b;

	return left->begin_ms < right->begin_ms ? -1 : left->begin_ms > right->begin_ms;
}

void curves_finish(struct curves *curves)
{
	unsigned zeros = 0, kept = 0;

	qsort(curves->deltas, ARRAY_SIZE(curves->deltas), sizeof(curves->deltas[0]), by_size);
	while (zeros < ARRAY_SIZE(curves->deltas) && curves->deltas[zeros] == 0)
		zeros++;
	if (zeros < ARRAY_SIZE(curves->deltas))
		curves->interval_ms = curves->deltas[zeros + (ARRAY_SIZE(curves->deltas) - zeros) / 2];
	for (unsigned i = 0; i < curves->gap_count; i++)
		if (curves->gaps[i].end_ms - curves->gaps[i].begin_ms >
		    (GAP_INTERVALS - curves->gaps[i].whole) * curves->interval_ms)
			curves->gaps[kept++] = curves->gaps[i];
	curves->gap_count = kept;
	qsort(curves->gaps, kept, sizeof(curves->gaps[0]), by_begin);
}

void curves_reset(struct curves *curves)
{
	curves_done(curves);
	for (unsigned i = 0; i < curves->metric_count; i++)
		curves->metrics[i].whole = (struct curve_step){ 0 };
	curves->samples = curves->left_out = curves->summed = curves->rows = 0;
	curves->ends_in_gap = false;
	memset(curves->rates, 0, sizeof(curves->rates));
	curves->gap_count = 0;
	curves->interval_ms = 0;
	memset(curves->deltas, 0, sizeof(curves->deltas));
}

void curves_done(struct curves *curves)
{
	for (unsigned i = 0; i < curves->metric_count; i++) {
		free(curves->metrics[i].steps);
		aggregate_done(&curves->metrics[i].values);
		curves->metrics[i].steps = NULL;
	}
}

bool curves_average(const struct curve_step *step, double *ret)
{
	if (step->count == 0)
		return false;
	*ret = step->sum / (double)step->count;
	/* A sum beyond all numbers, of a log that somebody made up. */
	if (*ret < step->min || *ret > step->max)
		*ret = step->last;
	return true;
}

bool curves_has_gap(const struct curves *curves, int64_t begin_ms, int64_t end_ms)
{
	for (unsigned i = 0; i < curves->gap_count; i++)
		if (curves->gaps[i].begin_ms < end_ms && curves->gaps[i].end_ms > begin_ms)
			return true;
	return false;
}

bool curves_breaks(const struct curves *curves, unsigned from, unsigned to)
{
	int64_t begin_ms = curves->begin_ms + (int64_t)from * curves->step_ms;
	int64_t end_ms = curves->begin_ms + ((int64_t)to + 1) * curves->step_ms;

	for (unsigned i = 0; i < curves->gap_count; i++)
		if (curves->gaps[i].begin_ms >= begin_ms && curves->gaps[i].end_ms < end_ms)
			return true;
	return false;
}

int64_t curves_middle(const struct curves *curves, unsigned step)
{
	return curves->begin_ms + (int64_t)step * curves->step_ms + curves->step_ms / 2;
}
