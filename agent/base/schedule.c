/* SPDX-License-Identifier: MIT */
/* Due times on a grid; see schedule.h. */
#include "agent/base/schedule.h"

void schedule_start(struct schedule *s, uint64_t period_ns, uint64_t now_ns)
{
	*s = (struct schedule){ .period_ns = period_ns, .due_ns = now_ns + period_ns };
}

bool schedule_due(struct schedule *s, uint64_t now_ns)
{
	uint64_t behind;

	if (now_ns < s->due_ns)
		return false;
	behind = (now_ns - s->due_ns) / s->period_ns;
	s->skipped += behind;
	s->due_ns += (behind + 1) * s->period_ns;
	return true;
}

void schedule_change(struct schedule *s, uint64_t period_ns, uint64_t now_ns)
{
	uint64_t due = now_ns + period_ns;

	s->period_ns = period_ns;
	if (due < s->due_ns)
		s->due_ns = due;
}

uint64_t schedule_left(const struct schedule *s, uint64_t now_ns)
{
	return s->due_ns > now_ns ? s->due_ns - now_ns : 0;
}
