/* SPDX-License-Identifier: MIT */
/*
 * Spans of a VM's time without samples, which its log may still tell. Pure. All times are of the guest's clock, in
 * milliseconds.
 */
#ifndef HUB_GAPS_H
#define HUB_GAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GAPS_MAX   8
#define GAPS_STEPS 5

struct gap {
	int64_t from_ms, to_ms; /* samples stand at both ends, and are held */
};

struct gaps {
	struct gap open[GAPS_MAX]; /* the oldest first */
	size_t len;
	int64_t last_ms;	      /* of the last sample held; 0: none */
	bool lagged;		      /* the agent said that samples were lost since then */
	int64_t steps_ms[GAPS_STEPS]; /* between the last samples, by their own times */
	unsigned steps;
};

/*
 * A sample of this time came. More than two intervals since the last one, or what was lost, is a gap. When there are
 * too many the two newest become one.
 */
void gaps_sample(struct gaps *gaps, int64_t time_ms, uint64_t interval_ms);

/* The log has told what it has up to `until_ms` of the oldest gap; `more`: there is more of it. */
void gaps_told(struct gaps *gaps, int64_t until_ms, bool more);

#endif
