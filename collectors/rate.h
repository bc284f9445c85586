/* SPDX-License-Identifier: MIT */
/*
 * Counters into rates. A collector keeps one struct rate_clock for all counters it reads at one moment and one
 * struct rate a counter:
 *
 *	struct rate_interval interval = rate_clock_next(&state->clock, &ctx->now, ctx->gap);
 *	rate_update(&device->read_bytes, interval, counter);
 *	…
 *	if (rate_known(&device->read_bytes))
 *		sink_real(out, "read_bytes_per_sec", device->read_bytes.per_second, 1);
 *
 * Everything zeroed is the state before the first reading.
 */
#ifndef COLLECTORS_RATE_H
#define COLLECTORS_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include <infiniservice/moment.h>

enum rate_state {
	RATE_FIRST, /* one reading so far: no rate */
	RATE_OK,
	RATE_RESET, /* the counter went backwards (driver reloaded, device replaced, 32 bits wrapped): no rate */
	RATE_GAP,   /* a rate, over the time really passed in a suspend or a clock step */
	RATE_STALE, /* the counter could not be read this time: no rate */
};

/* "first", "ok", "reset", "gap" or "stale". */
const char *rate_state_name(enum rate_state state);

/* When a set of counters was last read. */
struct rate_clock {
	uint64_t mono_ns, boot_ns;
	bool started;
};

/* The time between two readings. */
struct rate_interval {
	double seconds; /* 0: none has passed, and rate_update keeps everything as it was */
	bool first;	/* no reading before this one */
	bool gap;
};

/*
 * The interval since the last call; the clock moves on to `now`. Monotonic time, except after a gap, when the
 * boot-time clock says how long the guest really slept. If no time has passed the clock stays.
 */
struct rate_interval rate_clock_next(struct rate_clock *clock, const struct moment *now, bool gap);

/* How many nanoseconds have passed, by the same rule; 0 for the first interval. */
static inline uint64_t rate_interval_ns(struct rate_interval interval)
{
	return interval.first ? 0 : (uint64_t)(interval.seconds * (double)NS_PER_S);
}

struct rate {
	uint64_t counter;  /* as last read */
	uint64_t delta;	   /* between the last two readings; 0 where the rate is unknown */
	double per_second; /* valid if rate_known(); never negative, infinite or NaN */
	enum rate_state state;
	bool started; /* counter holds a reading */
};

/*
 * The rule for every counter: true and how far it moved, or false (*ret_delta untouched) when it stepped back at all. A
 * step back says nothing about the time between the two readings; counting goes on from the second one.
 */
static inline bool rate_moved(uint64_t before, uint64_t now, uint64_t *ret_delta)
{
	if (now < before)
		return false;
	*ret_delta = now - before;
	return true;
}

/* Takes the next reading. A counter first seen later than its clock is in state first. */
void rate_update(struct rate *rate, struct rate_interval interval, uint64_t counter);

/*
 * The same for a counter that the kernel keeps in 32 bits and that cannot grow by more than max_per_second: a step back
 * is then a wrap, and a rate, if what it comes to fits into the interval.
 */
void rate_update_32(struct rate *rate, struct rate_interval interval, uint64_t counter, double max_per_second);

/* Which of two states says more about figures made of both: ok, gap, first, reset, stale, in rising order. */
enum rate_state rate_state_worse(enum rate_state a, enum rate_state b);

/*
 * The counter could not be read in this interval. The rate begins anew: the next reading is `first`, because the
 * interval of the clock no longer fits the counter.
 */
void rate_miss(struct rate *rate);

/* True when per_second holds a rate. */
static inline bool rate_known(const struct rate *rate)
{
	return rate->state == RATE_OK || rate->state == RATE_GAP;
}

#endif
