/* SPDX-License-Identifier: MIT */
/*
 * What a line of the log says, without parsing JSON as a whole, and its stamps, without the C library's time zones: RFC
 * 3339 texts to milliseconds since 1970 UTC. Pure and without allocation.
 */
#ifndef AGENT_LOG_SCAN_H
#define AGENT_LOG_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Days since 1970-01-01 of a proleptic Gregorian date; month 1-12. */
int64_t stamp_days(int64_t year, unsigned month, unsigned day);

/* Days in this month. */
unsigned stamp_month_days(int64_t year, unsigned month);

/*
 * Parses "2026-01-02T03:04:05[.fraction](Z|+hh:mm|-hh:mm)", years 1970-9999 ('t', 'z' and a blank for T are accepted
 * too; a leap second counts as the next second). All of `len` must be used. False, with *ret_ms unchanged, if
 * malformed.
 */
bool stamp_parse(const char *text, size_t len, int64_t *ret_ms);

/* Three fields among the keys of the outermost object. */
struct scan {
	char type[32];	 /* "" when missing or longer */
	int64_t wall_ms; /* -1 when missing or malformed */
	uint64_t seq;	 /* 0 when missing; of a summary its last_seq */
};

/*
 * Stops as soon as it has all three. `text` is one line without its newline. False when it cannot be a line of this
 * log: not {...}, a NUL inside, no type or no timestamp. Other values are not validated.
 */
bool scan_line(const char *text, size_t len, struct scan *ret);

#endif
