/* SPDX-License-Identifier: MIT */
/*
 * The minute is summed from samples, the hour from minutes. A stretch ends with the first sample of another one, so
 * that a clock that goes back ends it too; its summary is written before that sample is added.
 */
#include "agent/log/tiers.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/log/pick.h"
#include "agent/log/reader.h"
#include "agent/log/scan.h"
#include "agent/log/sums.h"

/* Samples that are read again at a start go back so far at most. */
#define REBUILD_MS TIER_HOUR_MS
/* Where the configuration syncs less often than this, summaries are written before their samples are synced. */
#define SYNC_WITH_SUMMARY_NS (60 * NS_PER_S)

struct tier {
	struct writer writer;
	struct sums *sums;
	int64_t span_ms;
	bool open; /* there is a stretch in `sums` */
	size_t len;
	char line[SUMS_LINE_MAX]; /* the last summary */
};

struct tiers {
	struct writer *samples;
	struct tier minute, hour;
	struct pick *pick;
	struct tiers_stats stats;
	bool ready;	    /* tiers_open was called */
	bool hour_unsynced; /* a minute of the open hour was */
	uint64_t last_seq;  /* of the samples added */
};

/* ----------------------------------------------------------------------------------------------------- summaries */

static bool head_number(const char *line, const char *end, const char *key, uint64_t *ret)
{
	const char *at = memmem(line, (size_t)(end - line), key, strlen(key));
	uint64_t value = 0;

	if (!at)
		return false;
	for (at += strlen(key); at < end && *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(value, 10U, &value) ||
		    __builtin_add_overflow(value, (unsigned)(*at - '0'), &value))
			return false;
	*ret = value;
	return at < end && (*at == ',' || *at == '}') && value > 0;
}

bool summary_parse(const char *line, size_t len, struct summary *ret)
{
	static const char begin[] = "{\"type\":\"summary\",", data[] = ",\"data\":{";
	struct summary summary = { 0 };
	const char *end;
	uint64_t span;

	if (len < sizeof(begin) || memcmp(line, begin, sizeof(begin) - 1) != 0)
		return false;
	end = memmem(line, len < 512 ? len : 512, data, sizeof(data) - 1);
	if (!end || !head_number(line, end + 1, "\"span_ms\":", &span) || span > INT_MAX ||
	    !head_number(line, end + 1, "\"count\":", &summary.count) ||
	    !head_number(line, end + 1, "\"first_seq\":", &summary.first_seq) ||
	    !head_number(line, end + 1, "\"last_seq\":", &summary.last_seq))
		return false;
	summary.span_ms = (int64_t)span;
	summary.partial = memmem(line, (size_t)(end + 1 - line), "\"partial\":true,", 15) != NULL;
	summary.unsynced = memmem(line, (size_t)(end + 1 - line), "\"unsynced\":true,", 16) != NULL;
	*ret = summary;
	return true;
}

static int64_t floor_to(int64_t ms, int64_t span)
{
	return ms - ms % span;
}

/* ------------------------------------------------------------------------------------------------------- set-up */

static void share(const struct writer_config *whole, const char *subdir, uint64_t percent, struct writer_config *ret)
{
	*ret = *whole;
	if (*subdir && (size_t)snprintf(ret->dir, sizeof(ret->dir), "%s/%s", whole->dir, subdir) >= sizeof(ret->dir))
		*ret->dir = '\0';
	ret->max_total_bytes = whole->max_total_bytes / 100 * percent;
	if (ret->segment_bytes > ret->max_total_bytes / (*subdir ? 8 : 2))
		ret->segment_bytes = ret->max_total_bytes / (*subdir ? 8 : 2);
}

void tiers_share(const struct writer_config *whole, struct writer_config *samples, struct writer_config *minutes,
		 struct writer_config *hours)
{
	share(whole, "", 60, samples);
	share(whole, TIER_MINUTE_DIR, 35, minutes);
	share(whole, TIER_HOUR_DIR, 5, hours);
	/* They are synced when there is reason to: what a loss of power takes is made again from the samples. */
	minutes->sync = hours->sync = whole->sync == LOG_SYNC_NONE ? LOG_SYNC_NONE : LOG_SYNC_INTERVAL;
	minutes->sync_interval_ns = hours->sync_interval_ns = UINT64_MAX;
}

