/* SPDX-License-Identifier: MIT */
/*
 * The facts that health checks need and the agent does not have at hand, gathered one after the other: the trend of the
 * metric log (a helper), failed units (the bus), the clock (the kernel, or the bus where we may not ask it), the reboot
 * flag and the state of the packages (programs: the loop touches no disk).
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
	bool validating;		/* ValidateSystemHealth: some keys more */
	bool want_trend, want_units, want_reboot, want_packages, want_clock;
	unsigned program; /* of those of the package manager, the next one */
	unsigned window_days;
	void (*finish)(struct command *command, struct health_work *work);

	struct trend_job *job;
	struct bus_call *call;
	struct trend trend;
	struct health_facts facts;
};

/* Gives the command a zeroed work; NULL: it has been answered. */
struct health_work *health_work_new(struct command *command);

/*
 * health_programs.c: starts the next program that is wanted. False when there is none left; else it goes on with
 * health_work_start, or has answered.
 */
bool health_programs_next(struct health_work *work);

/* Gathers what is wanted, then calls `finish`, which answers. What cannot be had is left unknown. */
void health_work_start(struct health_work *work);

#endif
