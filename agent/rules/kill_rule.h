/* SPDX-License-Identifier: MIT */
/*
 * The start time by which a host says which process it means, as ProcessList shows it. Shown times follow the clock, so
 * they are compared with a little room; a pid is not used again that soon.
 */
#ifndef AGENT_RULES_KILL_RULE_H
#define AGENT_RULES_KILL_RULE_H

#include <stdbool.h>
#include <stdint.h>

#include <infiniservice/moment.h>

#define KILL_RULE_ROOM_MS 1500

/* "2026-01-02T03:04:05[.678]Z" as milliseconds since 1970. */
bool kill_rule_parse(const char *text, int64_t *ret_ms);

/* True if a process that started `start_ticks` after boot is shown with that start time, as the clocks stand now. */
bool kill_rule_matches(int64_t start_ms, uint64_t start_ticks, uint64_t tick_hz, const struct moment *now);

/* How `infiniservice-exec kill` ends. */
enum kill_exit {
	KILL_EXIT_DONE = 0,
	KILL_EXIT_FAILED = 1,
	KILL_EXIT_USAGE = 2,
	KILL_EXIT_GONE = 3,	 /* there is no such process, or it is another one by now */
	KILL_EXIT_PROTECTED = 4, /* pid 1 and threads of the kernel */
};

#endif
