/* SPDX-License-Identifier: MIT */
/*
 * Privileged operations that need no program: one call to the service manager (and waiting for the end of its job), or
 * to the login manager and, where there is none, to the service manager for the target. A unit is judged first, by the
 * names that PID 1 has for it now (agent/rules/unit_rules.h):
 *
 *	LoadUnit ─► GetAll ─► rules ─► StartUnit … ─► the end of its job
 */
#ifndef AGENT_EXECUTOR_OPERATION_H
#define AGENT_EXECUTOR_OPERATION_H

#include "agent/executor/executor.h"

/* Starts the operation; every failure is answered. */
void operation_start(struct executor *executor, const struct runner_call *call);

/* Handles signal JobRemoved of the service manager: a job has ended. `data` is the executor. */
int operation_job_removed(sd_bus_message *signal, void *data, sd_bus_error *error);

/* Drops all operations, because the agent or the connection to PID 1 is gone. With `tell` each is answered first. */
void operation_forget_all(struct executor *executor, bool tell);

#endif
