/* SPDX-License-Identifier: MIT */
/*
 * The start time by which a host says which process it means, as ProcessList shows it. Shown times follow the clock, so
 * they are compared with a little room; a pid is not used again that soon.
 */
#ifndef AGENT_KILL_GUARD_H
#define AGENT_KILL_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include <infiniservice/moment.h>

#define KILL_GUARD_ROOM_MS 1500

/* "2026-01-02T03:04:05[.678]Z" as milliseconds since 1970. */
bool kill_guard_parse(const char *text, int64_t *ret_ms);

/* True if a process that started `start_ticks` after boot is shown with that start time, as the clocks stand now. */
bool kill_guard_matches(int64_t start_ms, uint64_t start_ticks, uint64_t tick_hz, const struct moment *now);

#endif
