/* SPDX-License-Identifier: MIT */
/*
 * Asks the service manager what a unit is, and holds it against the rules (unit_rules.h): the one way to any verb that
 * changes a unit.
 *
 *	unit_judge_start ─► LoadUnit ─► GetAll ─► done(data, reply), once
 *
 * The reply is as of a call that the manager answered (error 0) or refused (-EREMOTEIO, UNIT_ERROR_… or its own name,
 * and words).
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
 * `config` is looked into when the manager has answered: it has to stay where it is, and may change. 0, and `done` is
 * called once, never from within this call; or -errno. `judge` has to stay where it is until then.
 */
int unit_judge_start(struct unit_judge *judge, struct bus *bus, const char *unit, const struct config *config,
		     bus_reply_fn done, void *data);

/*
 * True if a unit of this name is not to be controlled, whatever it is: then the command has been answered
 * POLICY_DENIED.
 */
bool unit_judge_denied_by_name(struct command *command, const char *unit);

/* Forgets it. Accepts a zeroed one, and one that is done. */
void unit_judge_cancel(struct unit_judge *judge);

#endif
