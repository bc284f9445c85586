/* SPDX-License-Identifier: MIT */
/*
 * When something periodic is due: on a grid of its own, so that nothing drifts, and at most once after a pause, so that
 * nothing catches up in a burst. Pure: time is an argument, a test simulates a day in a loop.
 */
#ifndef AGENT_BASE_SCHEDULE_H
#define AGENT_BASE_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

struct schedule {
	uint64_t period_ns;
	uint64_t due_ns;  /* CLOCK_MONOTONIC */
	uint64_t skipped; /* grid points passed over: the loop was late, or the machine slept */
};

/* First due one period after `now_ns`. */
void schedule_start(struct schedule *s, uint64_t period_ns, uint64_t now_ns);

/* If due: moves to the next grid point after `now_ns` and returns true. */
bool schedule_due(struct schedule *s, uint64_t now_ns);

/*
 * A new period takes effect without losing a tick: due at the earlier of the old due time and one new period from now.
 */
void schedule_change(struct schedule *s, uint64_t period_ns, uint64_t now_ns);

/* Time left, 0 when due. */
uint64_t schedule_left(const struct schedule *s, uint64_t now_ns);

#endif
