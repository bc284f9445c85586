/* SPDX-License-Identifier: MIT */
/*
 * See backoff.h. The step is min_ns doubled once per failure before this one; the wait lies between two thirds and
 * the whole of one and a half steps, cut to the two bounds.
 */
#include "backoff.h"

void backoff_init(struct backoff *backoff, uint64_t min_ns, uint64_t max_ns)
{
	*backoff = (struct backoff){ .min_ns = min_ns ? min_ns : 1 };
	backoff->max_ns = max_ns > backoff->min_ns ? max_ns : backoff->min_ns;
}

static uint64_t step_after(const struct backoff *backoff)
{
	uint64_t step = backoff->min_ns;

	for (unsigned i = 1; i < backoff->failures && step < backoff->max_ns; i++)
		step = step > backoff->max_ns / 2 ? backoff->max_ns : step * 2;
	return step;
}

uint64_t backoff_fail(struct backoff *backoff, uint64_t now_ns, uint32_t random)
{
	uint64_t step, high, low;

	if (backoff->failures < UINT32_MAX)
		backoff->failures++;
	step = step_after(backoff);
	high = step > backoff->max_ns - step / 2 ? backoff->max_ns : step + step / 2;
	low = high - high / 3;
	if (low < backoff->min_ns)
		low = backoff->min_ns;
	/* The product fits: a span of 2^64 ns is cut to units of 2^32 before it is scaled by 32 random bits. */
	backoff->due_ns = now_ns + low + ((high - low) >> 32) * random + ((((high - low) & UINT32_MAX) * random) >> 32);
	if (backoff->due_ns < now_ns)
		backoff->due_ns = TIME_NEVER;
	return backoff->due_ns;
}

void backoff_succeed(struct backoff *backoff)
{
	backoff->failures = 0;
	backoff->due_ns = 0;
}

uint32_t backoff_random(uint32_t *state)
{
	uint32_t x = *state ? *state : 0x9e3779b9u;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *state = x;
}
