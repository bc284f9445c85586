/* SPDX-License-Identifier: MIT */
/*
 * What needs no program: one call to the service manager (a job is waited for until it has ended), or to the login
 * manager and, where there is none, to the service manager for the target. A unit is judged first, by what PID 1 calls
 * it now (agent/unit_rules.h):
 *
 *	LoadUnit ─► GetAll ─► rules ─► StartUnit … ─► the end of its job
 */
#ifndef AGENT_BROKER_DEED_H
#define AGENT_BROKER_DEED_H

#include "agent/broker/broker.h"

/* Answers for every failure. */
void deed_start(struct broker *broker, const struct executor_call *call);

/* A job has ended, in signal JobRemoved. */
void deed_job_removed(struct broker *broker, sd_bus_message *signal);

/* The agent, or the connection to PID 1, is gone: nobody waits any more, or nothing can be known any more. */
void deed_forget_all(struct broker *broker, bool tell);

#endif
