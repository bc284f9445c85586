/* SPDX-License-Identifier: MIT */
/*
 * Calendar arithmetic without the C library's time zones: RFC 3339 texts to milliseconds since 1970 UTC.
 */
#ifndef AGENT_LOG_STAMP_H
#define AGENT_LOG_STAMP_H

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

#endif
