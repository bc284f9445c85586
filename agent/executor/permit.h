/* SPDX-License-Identifier: MIT */
/*
 * The one permit for a detached run, whichever executor started it: a lock (flock(2)) on the directory of our socket,
 * which root alone may open. It belongs to the descriptor, which goes to the launcher, and is free again when that has
 * ended in whatever way.
 */
#ifndef AGENT_EXECUTOR_PERMIT_H
#define AGENT_EXECUTOR_PERMIT_H

#include "agent/executor/executor.h"

/* The descriptor that holds it; -EWOULDBLOCK: it is taken; or another -errno. */
int permit_take(const struct executor *executor);

#endif
