/* SPDX-License-Identifier: MIT */
/*
 * The sums of the kept numbers over a stretch of time, and the summary they become. Pure but for its allocation.
 */
#ifndef AGENT_LOG_SUMS_H
#define AGENT_LOG_SUMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/catalog/catalog.h"
#include "agent/log/pick.h"

/* A summary with all that can be kept, names of items at their longest. */
#define SUMS_LINE_MAX (192u << 10)
/* Bytes of the name of an item, as it stands in the sample; an item with a longer one is left out. */
#define SUMS_KEY_MAX 128
/* Different lists among the kept metrics. */
#define SUMS_LISTS_MAX 8

struct sums;

/* The paths of what is kept, for pick_line. NULL when out of memory. */
struct pick *sums_pick(void);

struct sums *sums_new(void);
struct sums *sums_free(struct sums *sums);

/* Forgets all, for a stretch that begins at begin_ms. */
void sums_reset(struct sums *sums, int64_t begin_ms);

int64_t sums_begin_ms(const struct sums *sums);

/* Samples in it; 0 after sums_reset. */
uint64_t sums_count(const struct sums *sums);

/* Adds a sample. `pick` is that of sums_pick. */
void sums_add_sample(struct sums *sums, const struct pick *pick, const char *line, size_t len, uint64_t seq);

/* Adds a summary of a shorter stretch, a whole line; false if it is none. */
bool sums_add_summary(struct sums *sums, const struct pick *pick, const char *line, size_t len);

/* Items of lists that had no place. */
uint64_t sums_left_out(const struct sums *sums);

/*
 * Writes the summary with its newline to `out`, which has SUMS_LINE_MAX bytes. Returns its length, 0 if there is
 * nothing to say.
 */
size_t sums_write(const struct sums *sums, int64_t span_ms, bool partial, bool unsynced, char *out);

#endif
