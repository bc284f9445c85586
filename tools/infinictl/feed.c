/* SPDX-License-Identifier: MIT */
/* Values are picked from the lines without building trees. */
#include "tools/infinictl/feed.h"

#include <errno.h>
#include <string.h>

#include "agent/log/pick.h"
#include "agent/log/series.h"
#include "tools/infinictl/cli.h"

/* Up to this span percentiles are worth the reading of all samples. */
#define PERCENTILES_MS INT64_C(172800000)

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* ------------------------------------------------------------------------------------------------------- files */

static void on_value(void *data, unsigned path, struct pick_text key, struct pick_text text)
{
	struct curve_value *value = (struct curve_value *)data + path;
	double number;

	(void)key;
	value->known = pick_number(text, &number);
	if (value->known)
		*value = (struct curve_value){ true, number, number, number, number };
}

static int feed_lines(struct reading *reading, struct curves *curves, const struct pick *pick)
{
	struct reader_line line;
	int rc;

	while ((rc = reader_next(reading->reader, &line)) == 1) {
		struct curve_value values[CURVES_METRICS_MAX] = { { 0 } };

		if (!line.sample)
			continue;
		reading->samples++;
		pick_line(pick, line.text, line.len, on_value, values);
		curves_add(curves, &(struct curve_span){ line.wall_ms, line.wall_ms, 1 }, values);
		reading_progress(reading, line.wall_ms);
	}
	return rc;
}

static int feed_files(struct reading *reading, struct curves *curves, unsigned steps, struct err *err)
{
	struct pick *pick = pick_new();
	int rc = pick ? curves_init(curves, steps, reading->begin_ms, reading->end_ms) : -ENOMEM;

	for (unsigned i = 0; rc >= 0 && i < curves->metric_count; i++)
		rc = pick_add(pick, curves->metrics[i].path, err);
	if (rc >= 0)
		rc = feed_lines(reading, curves, pick);
	pick_free(pick);
	return rc;
}

/* ----------------------------------------------------------------------------------------------------- a folder */

/* How the span is cut: a row of the series, and where the steps of the curves begin and end. */
struct cut {
	int64_t row_ms; /* 0: samples */
	int64_t begin_ms, end_ms;
	int64_t last_ms; /* of what the log has of the span */
};

/* The longest stretch of a tier that is no longer than a step. */
static int64_t row_of(const struct curves *curves, const struct series_cover *cover, int64_t span_ms, unsigned steps)
{
	int64_t step_ms = span_ms / steps;

	for (unsigned i = 0; i < curves->metric_count; i++)
		if (!(curves->metrics[i].known->flags & CATALOG_KEPT))
			return 0;
	if (curves->percentiles && span_ms <= PERCENTILES_MS)
		return 0;
	if (step_ms >= SERIES_HOUR_MS && cover->hours && !curves->percentiles)
		return SERIES_HOUR_MS;
	return step_ms >= SERIES_MINUTE_MS && cover->minutes ? SERIES_MINUTE_MS : 0;
}

/* Steps become whole multiples of a row, which begin where rows do. */
static struct cut cut_make(struct reading *reading, const struct curves *curves, unsigned steps)
{
	struct cut cut = { 0, reading->begin_ms, reading->end_ms, reading->end_ms };
	struct series_cover cover;
	int64_t begin_ms, end_ms, step_ms;

	reading->holds_lines = series_look(reading->dir, &cover);
	if (!reading->holds_lines)
		return cut;
	begin_ms = reading->begin_ms == INT64_MIN ? cover.first_ms : reading->begin_ms;
	end_ms = reading->end_ms == INT64_MAX ? cover.last_ms + 1 : reading->end_ms;
	cut.last_ms = least(end_ms - 1, cover.last_ms);
	if (begin_ms < 0 || end_ms <= begin_ms)
		return cut;
	cut.row_ms = row_of(curves, &cover, end_ms - begin_ms, steps);
	if (!cut.row_ms)
		return cut;
	cut.begin_ms = begin_ms - begin_ms % cut.row_ms;
	step_ms = (end_ms - cut.begin_ms + steps - 1) / steps;
	step_ms = (step_ms + cut.row_ms - 1) / cut.row_ms * cut.row_ms;
	cut.end_ms = cut.begin_ms + step_ms * (steps & ~1u);
	return cut;
}

