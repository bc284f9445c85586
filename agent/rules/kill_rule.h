/* SPDX-License-Identifier: MIT */
/*
 * The start time by which a host identifies a process, as ProcessList shows it. Shown times depend on the wall clock,
 * so they are compared with a tolerance; a pid is not reused within it.
 */
#ifndef AGENT_RULES_KILL_RULE_H
#define AGENT_RULES_KILL_RULE_H

#include <stdbool.h>
#include <stdint.h>

#include <infiniservice/moment.h>

#define KILL_RULE_ROOM_MS 1500

/* Parses "2026-01-02T03:04:05[.678]Z" to milliseconds since 1970. False: not of this form. */
bool kill_rule_parse(const char *text, int64_t *ret_ms);

/*
 * True if a process that started `start_ticks` after boot (`tick_hz` a second) would now be shown with start time
 * `start_ms`, within the tolerance.
 */
bool kill_rule_matches(int64_t start_ms, uint64_t start_ticks, uint64_t tick_hz, const struct moment *now);

/* Exit status of `infiniservice-exec kill`. */
enum kill_exit {
	KILL_EXIT_DONE = 0,
	KILL_EXIT_FAILED = 1,
	KILL_EXIT_USAGE = 2,
	KILL_EXIT_GONE = 3,	 /* no such process, or the pid has been reused */
	KILL_EXIT_PROTECTED = 4, /* pid 1 and kernel threads */
};

#endif
