/* SPDX-License-Identifier: MIT */
/*
 * Which failures another try may cure, and how long to wait before it. Pure. A command whose sender asked for retries
 * gives its slot back while it waits and stands in the queue again afterwards, all within its first deadline.
 */
#ifndef AGENT_COMMAND_RETRY_H
#define AGENT_COMMAND_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "transport/codes.h"

/*
 * True for a program that failed, a lock that somebody else holds, and resources that were short; never for what would
 * fail again in the same way (shape, policy, names that do not exist) nor for what used up its time or was stopped on
 * purpose.
 */
bool retry_helps(enum error_code code, const char *reason);

/* Before try number `attempt` (2 is the first repetition), with jitter from `random`. A lock is waited for longer. */
uint64_t retry_delay_ns(unsigned attempt, const char *reason, uint32_t random);

#endif
