/* SPDX-License-Identifier: MIT */
/*
 * Retries: the failures that a retry may cure, and the pause before it. A command sent with retries gives its slot back
 * for the pause and is queued again after it, all within its first deadline.
 */
#include "agent/command/admission.h"

#include <string.h>

#include <infiniservice/moment.h>

#define FIRST_NS      (200 * NS_PER_MS)
#define FIRST_LOCK_NS NS_PER_S
#define LONGEST_NS    (15 * NS_PER_S)

static bool is(const char *reason, const char *word)
{
	return reason && strcmp(reason, word) == 0;
}

bool retry_helps(enum error_code code, const char *reason)
{
	/* "resource": fork, pipe or memory failed before anything ran. */
	return code == CODE_COMMAND_FAILED || is(reason, "lock_busy") ||
	       (code == CODE_INTERNAL && is(reason, "resource"));
}

uint64_t retry_delay_ns(unsigned attempt, const char *reason, uint32_t random)
{
	uint64_t wait_ns = is(reason, "lock_busy") ? FIRST_LOCK_NS : FIRST_NS;

	for (; attempt > 2 && wait_ns < LONGEST_NS; attempt--)
		wait_ns *= 2;
	if (wait_ns > LONGEST_NS)
		wait_ns = LONGEST_NS;
	return wait_ns + wait_ns / 4 * (random % 256) / 256;
}
