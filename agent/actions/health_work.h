/* SPDX-License-Identifier: MIT */
/*
 * Gathers, one after the other, the facts that health checks need and the agent has no cached value of: the trend of
 * the metric log (a helper), failed units (D-Bus), the clock (the kernel, or D-Bus where the sandbox forbids asking the
 * kernel), the reboot flag and the state of the packages (programs: the loop touches no disk).
 */
#ifndef AGENT_ACTIONS_HEALTH_WORK_H
#define AGENT_ACTIONS_HEALTH_WORK_H

#include "agent/command/action.h"
#include "agent/actions/health.h"

struct bus_call;
struct command;

struct health_work {
	struct command *command;
	const struct health_check *one; /* NULL: all of them */
	bool validating;		/* ValidateSystemHealth: writes some more keys */
	bool want_trend, want_units, want_reboot, want_packages, want_clock;
	unsigned program; /* index of the package manager's next program */
	unsigned window_days;
	void (*finish)(struct command *command, struct health_work *work);

	struct trend_job *job;
	struct bus_call *call;
	struct trend trend;
	struct health_facts facts;
};

/* Gives the command a zeroed work. NULL: out of memory, and the command has been answered. */
struct health_work *health_work_new(struct command *command);

/*
 * health_programs.c: starts the next wanted program. False: none is left. True: health_work_start is called at its end,
 * or the command has been answered.
 */
bool health_programs_next(struct health_work *work);

/* Gathers the wanted facts, then calls `finish`, which answers. Facts that are not available are left unknown. */
void health_work_start(struct health_work *work);

#endif
