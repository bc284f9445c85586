/* SPDX-License-Identifier: MIT */
/* Reaps units of an earlier executor: they belong to an agent whose connection ended with that executor. */
#ifndef AGENT_EXECUTOR_REAP_H
#define AGENT_EXECUTOR_REAP_H

#include "agent/executor/executor.h"

/* At the start: stops all leftover units. Detached runs go on. */
void reap_begin(struct executor *executor);

#endif
