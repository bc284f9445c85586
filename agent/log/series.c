/* SPDX-License-Identifier: MIT */
/*
 * The span is cut into stages, each read from one folder; where two folders meet, the coarser one goes on to the end of
 * its stretch, so that no sample counts twice. What the stages give is summed to rows of the step.
 */
#include "agent/log/series.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/log/pick.h"
#include "agent/log/tiers.h"

#define STAGES_MAX 8
#define HEAD_BYTES 512 /* of a sample: `gap` stands in front of `data` */

enum level { SAMPLES, MINUTES, HOURS, LEVELS };

static const int64_t spans[LEVELS] = { 0, TIER_MINUTE_MS, TIER_HOUR_MS };

struct stage {
	enum level level;
	int64_t from_ms, to_ms;
};

/* A sample, a summary, or a row that is being summed. */
struct item {
	int64_t time_ms, span_ms;
	uint64_t count, first_seq, last_seq;
	bool gap;
	struct series_value values[SERIES_PATHS_MAX];
	uint64_t weights[SERIES_PATHS_MAX]; /* samples that each average stands for */
};

struct series {
	char dir[PATH_MAX];
	int64_t begin_ms, end_ms, step_ms;
	struct pick *pick;
	unsigned count;
	unsigned stages, stage; /* how many; the next one to open */
	struct stage stage_list[STAGES_MAX];
	enum level level; /* of `reader` */
	struct reader *reader;
	struct reader_stats stats; /* of the readers before it */
	struct item held, row, out;
	bool has_held, has_row;
};

/* ------------------------------------------------------------------------------------------------------- stages */

