/* SPDX-License-Identifier: MIT */
/*
 * Counters into rates: the quality of a rate depends on the events between its two readings. The meaning of a step back
 * is decided in one place, rate_moved() of rate.h, for every counter that the agent reads.
 */
#include "rate.h"

#include <infiniservice/cleanup.h>

/* The kernel's clock and ours are not in phase: the counter may move by a little more than fits into the interval. */
#define WRAP_SLACK_S 1.0

const char *rate_state_name(enum rate_state state)
{
	static const char *const names[] = {
		[RATE_FIRST] = "first", [RATE_OK] = "ok",	[RATE_RESET] = "reset",
		[RATE_GAP] = "gap",	[RATE_STALE] = "stale",
	};

	return (size_t)state < ARRAY_SIZE(names) ? names[state] : "stale";
}

static uint64_t since(uint64_t before, uint64_t now)
{
	return now > before ? now - before : 0;
}

struct rate_interval rate_clock_next(struct rate_clock *clock, const struct moment *now, bool gap)
{
	struct rate_interval interval = { .first = !clock->started, .gap = gap };
	uint64_t ns = since(clock->mono_ns, now->mono_ns), boot_ns = since(clock->boot_ns, now->boot_ns);

	if (clock->started) {
		if (gap && boot_ns > ns)
			ns = boot_ns;
		if (ns == 0)
			return interval;
		interval.seconds = (double)ns / (double)NS_PER_S;
	}
	*clock = (struct rate_clock){ .mono_ns = now->mono_ns, .boot_ns = now->boot_ns, .started = true };
	return interval;
}

/*
 * A 32-bit counter that wrapped has moved by a difference modulo 2^32. A counter that began anew gives such a
 * difference too, but hardly ever a difference that fits into the time passed.
 */
static bool wrapped(uint64_t before, uint64_t now, double most, uint64_t *ret_delta)
{
	uint32_t delta = (uint32_t)now - (uint32_t)before;

	if (most < 0 || before > UINT32_MAX || now > UINT32_MAX || (double)delta > most)
		return false;
	*ret_delta = delta;
	return true;
}

static inline void update(struct rate *rate, struct rate_interval interval, uint64_t counter, double max_per_second)
{
	bool started = rate->started;
	uint64_t before = rate->counter;

	if (started && !interval.first && !(interval.seconds > 0))
		return;
	rate->counter = counter;
	rate->started = true;
	rate->delta = 0;
	rate->per_second = 0;
	if (!started || interval.first) {
		rate->state = RATE_FIRST;
	} else if (!rate_moved(before, counter, &rate->delta) &&
		   !wrapped(before, counter, max_per_second * (interval.seconds + WRAP_SLACK_S), &rate->delta)) {
		rate->state = RATE_RESET;
	} else {
		rate->state = interval.gap ? RATE_GAP : RATE_OK;
		rate->per_second = (double)rate->delta / interval.seconds;
	}
}

void rate_update(struct rate *rate, struct rate_interval interval, uint64_t counter)
{
	update(rate, interval, counter, -1);
}

void rate_update_32(struct rate *rate, struct rate_interval interval, uint64_t counter, double max_per_second)
{
	update(rate, interval, counter, max_per_second);
}

void rate_miss(struct rate *rate)
{
	*rate = (struct rate){ .state = RATE_STALE };
}

enum rate_state rate_state_worse(enum rate_state a, enum rate_state b)
{
	static const uint8_t weights[] = {
		[RATE_OK] = 0, [RATE_GAP] = 1, [RATE_FIRST] = 2, [RATE_RESET] = 3, [RATE_STALE] = 4,
	};

	return weights[a] >= weights[b] ? a : b;
}
