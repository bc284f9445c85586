/* SPDX-License-Identifier: MIT */
/*
 * The tiers of the log: summaries by the minute in 1m/ and by the hour in 1h/ below the log's directory, in segments
 * like its own. A summary has, for each number that the catalogue marks as kept, [min, average, max, last] where a
 * sample has the number; of a list at most CATALOG_KEPT_ITEMS items:
 *
 *	{"type":"summary","timestamp":"2026-01-02T03:04:00.000Z","span_ms":60000,"count":2,"first_seq":7,"last_seq":8,
 *	"data":{"system":{"cpu":{"usage_percent":[1,2,3,3]}, …}}}
 *
 * with "partial":true where the log was closed within the stretch, and "unsynced":true where its samples were not
 * forced to the disk before. The last summary of the same time whose seq overlap holds. Runs in the log writer's
 * process and may block.
 */
#ifndef AGENT_LOG_TIERS_H
#define AGENT_LOG_TIERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/moment.h>

#include "agent/log/writer.h"

#define TIER_MINUTE_MS	INT64_C(60000)
#define TIER_HOUR_MS	INT64_C(3600000)
#define TIER_MINUTE_DIR "1m"
#define TIER_HOUR_DIR	"1h"

/* The head of a summary. */
struct summary {
	int64_t span_ms;
	uint64_t count, first_seq, last_seq;
	bool partial, unsynced;
};

/* False if the line is no summary. */
bool summary_parse(const char *line, size_t len, struct summary *ret);

/*
 * Divides the bound of a whole log: 60 % for the samples, 35 % for the minutes, 5 % for the hours. Where a share would
 * not hold two segments, segments are smaller.
 */
void tiers_share(const struct writer_config *whole, struct writer_config *samples, struct writer_config *minutes,
		 struct writer_config *hours);

struct tiers;

/* `samples` is the writer of the samples, which has to stay; `whole` as for tiers_share. 0 or -ENOMEM. */
int tiers_new(struct writer *samples, const struct writer_config *whole, struct tiers **ret);

/* Closes both tiers' files. Accepts NULL; returns NULL. */
struct tiers *tiers_free(struct tiers *tiers);

/*
 * Takes up the work of an earlier writer: reads the open minute's samples, and the open hour's minutes. The samples'
 * writer is open. Called before the first tiers_add, again after a failure. 0 or -errno.
 */
int tiers_open(struct tiers *tiers, struct moment now);

/*
 * Adds a sample that was appended to the log; where it begins another minute or hour the summaries of those before are
 * written, after a sync of the samples where the configuration has one as often as that. 0; a positive errno of that
 * sync; or -errno: a summary could not be written and is missing in its tier.
 */
int tiers_add(struct tiers *tiers, const char *line, size_t len, uint64_t seq, struct moment now);

/* As writer_work, for both tiers. */
bool tiers_work(struct tiers *tiers);

/* Writes what is open as partial, and syncs. 0 or -errno. */
int tiers_close(struct tiers *tiers, struct moment now);

struct tiers_stats {
	uint64_t minutes, hours; /* summaries written */
	uint64_t failed;	 /* that could not be written */
	uint64_t items_left_out; /* items of lists beyond those that are kept, once a summary */
};
struct tiers_stats tiers_stats(const struct tiers *tiers);

#endif
