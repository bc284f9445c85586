/* SPDX-License-Identifier: MIT */
/*
 * Without a span the first step begins with the first sample, a second wide; when the steps are used up, two of them
 * become one each, and the width doubles. So one pass over a log of any length is enough.
 */
#include "tools/infinictl/series.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "tools/infinictl/text.h"

#define GAP_INTERVALS 2

int series_init(struct series *series, unsigned steps, int64_t begin_ms, int64_t end_ms)
{
	bool spans = begin_ms != INT64_MIN && end_ms != INT64_MAX;

	series->step_count = steps & ~1u;
	series->begin_ms = begin_ms;
	series->step_ms = spans ? (end_ms - begin_ms + series->step_count - 1) / series->step_count : 1000;
	if (series->step_ms < 1)
		series->step_ms = 1;
	for (unsigned i = 0; i < series->metric_count; i++) {
		series->metrics[i].steps = calloc(series->step_count, sizeof(struct series_step));
		if (!series->metrics[i].steps)
			return -ENOMEM;
	}
	return 0;
}

static void add_value(struct series_step *step, double value)
{
	step->min = step->count == 0 || value < step->min ? value : step->min;
	step->max = step->count == 0 || value > step->max ? value : step->max;
	step->sum += value;
	step->last = value;
	step->count++;
}

static struct series_step merged(const struct series_step *a, const struct series_step *b)
{
	struct series_step sum = *a;

	if (a->count == 0 || b->count == 0)
		return a->count ? *a : *b;
	sum.count += b->count;
	sum.sum += b->sum;
	sum.last = b->last;
	sum.min = b->min < a->min ? b->min : a->min;
	sum.max = b->max > a->max ? b->max : a->max;
	return sum;
}

static void widen(struct series *series)
{
	unsigned half = series->step_count / 2;

	for (unsigned i = 0; i < series->metric_count; i++) {
		struct series_step *steps = series->metrics[i].steps;

		for (unsigned j = 0; j < half; j++)
			steps[j] = merged(&steps[2 * j], &steps[2 * j + 1]);
		memset(steps + half, 0, half * sizeof(*steps));
	}
	series->step_ms *= 2;
}

/* A gap takes the place of the shortest one when there is no room. */
static void note_gap(struct series *series, int64_t begin_ms, int64_t end_ms)
{
	struct series_gap *at = &series->gaps[series->gap_count];

	if (series->gap_count == SERIES_GAPS_MAX) {
		at = series->gaps;
		for (unsigned i = 1; i < SERIES_GAPS_MAX; i++)
			if (series->gaps[i].end_ms - series->gaps[i].begin_ms < at->end_ms - at->begin_ms)
				at = &series->gaps[i];
		if (at->end_ms - at->begin_ms >= end_ms - begin_ms)
			return;
	} else {
		series->gap_count++;
	}
	*at = (struct series_gap){ begin_ms, end_ms };
}

static void note_time(struct series *series, int64_t wall_ms)
{
	int64_t delta = wall_ms - series->last_ms;

	if (series->samples == 0)
		series->first_ms = wall_ms;
	else if (delta > 0) {
		series->deltas[series->samples % ARRAY_SIZE(series->deltas)] =
			delta < UINT32_MAX ? (uint32_t)delta : UINT32_MAX;
		note_gap(series, series->last_ms, wall_ms);
	}
	if (series->samples == 0 || delta > 0)
		series->last_ms = wall_ms;
	series->samples++;
}

void series_add(struct series *series, int64_t wall_ms, struct json_object *data)
{
	int64_t at;

	if (series->begin_ms == INT64_MIN)
		series->begin_ms = wall_ms - wall_ms % 1000;
	if (wall_ms < series->begin_ms) {
		series->left_out++;
		return;
	}
	while ((at = (wall_ms - series->begin_ms) / series->step_ms) >= series->step_count)
		widen(series);
	note_time(series, wall_ms);
	for (unsigned i = 0; i < series->metric_count; i++) {
		struct series_metric *metric = &series->metrics[i];
		struct json_object *value = NULL;
		double number;

		if (!data || !metric_find(&metric->path, data, &value) || !text_number(value, &number))
			continue;
		add_value(&metric->steps[at], number);
		add_value(&metric->whole, number);
	}
}

static int by_size(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return left < right ? -1 : left > right;
}

static int by_begin(const void *a, const void *b)
{
	const struct series_gap *left = a, *right = b;

	return left->begin_ms < right->begin_ms ? -1 : left->begin_ms > right->begin_ms;
}

void series_finish(struct series *series)
{
	unsigned zeros = 0, kept = 0;

	qsort(series->deltas, ARRAY_SIZE(series->deltas), sizeof(series->deltas[0]), by_size);
	while (zeros < ARRAY_SIZE(series->deltas) && series->deltas[zeros] == 0)
		zeros++;
	if (zeros < ARRAY_SIZE(series->deltas))
		series->interval_ms = series->deltas[zeros + (ARRAY_SIZE(series->deltas) - zeros) / 2];
	for (unsigned i = 0; i < series->gap_count; i++)
		if (series->gaps[i].end_ms - series->gaps[i].begin_ms > GAP_INTERVALS * series->interval_ms)
			series->gaps[kept++] = series->gaps[i];
	series->gap_count = kept;
	qsort(series->gaps, kept, sizeof(series->gaps[0]), by_begin);
}

void series_reset(struct series *series)
{
	series_done(series);
	for (unsigned i = 0; i < series->metric_count; i++)
		series->metrics[i].whole = (struct series_step){ 0 };
	series->samples = series->left_out = 0;
	series->gap_count = 0;
	series->interval_ms = 0;
	memset(series->deltas, 0, sizeof(series->deltas));
}

void series_done(struct series *series)
{
	for (unsigned i = 0; i < series->metric_count; i++) {
		free(series->metrics[i].steps);
		series->metrics[i].steps = NULL;
	}
}

bool series_average(const struct series_step *step, double *ret)
{
	if (step->count == 0)
		return false;
	*ret = step->sum / step->count;
	/* A sum beyond all numbers, of a log that somebody made up. */
	if (*ret < step->min || *ret > step->max)
		*ret = step->last;
	return true;
}

bool series_has_gap(const struct series *series, int64_t begin_ms, int64_t end_ms)
{
	for (unsigned i = 0; i < series->gap_count; i++)
		if (series->gaps[i].begin_ms < end_ms && series->gaps[i].end_ms > begin_ms)
			return true;
	return false;
}

bool series_breaks(const struct series *series, unsigned from, unsigned to)
{
	int64_t begin_ms = series->begin_ms + (int64_t)from * series->step_ms;
	int64_t end_ms = series->begin_ms + ((int64_t)to + 1) * series->step_ms;

	for (unsigned i = 0; i < series->gap_count; i++)
		if (series->gaps[i].begin_ms >= begin_ms && series->gaps[i].end_ms < end_ms)
			return true;
	return false;
}

int64_t series_middle(const struct series *series, unsigned step)
{
	return series->begin_ms + (int64_t)step * series->step_ms + series->step_ms / 2;
}
