/* SPDX-License-Identifier: MIT */
/*
 * The one reboot, power-off or halt that may be pending. The command is answered before the delay begins, so that the
 * answer has left when the executor does the operation.
 */
#ifndef AGENT_ACTIONS_POWER_H
#define AGENT_ACTIONS_POWER_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/loop.h"
#include "agent/rules/policy.h"
#include "agent/runner/protocol.h"

struct action_env;
struct privilege_operation;

#define POWER_DELAY_S	  3
#define POWER_DELAY_MAX_S 86400

struct power {
	struct action_env *env;
	enum runner_operation operation; /* REBOOT, POWER_OFF or HALT */
	const char *action;		 /* that asked for it, and its group: by these the executor judges */
	enum policy_group group;
	bool pending; /* from power_schedule until the executor has taken it or it has failed */
	struct deadline timer;
	struct privilege_operation *call;
};

void power_init(struct power *power, struct action_env *env);
/* Forgets a pending operation. Accepts zeroed memory. */
void power_done(struct power *power);

/* At a stop of the agent: gives a pending operation up and tells the host; an operation that has begun goes on. */
void power_cancel(struct power *power);

/*
 * Schedules a reboot (REBOOT), power-off (POWER_OFF) or halt (HALT) in `delay_s` seconds, for the action of this name
 * and group. 0, or -EALREADY when one is pending.
 */
int power_schedule(struct power *power, enum runner_operation operation, uint64_t delay_s, const char *action,
		   enum policy_group group);

#endif
