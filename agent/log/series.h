/* SPDX-License-Identifier: MIT */
/*
 * The numbers of a span of the log, oldest first, from whatever holds them best: the samples, or the tiers by the
 * minute and by the hour (tiers.h) where a row stands for that long anyway, or where the samples are gone. The last
 * minutes, which are in no tier yet, come from the samples.
 */
#ifndef AGENT_LOG_SERIES_H
#define AGENT_LOG_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/err.h>

#include "agent/log/reader.h"

#define SERIES_MINUTE_MS INT64_C(60000)
#define SERIES_HOUR_MS	 INT64_C(3600000)
#define SERIES_PATHS_MAX 32

struct series;

struct series_value {
	bool known; /* false: none of the samples of the row has this number; the others are 0 */
	double min, average, max, last;
};

struct series_row {
	int64_t time_ms;	      /* of its sample, or where its stretch of time begins, a multiple of the step */
	int64_t span_ms;	      /* 0: a single sample */
	uint64_t count;		      /* samples in it */
	uint64_t first_seq, last_seq; /* of them; 0: they have none */
	bool gap;		      /* before this row something is missing: a sample says so (PROTOCOL.md, `gap`) */
	/* In the order of the paths; borrowed until the next call. */
	const struct series_value *values;
};

/* What the folders of a log have together. */
struct series_cover {
	int64_t first_ms, last_ms; /* the first and the last moment that a sample or a summary tells of */
	bool minutes, hours;	   /* whether these tiers have anything */
};

/* Looks at the first and last lines alone. False if the log in `dir` has nothing, or cannot be read. */
bool series_look(const char *dir, struct series_cover *ret);

/*
 * Opens the log in `dir` for begin_ms <= time < end_ms (INT64_MIN and INT64_MAX: no limit). A row stands for `step_ms`;
 * 0: for one sample, or for what a tier has where the samples are gone. `paths` as in pick.h, at most SERIES_PATHS_MAX
 * of them. A path that leads to no number of a sample gives unknown values. 0 and *ret, the caller's, or -errno with
 * the reason in `err`.
 */
int series_open(const char *dir, int64_t begin_ms, int64_t end_ms, int64_t step_ms, const char *const paths[],
		size_t count, struct series **ret, struct err *err);

/* Accepts NULL; returns NULL. */
struct series *series_free(struct series *series);

/*
 * The next row that has at least one sample: 1 and *ret, 0 at the end, or -errno. Lines that are no samples are passed
 * over.
 */
int series_next(struct series *series, struct series_row *ret);

/* What was read so far, of all the folders together. */
struct reader_stats series_stats(const struct series *series);

#endif