int tiers_new(struct writer *samples, const struct writer_config *whole, struct tiers **ret)
{
	struct tiers *t = calloc(1, sizeof(*t));
	struct writer_config mine, minutes, hours;

	if (!t)
		return -ENOMEM;
	t->samples = samples;
	t->minute.span_ms = TIER_MINUTE_MS;
	t->hour.span_ms = TIER_HOUR_MS;
	t->pick = sums_pick();
	t->minute.sums = sums_new();
	t->hour.sums = sums_new();
	tiers_share(whole, &mine, &minutes, &hours);
	writer_init(&t->minute.writer, &minutes);
	writer_init(&t->hour.writer, &hours);
	if (!t->pick || !t->minute.sums || !t->hour.sums) {
		tiers_free(t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

struct tiers *tiers_free(struct tiers *t)
{
	struct moment never = { 0 };

	if (!t)
		return NULL;
	writer_close(&t->minute.writer, never);
	writer_close(&t->hour.writer, never);
	sums_free(t->minute.sums);
	sums_free(t->hour.sums);
	pick_free(t->pick);
	free(t);
	return NULL;
}

struct tiers_stats tiers_stats(const struct tiers *t)
{
	return t->stats;
}

/* ------------------------------------------------------------------------------------------------------ writing */

/* Writes the stretch that is open in a tier; its text stays in tier->line. 0 or -errno. */
static int summary_write(struct tiers *t, struct tier *tier, bool partial, bool unsynced, struct moment now)
{
	struct moment begin = { .mono_ns = now.mono_ns, .wall_ms = sums_begin_ms(tier->sums) };
	struct summary head;
	int rc;

	tier->open = false;
	t->stats.items_left_out += sums_left_out(tier->sums);
	tier->len = sums_write(tier->sums, tier->span_ms, partial, unsynced, tier->line);
	if (!tier->len || !summary_parse(tier->line, tier->len - 1, &head)) {
		t->stats.failed++;
		return -E2BIG;
	}
	rc = writer_append(&tier->writer, tier->line, tier->len, head.last_seq, begin);
	if (rc < 0)
		t->stats.failed++;
	else
		++*(tier == &t->minute ? &t->stats.minutes : &t->stats.hours);
	return rc < 0 ? rc : 0;
}

/*
 * Forces the samples of a stretch to the disk where that is done as often as a minute anyway. Tells whether they are
 * there; *ret_error: the errno of a sync that failed.
 */
static bool samples_synced(struct tiers *t, struct moment now, int *ret_error)
{
	const struct writer_config *config = &t->samples->config;

	if (config->sync == LOG_SYNC_INTERVAL && config->sync_interval_ns <= SYNC_WITH_SUMMARY_NS)
		*ret_error = -writer_sync(t->samples, now);
	return config->sync != LOG_SYNC_NONE && *ret_error == 0 && !t->samples->dirty;
}

/* The end of an hour: its summary, and both tiers on the disk. */
static int hour_close(struct tiers *t, bool partial, bool unsynced, struct moment now)
{
	int rc = summary_write(t, &t->hour, partial, unsynced, now);
	int minute_rc = writer_sync(&t->minute.writer, now), hour_rc = writer_sync(&t->hour.writer, now);

	return rc < 0 ? rc : minute_rc < 0 ? minute_rc : hour_rc;
}

/* Adds a minute's summary to its hour, and ends the hour before it. */
static int hour_add(struct tiers *t, const char *line, size_t len, int64_t begin_ms, bool unsynced, struct moment now)
{
	int64_t hour = floor_to(begin_ms, TIER_HOUR_MS);
	int rc = 0;

	if (t->hour.open && sums_begin_ms(t->hour.sums) != hour)
		rc = hour_close(t, false, t->hour_unsynced, now);
	if (!t->hour.open) {
		sums_reset(t->hour.sums, hour);
		t->hour.open = true;
		t->hour_unsynced = false;
	}
	t->hour_unsynced |= unsynced;
	sums_add_summary(t->hour.sums, t->pick, line, len);
	return rc;
}

/* The end of a minute. 0, a positive errno of the samples' sync, or -errno. */
static int minute_close(struct tiers *t, bool partial, struct moment now)
{
	int64_t begin_ms = sums_begin_ms(t->minute.sums);
	int sync_error = 0, rc, hour_rc = 0;
	bool unsynced = !samples_synced(t, now, &sync_error);

	rc = summary_write(t, &t->minute, partial, unsynced, now);
	if (t->minute.len)
		hour_rc = hour_add(t, t->minute.line, t->minute.len - 1, begin_ms, unsynced, now);
	return rc < 0 ? rc : hour_rc < 0 ? hour_rc : sync_error;
}

static int sample_add(struct tiers *t, const char *line, size_t len, uint64_t seq, int64_t wall_ms, struct moment now)
{
	int64_t minute = floor_to(wall_ms, TIER_MINUTE_MS);
	int rc = 0;

	if (t->minute.open && sums_begin_ms(t->minute.sums) != minute)
		rc = minute_close(t, false, now);
	if (t->hour.open && sums_begin_ms(t->hour.sums) != floor_to(wall_ms, TIER_HOUR_MS)) {
		int hour_rc = hour_close(t, false, t->hour_unsynced, now);

		rc = rc < 0 ? rc : hour_rc < 0 ? hour_rc : rc;
	}
	if (!t->minute.open) {
		sums_reset(t->minute.sums, minute);
		t->minute.open = true;
	}
	sums_add_sample(t->minute.sums, t->pick, line, len, seq);
	t->last_seq = seq;
	return rc;
}

int tiers_add(struct tiers *t, const char *line, size_t len, uint64_t seq, struct moment now)
{
	int rc = t->ready ? 0 : tiers_open(t, now);

	if (!seq || seq <= t->last_seq)
		return rc;
	return sample_add(t, line, len, seq, now.wall_ms, now);
}

bool tiers_work(struct tiers *t)
{
	return writer_work(&t->minute.writer) || writer_work(&t->hour.writer);
}

int tiers_close(struct tiers *t, struct moment now)
{
	int rc = t->minute.open ? minute_close(t, true, now) : 0, hour_rc = 0;

	if (t->hour.open)
		hour_rc = hour_close(t, true, t->hour_unsynced, now);
	return rc ? -abs(rc) : hour_rc;
}

/* ----------------------------------------------------------------------------------------------------- recovery */

static void reader_freep(struct reader **reader)
{
	reader_free(*reader);
}

/* The begin of the last hour whose summary is whole, from `from_ms` on; INT64_MIN: none. */
static int64_t last_hour(const struct tiers *t, int64_t from_ms)
{
	_cleanup_(reader_freep) struct reader *reader = NULL;
	struct reader_line line;
	struct summary head;
	int64_t last = INT64_MIN;

	if (reader_open_dir(t->hour.writer.config.dir, &reader, NULL) < 0)
		return last;
	reader_range(reader, from_ms, INT64_MAX);
	while (reader_next(reader, &line) > 0)
		if (summary_parse(line.text, line.len, &head) && !head.partial)
			last = line.wall_ms;
	return last;
}

/*
 * Sums the minutes behind the last whole hour again. *ret_seq: the last sample that is in a whole minute. Of a minute
 * that was closed as partial and went on, the later summary is taken; a partial one at the end is made again from its
 * samples.
 */
static int minutes_again(struct tiers *t, int64_t from_ms, struct moment now, uint64_t *ret_seq)
{
	_cleanup_(reader_freep) struct reader *reader = NULL;
	_cleanup_(freep) char *held = NULL;
	int64_t done_hour = last_hour(t, from_ms), held_ms = 0;
	struct summary held_head = { 0 }, head;
	struct reader_line line;
	int rc = reader_open_dir(t->minute.writer.config.dir, &reader, NULL);

	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	reader_range(reader, from_ms, INT64_MAX);
	while ((rc = reader_next(reader, &line)) > 0) {
		if (!summary_parse(line.text, line.len, &head))
			continue;
		if (held && (held_ms != line.wall_ms || head.first_seq > held_head.last_seq) &&
		    floor_to(held_ms, TIER_HOUR_MS) > done_hour)
			hour_add(t, held, strlen(held), held_ms, held_head.unsynced, now);
		free(held);
		held = strdup(line.text);
		if (!held)
			return -ENOMEM;
		held_ms = line.wall_ms;
		held_head = head;
	}
	if (!held)
		return rc;
	*ret_seq = held_head.partial ? held_head.first_seq - 1 : held_head.last_seq;
	if (!held_head.partial && floor_to(held_ms, TIER_HOUR_MS) > done_hour)
		hour_add(t, held, strlen(held), held_ms, held_head.unsynced, now);
	return rc;
}

static int samples_again(struct tiers *t, int64_t from_ms, uint64_t done_seq, struct moment now)
{
	_cleanup_(reader_freep) struct reader *reader = NULL;
	struct reader_line line;
	int rc = reader_open_dir(t->samples->config.dir, &reader, NULL);

	if (rc < 0)
		return rc;
	t->last_seq = done_seq;
	reader_range(reader, from_ms, INT64_MAX);
	while ((rc = reader_next(reader, &line)) > 0)
		if (line.seq > t->last_seq)
			sample_add(t, line.text, line.len, line.seq, line.wall_ms, now);
	return rc;
}

int tiers_open(struct tiers *t, struct moment now)
{
	int64_t last_ms = t->samples->last_wall_ms, from_ms;
	uint64_t done_seq = 0;
	int rc;

	t->ready = true;
	rc = writer_open(&t->minute.writer);
	if (rc == 0)
		rc = writer_open(&t->hour.writer);
	if (rc < 0 || last_ms < 0)
		return rc;
	from_ms = floor_to(last_ms - REBUILD_MS, TIER_HOUR_MS);
	rc = minutes_again(t, from_ms, now, &done_seq);
	return rc < 0 ? rc : samples_again(t, from_ms, done_seq, now);
}
