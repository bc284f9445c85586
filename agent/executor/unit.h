/* SPDX-License-Identifier: MIT */
/*
 * One privileged command as a transient unit of PID 1. What becomes of it is told by signals of the unit's properties;
 * its deadlines are kept here, and once more, a little later, by PID 1 itself (RuntimeMaxSec). A detached run is
 * followed until it has begun; its launcher does the rest.
 */
#ifndef AGENT_EXECUTOR_UNIT_H
#define AGENT_EXECUTOR_UNIT_H

#include "agent/executor/executor.h"
#include "agent/executor/allow_list.h"
#include "agent/runner/packet.h"

/* Units of commands that end with the agent, and of detached runs. */
#define UNIT_PREFIX	     "infiniservice-cmd-"
#define UNIT_DETACHED_PREFIX "infiniservice-detached-"
#define UNIT_SLICE	     "infiniservice.slice"
#define UNIT_NAME_MAX	     64

/*
 * Starts the command; `command` may be changed (argv[0]). `files` came with it and stay the caller's: stdout, stderr
 * and the file for the end of a detached run, or an input. Answers for every failure.
 */
void unit_start(struct executor *executor, struct runner_command *command, const struct rules_verdict *verdict,
		const int files[PACKET_FDS]);

/* One that is waited for, by its name; NULL: none. */
struct unit *unit_find(const struct executor *executor, const char *name);

/* SIGTERM now, SIGKILL at kill_ns. Unknown ids are ignored. */
void unit_cancel(struct executor *executor, uint64_t id, uint64_t kill_ns);

/* Ends a detached run, by the agent's part of its unit's name: SIGTERM now, SIGKILL soon. */
void unit_cancel_detached(struct executor *executor, const char *unit);

/* The agent is gone: kills what ends with it, and forgets what to answer. */
void unit_orphan_all(struct executor *executor);

/* The connection to PID 1 stands again: how are they? */
void unit_query_all(struct executor *executor);

/* Signal UnitRemoved. */
void unit_removed(struct executor *executor, sd_bus_message *signal);

/* At the end. */
void unit_free_all(struct executor *executor);

#endif
