/* SPDX-License-Identifier: MIT */
/*
 * Retries: the failures that a retry may cure, and the pause before it. Pure. A command sent with retries gives its
 * slot back for the pause and is queued again after it, all within its first deadline.
 */
#ifndef AGENT_COMMAND_RETRY_H
#define AGENT_COMMAND_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "transport/codes.h"

/*
 * True for a failed program, a lock held by another process, and a shortage of resources. False for errors that would
 * repeat (shape, policy, unknown names), for time-outs and for cancelled commands.
 */
bool retry_helps(enum error_code code, const char *reason);

/*
 * The pause before try number `attempt` (2 is the first retry): 200 ms, for a lock 1 s, doubled for each further try up
 * to 15 s, plus up to a quarter of jitter from `random`.
 */
uint64_t retry_delay_ns(unsigned attempt, const char *reason, uint32_t random);

#endif
