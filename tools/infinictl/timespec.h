/* SPDX-License-Identifier: MIT */
/*
 * Points in time as people type them: now, today, yesterday, "10m ago", 3d2h ago, 1790000000, 2026-01-02T03:04:05Z,
 * "2026-01-02 03:04", 03:04. Without a zone local time is meant. The present is an argument.
 */
#ifndef TOOLS_INFINICTL_TIMESPEC_H
#define TOOLS_INFINICTL_TIMESPEC_H

#include <stdint.h>

#include <infiniservice/err.h>

/*
 * 0 and *ret_ms, or -EINVAL with words. HH:MM[:SS] is the last such time, so 23:50 asked at 00:10 is yesterday's. An
 * integer is seconds since 1970, or milliseconds from 10^11 on. Durations: s, m, h, d, w, combined as in 3d2h.
 */
int timespec_parse(const char *text, int64_t now_ms, int64_t *ret_ms, struct err *err);

#endif
