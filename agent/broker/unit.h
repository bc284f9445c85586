/* SPDX-License-Identifier: MIT */
/*
 * One privileged command as a transient unit of PID 1. What becomes of it is told by signals of the unit's properties;
 * its deadlines are kept here, and once more, a little later, by PID 1 itself (RuntimeMaxSec).
 */
#ifndef AGENT_BROKER_UNIT_H
#define AGENT_BROKER_UNIT_H

#include "agent/broker/broker.h"
#include "agent/broker/rules.h"

/* Units of commands that end with the agent, and of those that do not. */
#define UNIT_PREFIX	 "infiniservice-cmd-"
#define UNIT_KEEP_PREFIX "infiniservice-keep-"
#define UNIT_SLICE	 "infiniservice.slice"
#define UNIT_NAME_MAX	 64

/*
 * Starts the command; `command` may be changed (argv[0]). What is to be kept writes to `files`, which stay the
 * caller's. Answers for every failure.
 */
void unit_start(struct broker *broker, struct executor_command *command, const struct rules_verdict *verdict,
		const int files[2]);

/* Waits for the end of a kept unit, if there is one, with the deadlines that it has had from the start. */
void unit_attach(struct broker *broker, const struct executor_request *head, const char *unit);

/* One that an executor before this one has started, and that runs: 0 or -errno. */
int unit_adopt(struct broker *broker, const char *name);

/* The name of a kept unit from the agent's part of it. */
void unit_kept_name(const char *unit, char out[UNIT_NAME_MAX]);

/* Its end need not be remembered any more, when it comes. */
void unit_release(struct unit *unit);

/* One that is waited for, by its name; NULL: none. */
struct unit *unit_find(const struct broker *broker, const char *name);

/* SIGTERM now, SIGKILL at kill_ns. Unknown ids are ignored. */
void unit_cancel(struct broker *broker, uint64_t id, uint64_t kill_ns);

/* The agent is gone: kills what ends with it, and forgets what to answer. */
void unit_orphan_all(struct broker *broker);

/* The connection to PID 1 stands again: how are they? */
void unit_look_again(struct broker *broker);

/* Signal UnitRemoved. */
void unit_removed(struct broker *broker, sd_bus_message *signal);

/* At the end. */
void unit_free_all(struct broker *broker);

#endif
