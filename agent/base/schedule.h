/* SPDX-License-Identifier: MIT */
/*
 * Due times of a periodic task, on a fixed grid, so that there is no drift, and at most once after a pause, so that
 * there is no catch-up burst. Pure: time is an argument, and a test simulates a day in a loop.
 */
#ifndef AGENT_BASE_SCHEDULE_H
#define AGENT_BASE_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

struct schedule {
	uint64_t period_ns;
	uint64_t due_ns;  /* CLOCK_MONOTONIC */
	uint64_t skipped; /* grid points missed: the loop was late, or the machine was suspended */
};

/* Starts the schedule: first due one period after `now_ns`. */
void schedule_start(struct schedule *s, uint64_t period_ns, uint64_t now_ns);

/* If due: advances to the next grid point after `now_ns` and returns true. */
bool schedule_due(struct schedule *s, uint64_t now_ns);

/* Changes the period without missing a sample: due at the earlier of the old due time and one new period from now. */
void schedule_change(struct schedule *s, uint64_t period_ns, uint64_t now_ns);

/* Time left in ns, 0 when due. */
uint64_t schedule_left(const struct schedule *s, uint64_t now_ns);

#endif
