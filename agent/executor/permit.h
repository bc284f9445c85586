/* SPDX-License-Identifier: MIT */
/*
 * The single permit for a detached run, shared by successive executors: a lock (flock(2)) on the directory of the
 * executor's socket, which root alone may open. The descriptor that holds the lock is passed to the launcher; the
 * kernel releases the lock when the launcher ends.
 */
#ifndef AGENT_EXECUTOR_PERMIT_H
#define AGENT_EXECUTOR_PERMIT_H

#include "agent/executor/executor.h"

/* Takes the permit. A descriptor that holds it; -EWOULDBLOCK: it is taken; or another -errno. */
int permit_take(const struct executor *executor);

#endif
