/* SPDX-License-Identifier: MIT */
#include "gaps.h"

#include <string.h>

static int64_t interval(const struct gaps *gaps, uint64_t expected_ms)
{
	int64_t sorted[GAPS_STEPS] = { 0 };

	if (gaps->steps < GAPS_STEPS)
		return (int64_t)expected_ms;
	for (unsigned i = 0; i < GAPS_STEPS; i++) {
		unsigned at = i;

		for (; at > 0 && sorted[at - 1] > gaps->steps_ms[i]; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = gaps->steps_ms[i];
	}
	return sorted[GAPS_STEPS / 2];
}

void gaps_sample(struct gaps *gaps, int64_t time_ms, uint64_t expected_ms)
{
	int64_t step = gaps->last_ms && time_ms > gaps->last_ms ? time_ms - gaps->last_ms : 0;
	bool missing = step > 0 && (gaps->lagged || step > 2 * interval(gaps, expected_ms));

	if (missing && gaps->len == GAPS_MAX)
		gaps->open[GAPS_MAX - 1].to_ms = time_ms;
	else if (missing)
		gaps->open[gaps->len++] = (struct gap){ gaps->last_ms, time_ms };
	if (step > 0)
		gaps->steps_ms[gaps->steps++ % GAPS_STEPS] = step;
	gaps->lagged = false;
	gaps->last_ms = time_ms;
}

void gaps_told(struct gaps *gaps, int64_t until_ms, bool more)
{
	if (gaps->len == 0)
		return;
	/* Without progress it would be asked for the same for ever. */
	if (more && until_ms > gaps->open[0].from_ms && until_ms + 1 < gaps->open[0].to_ms) {
		gaps->open[0].from_ms = until_ms;
		return;
	}
	gaps->len--;
	memmove(gaps->open, gaps->open + 1, gaps->len * sizeof(gaps->open[0]));
}