static int level_dir(const char *dir, enum level level, char out[PATH_MAX])
{
	static const char *const names[] = { "", "/" TIER_MINUTE_DIR, "/" TIER_HOUR_DIR };

	return snprintf(out, PATH_MAX, "%s%s", dir, names[level]) >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* What a folder holds: the time of its first line, and where its last whole stretch ends, and its last one. */
struct cover {
	int64_t first_ms, end_ms, partial_end_ms;
};

static struct cover cover_of(const char *log_dir, enum level level)
{
	struct cover cover = { INT64_MAX, INT64_MIN, INT64_MIN };
	struct reader *reader;
	struct reader_line line;
	struct summary head;
	char dir[PATH_MAX];
	int64_t last_ms;

	if (level_dir(log_dir, level, dir) < 0 || reader_open_dir(dir, &reader, NULL) < 0)
		return cover;
	if (reader_times(reader, &cover.first_ms, &last_ms)) {
		cover.end_ms = cover.partial_end_ms = last_ms;
		if (level != SAMPLES)
			reader_range(reader, last_ms, INT64_MAX);
		/* A stretch that was closed as partial may have gone on: its samples are read. */
		while (level != SAMPLES && reader_next(reader, &line) > 0)
			if (summary_parse(line.text, line.len, &head)) {
				cover.partial_end_ms = line.wall_ms + spans[level];
				cover.end_ms = head.partial ? line.wall_ms : cover.partial_end_ms;
			}
	} else {
		cover.first_ms = INT64_MAX;
	}
	reader_free(reader);
	return cover;
}

static int64_t round_up(int64_t ms, int64_t span)
{
	return ms > INT64_MAX - span ? INT64_MAX : (ms + span - 1) / span * span;
}

static int64_t round_down(int64_t ms, int64_t span)
{
	return ms == INT64_MAX || ms < 0 ? ms : ms - ms % span;
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static void stage_add(struct series *s, enum level level, int64_t from_ms, int64_t to_ms)
{
	from_ms = most(from_ms, s->begin_ms);
	if (level != SAMPLES)
		from_ms = round_down(from_ms, spans[level]); /* the stretch that it is in */
	to_ms = least(to_ms, s->end_ms);
	if (from_ms < to_ms && s->stages < STAGES_MAX)
		s->stage_list[s->stages++] = (struct stage){ level, from_ms, to_ms };
}

/* From the oldest to the newest: the hours that nothing finer has, and so on. */
static void stages_plan(struct series *s)
{
	struct cover samples = cover_of(s->dir, SAMPLES), minutes = cover_of(s->dir, MINUTES),
		     hours = cover_of(s->dir, HOURS);
	int64_t finer = least(samples.first_ms, minutes.first_ms), at;

	/* What is partial tells most where nothing finer is there. */
	if (samples.first_ms == INT64_MAX)
		minutes.end_ms = minutes.partial_end_ms;
	if (finer == INT64_MAX)
		hours.end_ms = hours.partial_end_ms;
	at = finer;
	if (hours.first_ms < round_down(finer, TIER_HOUR_MS)) {
		at = least(round_up(finer, TIER_HOUR_MS), hours.end_ms);
		stage_add(s, HOURS, hours.first_ms, at);
	}
	if (s->step_ms >= TIER_HOUR_MS && hours.first_ms < hours.end_ms) {
		/* What is older than the first whole hour, then all hours. */
		stage_add(s, SAMPLES, most(at, samples.first_ms), least(hours.first_ms, minutes.first_ms));
		stage_add(s, MINUTES, most(at, minutes.first_ms), hours.first_ms);
		stage_add(s, HOURS, most(at, hours.first_ms), hours.end_ms);
		at = most(at, hours.end_ms);
	}
	if (s->step_ms >= TIER_MINUTE_MS && minutes.first_ms < minutes.end_ms) {
		stage_add(s, SAMPLES, most(at, samples.first_ms), most(at, minutes.first_ms));
		stage_add(s, MINUTES, most(at, minutes.first_ms), minutes.end_ms);
		at = most(at, minutes.end_ms);
	} else if (minutes.first_ms < round_down(samples.first_ms, TIER_MINUTE_MS)) {
		int64_t to = least(round_up(samples.first_ms, TIER_MINUTE_MS), minutes.end_ms);

		stage_add(s, MINUTES, most(at, minutes.first_ms), to);
		at = most(at, to);
	}
	/* Without tiers all of them: a time may lie before the first one's, and unreadable files have to be told of. */
	stage_add(s, SAMPLES,
		  !s->stages			  ? INT64_MIN
		  : samples.first_ms == INT64_MAX ? at
						  : most(at, samples.first_ms),
		  INT64_MAX);
}

bool series_look(const char *dir, struct series_cover *ret)
{
	struct cover samples = cover_of(dir, SAMPLES), minutes = cover_of(dir, MINUTES), hours = cover_of(dir, HOURS);

	*ret = (struct series_cover){
		.first_ms = samples.first_ms,
		.last_ms = samples.end_ms,
		.minutes = minutes.first_ms < minutes.partial_end_ms,
		.hours = hours.first_ms < hours.partial_end_ms,
	};
	/* A stretch that holds the first of what is finer begins before it. */
	if (minutes.first_ms < round_down(ret->first_ms, TIER_MINUTE_MS))
		ret->first_ms = minutes.first_ms;
	if (hours.first_ms < round_down(ret->first_ms, TIER_HOUR_MS))
		ret->first_ms = hours.first_ms;
	if (samples.end_ms == INT64_MIN && (ret->minutes || ret->hours))
		ret->last_ms = (ret->minutes ? minutes : hours).partial_end_ms - 1;
	return ret->first_ms <= ret->last_ms;
}

/* -------------------------------------------------------------------------------------------------------- open */

int series_open(const char *dir, int64_t begin_ms, int64_t end_ms, int64_t step_ms, const char *const paths[],
		size_t count, struct series **ret, struct err *err)
{
	struct series *s = calloc(1, sizeof(*s));
	int rc = s ? 0 : -ENOMEM, test;

	if (rc < 0)
		return err_set(err, rc, "out of memory");
	s->begin_ms = begin_ms;
	s->end_ms = end_ms;
	s->step_ms = step_ms > 0 ? step_ms : 0;
	s->count = (unsigned)count;
	s->pick = pick_new();
	if (!s->pick)
		rc = err_set(err, -ENOMEM, "out of memory");
	else if (count > SERIES_PATHS_MAX)
		rc = err_set(err, -E2BIG, "more than %d metrics", SERIES_PATHS_MAX);
	else if ((size_t)snprintf(s->dir, sizeof(s->dir), "%s", dir) >= sizeof(s->dir))
		rc = err_set(err, -ENAMETOOLONG, "%.100s: too long a name", dir);
	for (size_t i = 0; i < count && rc >= 0; i++)
		rc = pick_add(s->pick, paths[i], err);
	if (rc >= 0) {
		struct reader *reader = NULL;

		test = reader_open_dir(dir, &reader, err);
		reader_free(reader);
		rc = test < 0 ? test : 0;
	}
	if (rc < 0) {
		series_free(s);
		return rc;
	}
	stages_plan(s);
	*ret = s;
	return 0;
}

struct series *series_free(struct series *s)
{
	if (!s)
		return NULL;
	reader_free(s->reader);
	pick_free(s->pick);
	free(s);
	return NULL;
}

static void stats_add(struct reader_stats *sum, const struct reader_stats *one)
{
	sum->files += one->files;
	sum->lines += one->lines;
	sum->bad_lines += one->bad_lines;
	sum->torn_tails += one->torn_tails;
	sum->bad_frames += one->bad_frames;
	if (one->unreadable && !sum->unreadable) {
		memcpy(sum->why, one->why, sizeof(sum->why));
		sum->error = one->error;
	}
	sum->unreadable += one->unreadable;
}

struct reader_stats series_stats(const struct series *s)
{
	struct reader_stats sum = s->stats, now;

	if (s->reader) {
		now = reader_stats(s->reader);
		stats_add(&sum, &now);
	}
	return sum;
}

/* ------------------------------------------------------------------------------------------------------- items */

static void take_sample(void *data, unsigned path, struct pick_text key, struct pick_text text)
{
	struct series_value *value = &((struct item *)data)->values[path];

	(void)key;
	value->known = pick_number(text, &value->last);
	value->min = value->average = value->max = value->last;
}

static void take_summary(void *data, unsigned path, struct pick_text key, struct pick_text text)
{
	struct series_value *value = &((struct item *)data)->values[path];
	double four[4];

	(void)key;
	value->known = pick_numbers(text, four, 4);
	if (value->known)
		*value = (struct series_value){ true, four[0], four[1], four[2], four[3] };
}

/* The line as an item; false: it is none. */
static bool item_take(struct series *s, const struct reader_line *line, struct item *item)
{
	static const char gap[] = "\"gap\":";
	struct summary head;

	for (unsigned i = 0; i < s->count; i++)
		item->values[i].known = false;
	item->time_ms = line->wall_ms;
	item->span_ms = 0;
	item->count = 1;
	item->first_seq = item->last_seq = line->seq;
	item->gap = false;
	if (s->level != SAMPLES) {
		if (!summary_parse(line->text, line->len, &head))
			return false;
		item->span_ms = head.span_ms;
		item->count = head.count;
		item->first_seq = head.first_seq;
		item->last_seq = head.last_seq;
	} else if (!line->sample) {
		return false;
	} else if (memmem(line->text, line->len < HEAD_BYTES ? line->len : HEAD_BYTES, gap, sizeof(gap) - 1)) {
		item->gap = true;
	}
	pick_line(s->pick, line->text, line->len, s->level == SAMPLES ? take_sample : take_summary, item);
	for (unsigned i = 0; i < s->count; i++)
		item->weights[i] = item->values[i].known ? item->count : 0;
	return true;
}

/* Opens the next stage. 1, 0: there is none, or -errno. */
static int stage_open(struct series *s)
{
	while (s->stage < s->stages) {
		const struct stage *stage = &s->stage_list[s->stage++];
		char dir[PATH_MAX];
		int rc = level_dir(s->dir, stage->level, dir);

		if (rc == 0)
			rc = reader_open_dir(dir, &s->reader, NULL);
		if (rc == -ENOENT)
			continue;
		if (rc < 0)
			return rc;
		s->level = stage->level;
		reader_range(s->reader, stage->from_ms, stage->to_ms);
		return 1;
	}
	return 0;
}

/* The next line of all the stages. 1, 0 or -errno. */
static int item_read(struct series *s, struct item *item)
{
	struct reader_line line;
	int rc;

	for (;;) {
		struct reader_stats stats;

		if (!s->reader && (rc = stage_open(s)) <= 0)
			return rc;
		while ((rc = reader_next(s->reader, &line)) > 0)
			if (item_take(s, &line, item))
				return 1;
		if (rc < 0)
			return rc;
		stats = reader_stats(s->reader);
		stats_add(&s->stats, &stats);
		s->reader = reader_free(s->reader);
	}
}

/* As item_read, without the partial summaries that a later one of the same stretch took the place of. */
static int item_next(struct series *s, struct item *item)
{
	int rc;

	while ((rc = item_read(s, item)) > 0) {
		struct item swap;

		if (!s->has_held) {
			s->held = *item;
			s->has_held = true;
			continue;
		}
		if (item->span_ms && item->span_ms == s->held.span_ms && item->time_ms == s->held.time_ms &&
		    item->first_seq <= s->held.last_seq) {
			s->held = *item;
			continue;
		}
		swap = s->held;
		s->held = *item;
		*item = swap;
		return 1;
	}
	if (rc < 0 || !s->has_held)
		return rc;
	*item = s->held;
	s->has_held = false;
	return 1;
}

/* --------------------------------------------------------------------------------------------------------- rows */

static void row_add(struct series *s, const struct item *item)
{
	struct item *row = &s->row;

	row->count += item->count;
	row->last_seq = item->last_seq;
	row->gap |= item->gap;
	for (unsigned i = 0; i < s->count; i++) {
		struct series_value *sum = &row->values[i];
		const struct series_value *value = &item->values[i];
		double weight = (double)item->weights[i], before = (double)row->weights[i];

		if (!value->known)
			continue;
		if (!sum->known) {
			*sum = *value;
		} else {
			sum->min = fmin(sum->min, value->min);
			sum->max = fmax(sum->max, value->max);
			sum->average = (sum->average * before + value->average * weight) / (before + weight);
			sum->last = value->last;
		}
		row->weights[i] += item->weights[i];
	}
}

static int64_t row_time(const struct series *s, const struct item *item)
{
	return s->step_ms ? item->time_ms - item->time_ms % s->step_ms : item->time_ms;
}

static void row_begin(struct series *s, const struct item *item)
{
	s->row = *item;
	s->row.time_ms = row_time(s, item);
	s->row.span_ms = s->step_ms > item->span_ms ? s->step_ms : item->span_ms;
	s->has_row = true;
}

static void row_give(struct series *s, struct series_row *ret)
{
	s->out = s->row;
	for (unsigned i = 0; i < s->count; i++)
		if (!s->out.values[i].known)
			s->out.values[i] = (struct series_value){ 0 };
	*ret = (struct series_row){
		.time_ms = s->out.time_ms,
		.span_ms = s->out.span_ms,
		.count = s->out.count,
		.first_seq = s->out.first_seq,
		.last_seq = s->out.last_seq,
		.gap = s->out.gap,
		.values = s->out.values,
	};
}

int series_next(struct series *s, struct series_row *ret)
{
	struct item item;
	int rc;

	while ((rc = item_next(s, &item)) > 0) {
		bool same = s->has_row && s->step_ms && row_time(s, &item) == s->row.time_ms;

		if (same) {
			row_add(s, &item);
			continue;
		}
		if (s->has_row)
			row_give(s, ret);
		rc = s->has_row;
		row_begin(s, &item);
		if (rc)
			return 1;
	}
	if (rc < 0 || !s->has_row)
		return rc;
	row_give(s, ret);
	s->has_row = false;
	return 1;
}
