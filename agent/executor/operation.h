/* SPDX-License-Identifier: MIT */
/*
 * What needs no program: one call to the service manager (a job is waited for until it has ended), or to the login
 * manager and, where there is none, to the service manager for the target. A unit is judged first, by what PID 1 calls
 * it now (agent/rules/unit_rules.h):
 *
 *	LoadUnit ─► GetAll ─► rules ─► StartUnit … ─► the end of its job
 */
#ifndef AGENT_EXECUTOR_OPERATION_H
#define AGENT_EXECUTOR_OPERATION_H

#include "agent/executor/executor.h"

/* Answers for every failure. */
void operation_start(struct executor *executor, const struct runner_call *call);

/* A job has ended, in signal JobRemoved. */
void operation_job_removed(struct executor *executor, sd_bus_message *signal);

/* The agent, or the connection to PID 1, is gone: nobody waits any more, or nothing can be known any more. */
void operation_forget_all(struct executor *executor, bool tell);

#endif
