/* SPDX-License-Identifier: MIT */
/*
 * One privileged command as a transient unit of PID 1. What becomes of it is told by signals of the unit's properties;
 * its deadlines are kept here, and once more, a little later, by PID 1 itself (RuntimeMaxSec).
 */
#ifndef AGENT_EXECUTOR_UNIT_H
#define AGENT_EXECUTOR_UNIT_H

#include "agent/executor/executor.h"
#include "agent/executor/allow_list.h"

/* Units of commands that end with the agent, and of those that do not. */
#define UNIT_PREFIX	 "infiniservice-cmd-"
#define UNIT_KEEP_PREFIX "infiniservice-keep-"
#define UNIT_SLICE	 "infiniservice.slice"
#define UNIT_NAME_MAX	 64

/*
 * Starts the command; `command` may be changed (argv[0]). What is to be kept writes to `files`, which stay the
 * caller's. Answers for every failure.
 */
void unit_start(struct executor *executor, struct runner_command *command, const struct rules_verdict *verdict,
		const int files[2]);

/* Waits for the end of a kept unit, if there is one, with the deadlines that it has had from the start. */
void unit_attach(struct executor *executor, const struct runner_request *head, const char *unit);

/* One that an executor before this one has started, and that runs: 0 or -errno. */
int unit_adopt(struct executor *executor, const char *name);

/* The name of a kept unit from the agent's part of it. */
void unit_kept_name(const char *unit, char out[UNIT_NAME_MAX]);

/* Its end need not be remembered any more, when it comes. */
void unit_release(struct unit *unit);

/* One that is waited for, by its name; NULL: none. */
struct unit *unit_find(const struct executor *executor, const char *name);

/* SIGTERM now, SIGKILL at kill_ns. Unknown ids are ignored. */
void unit_cancel(struct executor *executor, uint64_t id, uint64_t kill_ns);

/* The agent is gone: kills what ends with it, and forgets what to answer. */
void unit_orphan_all(struct executor *executor);

/* The connection to PID 1 stands again: how are they? */
void unit_look_again(struct executor *executor);

/* Signal UnitRemoved. */
void unit_removed(struct executor *executor, sd_bus_message *signal);

/* At the end. */
void unit_free_all(struct executor *executor);

#endif