/* A row goes on to the end of the span, or of the log, at most. */
static struct curve_span span_of(const struct series_row *row, const struct cut *cut)
{
	int64_t end_ms = row->time_ms + row->span_ms;

	if (cut->last_ms >= row->time_ms && row->span_ms)
		end_ms = least(end_ms, cut->last_ms + 1);
	return (struct curve_span){ row->time_ms, end_ms, row->count < UINT32_MAX ? row->count : UINT32_MAX };
}

static int feed_rows(struct reading *reading, struct curves *curves, const struct cut *cut)
{
	struct series_row row;
	int rc;

	while ((rc = series_next(reading->series, &row)) == 1) {
		struct curve_value values[CURVES_METRICS_MAX] = { { 0 } };
		struct curve_span span = span_of(&row, cut);

		for (unsigned i = 0; i < curves->metric_count; i++)
			values[i] = (struct curve_value){ row.values[i].known, row.values[i].min, row.values[i].average,
							  row.values[i].max, row.values[i].last };
		reading->samples += span.count;
		curves_add(curves, &span, values);
		reading_progress(reading, row.time_ms);
	}
	return rc;
}

static int feed_series(struct reading *reading, struct curves *curves, unsigned steps, const struct cut *cut,
		       struct err *err)
{
	const char *paths[CURVES_METRICS_MAX];
	int rc = curves_init(curves, steps, cut->begin_ms, cut->end_ms);

	for (unsigned i = 0; i < curves->metric_count; i++)
		paths[i] = curves->metrics[i].path;
	reading->series = series_free(reading->series);
	reading->samples = 0;
	if (rc >= 0)
		rc = series_open(reading->dir, reading->begin_ms, reading->end_ms, cut->row_ms, paths,
				 curves->metric_count, &reading->series, err);
	return rc < 0 ? rc : feed_rows(reading, curves, cut);
}

static bool lacks_an_item(const struct curves *curves)
{
	for (unsigned i = 0; i < curves->metric_count; i++)
		if (curves->metrics[i].whole.count == 0 && strchr(curves->metrics[i].path, '['))
			return true;
	return false;
}

static int feed_folder(struct reading *reading, struct curves *curves, unsigned steps, struct err *err)
{
	struct cut cut = cut_make(reading, curves, steps);
	int rc = feed_series(reading, curves, steps, &cut, err);

	/* Of a list the summaries have the first items alone: the samples may know the one that is meant. */
	if (rc >= 0 && cut.row_ms && lacks_an_item(curves)) {
		cut = (struct cut){ 0, reading->begin_ms, reading->end_ms, cut.last_ms };
		curves_reset(curves);
		rc = feed_series(reading, curves, steps, &cut, err);
	}
	return rc;
}

/* What summaries cannot tell is missing where the samples are gone. */
static void tell_not_kept(const struct curves *curves)
{
	for (unsigned i = 0; i < curves->metric_count && curves->summed; i++)
		if (!(curves->metrics[i].known->flags & CATALOG_KEPT))
			cli_fail("%s: the summaries do not keep it, so that it is missing where the samples are gone",
				 curves->metrics[i].path);
}

int feed_curves(struct reading *reading, struct curves *curves, unsigned steps)
{
	struct err err = { 0 };
	int rc = reading->dir ? feed_folder(reading, curves, steps, &err) : feed_files(reading, curves, steps, &err);

	reading_progress_end(reading);
	curves_finish(curves);
	tell_not_kept(curves);
	if (rc < 0)
		return cli_fail("%s", err.text[0] ? err.text : strerror(-rc));
	return CLI_OK;
}
