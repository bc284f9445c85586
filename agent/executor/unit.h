/* SPDX-License-Identifier: MIT */
/*
 * One privileged command as a transient unit of PID 1, followed by the signals of its properties. Its deadlines are
 * enforced by the executor and, a little later, by PID 1 itself (RuntimeMaxSec). A detached run is followed until it
 * has begun; then its launcher is responsible.
 */
#ifndef AGENT_EXECUTOR_UNIT_H
#define AGENT_EXECUTOR_UNIT_H

#include "agent/executor/executor.h"

/* Name prefixes of units for commands that end with the agent, and for detached runs. */
#define UNIT_PREFIX	     "infiniservice-cmd-"
#define UNIT_DETACHED_PREFIX "infiniservice-detached-"
#define UNIT_SLICE	     "infiniservice.slice"
#define UNIT_NAME_MAX	     64

/*
 * Starts the command as a unit; `command` may be changed. `files` came with the request and stay the
 * caller's: stdout, stderr and the file for the end record of a detached run, or an input. Every failure is answered.
 */
void unit_start(struct executor *executor, struct runner_command *command, const struct rules_verdict *verdict,
		const int files[PACKET_FDS]);

/* SIGTERM now, SIGKILL at kill_ns. Unknown ids are ignored. */
void unit_cancel(struct executor *executor, uint64_t id, uint64_t kill_ns);

/*
 * Cancels a detached run, given the agent's part of its unit's name: SIGTERM now, SIGKILL after LAUNCH_CANCEL_GRACE_MS.
 */
void unit_cancel_detached(struct executor *executor, const char *unit);

/* The agent is gone: kills all units but detached runs, and answers no more. */
void unit_orphan_all(struct executor *executor);

/* The connection to PID 1 is open again: watches the units on it and queries their state. */
void unit_query_all(struct executor *executor);

/* Handles signal UnitRemoved of the service manager. `data` is the executor. */
int unit_removed(sd_bus_message *signal, void *data, sd_bus_error *error);

/*
 * At the start: stops all units of an earlier executor, which belong to an agent whose connection ended with that
 * executor. Detached runs go on.
 */
void unit_reap(struct executor *executor);

/* At the executor's exit: frees the table, sends nothing. */
void unit_free_all(struct executor *executor);

#endif
