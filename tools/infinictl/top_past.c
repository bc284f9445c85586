/* SPDX-License-Identifier: MIT */
/* The reader goes on alone: for a step back it is opened anew, a little before, and more if there was no sample. */
#include "tools/infinictl/top_past.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/catalog/expr.h"
#include "agent/log/pick.h"
#include "agent/log/reader.h"
#include "agent/log/scan.h"
#include "tools/infinictl/text.h"

#define BACK_MS	   INT64_C(60000) /* the first look back */
#define BACK_TIMES 8		  /* each further one is so many times longer */
#define BACK_MOST  (INT64_C(1) << 42)
#define FIND_LINES 500

struct past {
	const char *dir;
	char *const *files;
	int count;
	int64_t end_ms;
	struct reader *reader; /* behind the sample of `read_ms`; NULL: none is open */
	int64_t read_ms;
	struct reader *finder;
	uint64_t bad_lines, torn_tails, bad_frames, unreadable; /* the most that one of the readers met */
	char why[sizeof(((struct err *)0)->text)];
	struct pick *pick;
	struct expr expr;
};

static int open_reader(const struct past *past, int64_t begin_ms, int64_t end_ms, struct reader **ret, struct err *err)
{
	int rc = past->dir ? reader_open_dir(past->dir, ret, err)
			   : reader_open_files(past->files, (size_t)past->count, ret, err);

	if (!rc)
		reader_range(*ret, begin_ms, end_ms < past->end_ms ? end_ms : past->end_ms);
	return rc;
}

static void keep_most(uint64_t *most, uint64_t count)
{
	if (count > *most)
		*most = count;
}

/* Accepts NULL; returns NULL. */
static struct reader *close_reader(struct past *past, struct reader *reader)
{
	struct reader_stats stats;

	if (!reader)
		return NULL;
	stats = reader_stats(reader);
	keep_most(&past->bad_lines, stats.bad_lines);
	keep_most(&past->torn_tails, stats.torn_tails);
	keep_most(&past->bad_frames, stats.bad_frames);
	keep_most(&past->unreadable, stats.unreadable);
	if (stats.unreadable)
		memcpy(past->why, stats.why, sizeof(past->why));
	return reader_free(reader);
}

bool past_left_out(struct past *past, char *out, size_t size)
{
	past->reader = close_reader(past, past->reader);
	past->finder = close_reader(past, past->finder);
	snprintf(out, size,
		 "left out: damaged lines %llu, damaged frames %llu, files that end inside a line %llu, files that "
		 "could "
		 "not be read %llu%s%s",
		 (unsigned long long)past->bad_lines, (unsigned long long)past->bad_frames,
		 (unsigned long long)past->torn_tails, (unsigned long long)past->unreadable, past->why[0] ? ": " : "",
		 past->why);
	return past->bad_lines || past->bad_frames || past->torn_tails || past->unreadable;
}

int past_open(const char *dir, char *const files[], int count, int64_t end_ms, struct past **ret, struct err *err)
{
	struct past *past = calloc(1, sizeof(*past));
	int rc;

	if (!past)
		return err_set(err, -ENOMEM, "out of memory");
	*past = (struct past){ .dir = dir, .files = files, .count = count, .end_ms = end_ms };
	rc = open_reader(past, INT64_MIN, INT64_MAX, &past->reader, err);
	past->read_ms = INT64_MIN;
	if (rc)
		past_free(past);
	else
		*ret = past;
	return rc;
}

struct past *past_free(struct past *past)
{
	if (!past)
		return NULL;
	reader_free(past->reader);
	reader_free(past->finder);
	pick_free(past->pick);
	free(past);
	return NULL;
}

static bool is_sample(const struct reader_line *line)
{
	struct scan scan;

	return scan_line(line->text, line->len, &scan) && !strcmp(scan.type, "metrics");
}

