/* SPDX-License-Identifier: MIT */
/*
 * Asks the service manager for the properties of a unit and checks them against the unit rules (unit_rules.h). Every
 * verb that changes a unit goes through here.
 *
 *	unit_judge_start ─► LoadUnit ─► GetAll ─► done(data, reply), once
 *
 * The reply has error 0 if the unit may be controlled, else -errno; with -EREMOTEIO a name (UNIT_ERROR_… or that of the
 * manager's error) and a text.
 */
#ifndef AGENT_ACTIONS_UNIT_JUDGE_H
#define AGENT_ACTIONS_UNIT_JUDGE_H

#include <stdbool.h>

#include "agent/bus/bus.h"
#include "agent/base/unit_name.h"

struct command;
struct config;

struct unit_judge {
	struct bus *bus;
	struct bus_call *call; /* outstanding */
	const struct config *config;
	char unit[UNIT_NAME_SIZE];
	bus_reply_fn done;
	void *data;
};

/*
 * `config` is read when the manager has replied: it has to stay where it is, and may change. 0, and `done` is called
 * once, never from within this call; or -errno. `judge` has to stay where it is until `done`.
 */
int unit_judge_start(struct unit_judge *judge, struct bus *bus, const char *unit, const struct config *config,
		     bus_reply_fn done, void *data);

/* True if the name alone forbids controlling the unit: then the command has been answered POLICY_DENIED. */
bool unit_judge_denied_by_name(struct command *command, const char *unit);

/* Cancels the judgement; `done` is not called. Accepts a zeroed judge and a finished one. */
void unit_judge_cancel(struct unit_judge *judge);

#endif
