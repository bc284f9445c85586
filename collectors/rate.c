/* SPDX-License-Identifier: MIT */
/* Counters into rates: what a rate is worth depends on what happened between its two readings. */
#include "rate.h"

#include <infiniservice/cleanup.h>

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
	struct rate_interval interval = {.first = !clock->started, .gap = gap};
	uint64_t ns = since(clock->mono_ns, now->mono_ns), boot_ns = since(clock->boot_ns, now->boot_ns);

	if (clock->started) {
		if (gap && boot_ns > ns)
			ns = boot_ns;
		if (ns == 0)
			return interval;
		interval.seconds = (double)ns / (double)NS_PER_S;
	}
	*clock = (struct rate_clock){.mono_ns = now->mono_ns, .boot_ns = now->boot_ns, .started = true};
	return interval;
}

void rate_update(struct rate *rate, struct rate_interval interval, uint64_t counter)
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
	} else if (counter < before) {
		rate->state = RATE_RESET;
	} else {
		rate->state = interval.gap ? RATE_GAP : RATE_OK;
		rate->delta = counter - before;
		rate->per_second = (double)rate->delta / interval.seconds;
	}
}

void rate_miss(struct rate *rate)
{
	*rate = (struct rate){.state = RATE_STALE};
}