int past_after(struct past *past, int64_t after_ms, struct json_object **ret, int64_t *ret_ms)
{
	struct err err = { 0 };
	struct reader_line line;
	int rc = 0;

	if (!past->reader || past->read_ms != after_ms) {
		past->reader = close_reader(past, past->reader);
		rc = open_reader(past, after_ms < INT64_MAX ? after_ms + 1 : after_ms, INT64_MAX, &past->reader, &err);
		past->read_ms = after_ms;
	}
	while (!rc && (rc = reader_next(past->reader, &line)) == 1) {
		rc = 0;
		if (line.wall_ms <= after_ms || !is_sample(&line))
			continue;
		*ret = text_parse(line.text, line.len);
		if (!*ret)
			continue;
		*ret_ms = past->read_ms = line.wall_ms;
		return 1;
	}
	return rc;
}

/* The last sample of a span: 1 with it, 0 or -errno. */
static int last_within(struct past *past, int64_t begin_ms, int64_t end_ms, struct json_object **ret, int64_t *ret_ms)
{
	struct err err = { 0 };
	struct reader_line line;
	struct reader *reader;
	int rc = open_reader(past, begin_ms, end_ms, &reader, &err);

	*ret = NULL;
	if (rc)
		return rc;
	while ((rc = reader_next(reader, &line)) == 1) {
		struct json_object *message = is_sample(&line) ? text_parse(line.text, line.len) : NULL;

		if (!message)
			continue;
		json_object_put(*ret);
		*ret = message;
		*ret_ms = line.wall_ms;
	}
	close_reader(past, reader);
	return *ret ? 1 : rc;
}

/* The end of the log, or INT64_MAX where only reading tells it. */
static int64_t end_of(const struct past *past)
{
	int64_t first, last, end = INT64_MAX;
	struct err err = { 0 };
	struct reader *reader;

	if (open_reader(past, INT64_MIN, INT64_MAX, &reader, &err))
		return end;
	if (reader_times(reader, &first, &last) && last < INT64_MAX)
		end = last + 1;
	reader_free(reader);
	return end;
}

int past_before(struct past *past, int64_t before_ms, struct json_object **ret, int64_t *ret_ms)
{
	int64_t end = before_ms == INT64_MAX ? end_of(past) : before_ms;

	if (end > past->end_ms)
		end = past->end_ms;
	for (int64_t back = BACK_MS; back < BACK_MOST; back *= BACK_TIMES) {
		int64_t begin = end > INT64_MIN + back ? end - back : INT64_MIN;
		int rc = last_within(past, begin, end, ret, ret_ms);

		if (rc)
			return rc;
		end = begin;
	}
	return last_within(past, INT64_MIN, end, ret, ret_ms);
}

/* ---------------------------------------------------------------------------------------------------------- search */

int past_find_begin(struct past *past, int64_t after_ms, const char *condition, struct err *err)
{
	int rc = expr_parse(condition, strlen(condition), NULL, &past->expr, err);

	pick_free(past->pick);
	past->finder = close_reader(past, past->finder);
	past->pick = pick_new();
	if (!past->pick)
		return err_set(err, -ENOMEM, "out of memory");
	for (unsigned i = 0; !rc && i < past->expr.metric_count; i++) {
		int added = pick_add(past->pick, past->expr.metrics[i], err);

		rc = added < 0 ? added : 0;
	}
	return rc ? rc
		  : open_reader(past, after_ms < INT64_MAX ? after_ms + 1 : after_ms, INT64_MAX, &past->finder, err);
}

static void on_value(void *data, unsigned path, struct pick_text key, struct pick_text text)
{
	struct expr_value *value = (struct expr_value *)data + path;

	(void)key;
	value->known = pick_number(text, &value->value);
}

static bool holds(const struct past *past, const struct reader_line *line)
{
	struct expr_value values[EXPR_METRICS_MAX] = { { 0 } };

	if (!is_sample(line))
		return false;
	pick_line(past->pick, line->text, line->len, on_value, values);
	return expr_eval(&past->expr, values) == EXPR_TRUE;
}

int past_find(struct past *past, struct json_object **ret, int64_t *ret_ms)
{
	struct reader_line line;

	for (unsigned i = 0; i < FIND_LINES; i++) {
		int rc = reader_next(past->finder, &line);

		if (rc != 1)
			return rc;
		*ret_ms = line.wall_ms;
		if (!holds(past, &line))
			continue;
		*ret = text_parse(line.text, line.len);
		if (*ret)
			return 1;
	}
	return -EAGAIN;
}
