/* SPDX-License-Identifier: MIT */
/*
 * The use of the guest over days, from the local metric log: distributions of CPU and memory use, and the growth of
 * each file system. Adding a line is pure; reading the log may take long and block, so a helper process does it and
 * sends the sum.
 */
#ifndef AGENT_METRICS_TREND_H
#define AGENT_METRICS_TREND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Least time between two samples that are counted. */
#define TREND_STRIDE_MS 60000
/* Less than this is no basis for advice. */
#define TREND_ENOUGH_MS	     (INT64_C(24) * 3600 * 1000)
#define TREND_ENOUGH_SAMPLES 60
#define TREND_MOUNTS	     8

/* Shares of 0 to 100 by whole percents. */
struct trend_share {
	uint32_t buckets[101];
	uint64_t count;
	double sum, max;
};

struct trend_mount {
	char path[128];
	int64_t first_ms, last_ms;
	double first_used_gb, last_used_gb, last_total_gb;
};

/* Plain data: it is sent from process to process. */
struct trend {
	int64_t first_ms, last_ms;
	uint64_t samples, bad_lines;
	struct trend_share cpu, memory, swap;
	uint32_t cores;	    /* at the last sample */
	uint64_t memory_kb; /* total, at the last sample */
	uint64_t swap_kb;
	uint32_t mounts_count;
	struct trend_mount mounts[TREND_MOUNTS];
	bool partial;  /* there was no time for all of it */
	int32_t error; /* -errno: the log could not be read */
};

struct pick;

/* The paths of what trend_add takes out of a line. The caller frees; NULL when out of memory. */
struct pick *trend_pick(void);

/* One line of the log, a metrics message. False if nothing of that is in it; then nothing is added. */
bool trend_add(struct trend *trend, const struct pick *pick, const char *line, size_t len, int64_t wall_ms);

/* True if the samples are many enough and reach far enough to say something. */
bool trend_enough(const struct trend *trend);

/* The share that `percent` of the samples do not exceed; 0 without samples. */
double trend_share_percentile(const struct trend_share *share, double percent);
double trend_share_average(const struct trend_share *share);

/*
 * Days until a file system is full if it goes on filling as it did; a negative number: it does not fill, or not enough
 * is known.
 */
double trend_mount_days_left(const struct trend_mount *mount);

/*
 * Advice on the size of the guest, by pure rules over the measured shares. There is no advice without history, and none
 * about resources that were not measured.
 */
#define ADVICE_MAX (2 + TREND_MOUNTS)

struct advice {
	char resource[140]; /* "cpu", "memory", "disk:/var" */
	double current, recommended;
	const char *unit; /* "cores", "MB", "GB": static */
	char reason[200];
	double savings_percent; /* of the resource; 0 when more of it is recommended */
};

/* Fills at most ADVICE_MAX; returns how many. None when trend_enough is false. */
size_t advice_make(const struct trend *trend, struct advice out[ADVICE_MAX]);

struct ev_loop;
struct trend_job;

struct trend_request {
	char dir[4096];
	int64_t begin_ms, end_ms;
	uint64_t limit_ms; /* reads no longer than this */
};

/*
 * Reads the log of `request` in a helper. `done` is called once from the loop, with NULL when the helper died; the job
 * is freed after it. 0 or -errno.
 */
int trend_start(struct ev_loop *loop, const struct trend_request *request,
		void (*done)(void *data, const struct trend *trend), void *data, struct trend_job **ret);

/* Ends it without calling `done`. NULL is accepted; always returns NULL. */
struct trend_job *trend_cancel(struct trend_job *job);

#endif
