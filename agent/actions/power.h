/* SPDX-License-Identifier: MIT */
/*
 * The one reboot or power-off that may be pending: it was answered before, so that the answer has left when it happens.
 * The executor does it.
 */
#ifndef AGENT_ACTIONS_POWER_H
#define AGENT_ACTIONS_POWER_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/loop.h"

struct action_env;
struct privilege_operation;

enum power_operation {
	POWER_REBOOT,
	POWER_OFF,
};

#define POWER_DELAY_S	  3
#define POWER_DELAY_MAX_S 86400

struct power {
	struct action_env *env;
	enum power_operation operation;
	bool pending; /* from power_schedule until it has been handed over, or failed */
	struct deadline timer;
	struct privilege_operation *call;
};

void power_init(struct power *power, struct action_env *env);
/* What is pending is forgotten. Accepts a zeroed one. */
void power_done(struct power *power);

/* The agent stops: what is pending is given up, and the host is told so; what has begun goes on. */
void power_cancel(struct power *power);

/* After `delay_s` the guest reboots or goes off. 0, or -EALREADY when one is pending. */
int power_schedule(struct power *power, enum power_operation operation, uint64_t delay_s);

#endif
