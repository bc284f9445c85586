/* SPDX-License-Identifier: MIT */
#include "pace.h"

#include <infiniservice/moment.h>

#define INTERVAL_MIN_NS (100 * NS_PER_MS)
#define INTERVAL_MAX_NS (600 * NS_PER_S)
#define SILENT_AFTER	3

void pace_init(struct pace *pace, uint64_t expected_ns)
{
	*pace = (struct pace){ .expected_ns = expected_ns };
}

void pace_break(struct pace *pace)
{
	pace->last_ns = 0;
}

void pace_sample(struct pace *pace, uint64_t now_ns)
{
	if (pace->last_ns && now_ns > pace->last_ns)
		pace->gaps_ns[pace->count++ % PACE_GAPS] = now_ns - pace->last_ns;
	pace->last_ns = now_ns;
}

uint64_t pace_interval_ns(const struct pace *pace)
{
	uint64_t longest = 0;

	for (unsigned i = 0; i < PACE_GAPS && i < pace->count; i++)
		longest = pace->gaps_ns[i] > longest ? pace->gaps_ns[i] : longest;
	if (pace->count < 2)
		longest = longest > pace->expected_ns ? longest : pace->expected_ns;
	if (longest < INTERVAL_MIN_NS)
		return INTERVAL_MIN_NS;
	return longest > INTERVAL_MAX_NS ? INTERVAL_MAX_NS : longest;
}

bool pace_silent(const struct pace *pace, uint64_t since_ns, uint64_t now_ns)
{
	uint64_t from_ns = pace->last_ns ? pace->last_ns : since_ns;

	return now_ns > from_ns && now_ns - from_ns > SILENT_AFTER * pace_interval_ns(pace);
}

void allowance_init(struct allowance *allowance, uint64_t per_s, uint64_t burst, uint64_t now_ns)
{
	*allowance =
		(struct allowance){ .per_s = per_s ? per_s : 1, .burst = burst, .tokens = 2 * burst, .at_ns = now_ns };
}

/* Tokens are kept above a floor of one burst: `burst` means empty, 2 * burst full, 0 overdrawn as far as possible. */
uint64_t allowance_take(struct allowance *allowance, uint64_t bytes, uint64_t now_ns)
{
	uint64_t passed_ns = now_ns > allowance->at_ns ? now_ns - allowance->at_ns : 0, new;

	if (passed_ns > 3600 * NS_PER_S)
		passed_ns = 3600 * NS_PER_S;
	new = passed_ns / NS_PER_US * allowance->per_s / 1000000;
	if (new > 0 || bytes > 0) {
		/* What is less than a token stays for the next time. */
		allowance->at_ns += new * 1000000 / allowance->per_s *NS_PER_US;
		if (allowance->tokens + new >= 2 * allowance->burst) {
			allowance->tokens = 2 * allowance->burst;
			allowance->at_ns = now_ns;
		} else {
			allowance->tokens += new;
		}
	}
	allowance->tokens -= bytes < allowance->tokens ? bytes : allowance->tokens;
	if (allowance->tokens > allowance->burst)
		return 0;
	return (allowance->burst - allowance->tokens + 1) * NS_PER_S / allowance->per_s;
}
