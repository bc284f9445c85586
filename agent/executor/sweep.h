/* SPDX-License-Identifier: MIT */
/*
 * Units that nobody waits for: commands left by an executor that is no more are killed; what was kept and is over goes
 * when the agent has let go of it, or has not asked for it a while after it came.
 */
#ifndef AGENT_EXECUTOR_SWEEP_H
#define AGENT_EXECUTOR_SWEEP_H

#include "agent/executor/executor.h"

/* How long after its coming an agent may ask for what was kept for it. */
#define SWEEP_KEPT_MS 60000

/*
 * At the start: kills commands that would have ended with the executor that ran them, and takes over those that are
 * kept and run. Calls executor_ready when PID 1 has answered, or cannot.
 */
void sweep_begin(struct executor *executor);

/* Lets go of kept units that are over, and that the agent has not asked for. */
void sweep_kept(struct executor *executor);

/* The agent has asked for this kept unit, and has to let go of it: 0 or -EBUSY (too many). */
int sweep_spare(struct executor *executor, const char *unit);

/* PID 1 forgets this kept unit, which is over. */
void sweep_let_go(struct executor *executor, const char *name);

/* It has: PID 1 may forget the unit, unless it still runs. */
void sweep_release(struct executor *executor, const char *unit);

/* The agent is gone, and with it what it asked for. */
void sweep_forget(struct executor *executor);

#endif
