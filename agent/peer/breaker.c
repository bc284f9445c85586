/* SPDX-License-Identifier: MIT */
#include "agent/peer/breaker.h"

void breaker_failed(struct breaker *breaker, const struct moment *now, uint64_t retry_ns)
{
	breaker->failed = true;
	breaker->last_failure_ms = now->wall_ms;
	breaker->retry_ns = retry_ns;
	if (breaker->failures < UINT32_MAX)
		breaker->failures++;
	if (breaker->failures < BREAKER_FAILURES)
		return;
	if (breaker->state != REPLY_BREAKER_OPEN) {
		breaker->opened++;
		breaker->untold = true;
	}
	breaker->state = REPLY_BREAKER_OPEN;
	breaker->failures_told = breaker->failures;
}

void breaker_worked(struct breaker *breaker)
{
	if (breaker->state != REPLY_BREAKER_CLOSED)
		breaker->untold = true;
	else
		breaker->failures_told = 0;
	breaker->state = REPLY_BREAKER_CLOSED;
	breaker->failures = 0;
}

struct reply_breaker_state breaker_describe(const struct breaker *breaker, const struct moment *now)
{
	bool due = breaker->retry_ns != TIME_NEVER && now->mono_ns >= breaker->retry_ns;
	struct reply_breaker_state out = {
		.state = breaker->state == REPLY_BREAKER_OPEN && due ? REPLY_BREAKER_HALF_OPEN : breaker->state,
		.failure_count = breaker->failures ? breaker->failures : breaker->failures_told,
		.last_failure_ms = breaker->failed ? breaker->last_failure_ms : -1,
		.recovery_eta_s = -1,
	};

	if (out.state == REPLY_BREAKER_OPEN && breaker->retry_ns != TIME_NEVER)
		out.recovery_eta_s = (int64_t)((breaker->retry_ns - now->mono_ns + NS_PER_S - 1) / NS_PER_S);
	return out;
}
