/* SPDX-License-Identifier: MIT */
/* Units of an executor that is gone: they end with their agent, who went with it. */
#ifndef AGENT_EXECUTOR_REAP_H
#define AGENT_EXECUTOR_REAP_H

#include "agent/executor/executor.h"

/* At the start: stops those that are left. Detached runs go on. */
void reap_begin(struct executor *executor);

#endif
