/* SPDX-License-Identifier: MIT */
/*
 * Points in time as people type them: now, today, yesterday, tomorrow, "10 minutes ago", 3d2h ago, -1h, 1790000000,
 * @1790000000.5, 2026-01-02T03:04:05Z, "2026-01-02 03:04", "2026-01-02 03:04 UTC", 03:04. Without a zone local time is
 * meant. The present is an argument.
 */
#ifndef TOOLS_INFINICTL_TIMESPEC_H
#define TOOLS_INFINICTL_TIMESPEC_H

#include <stdint.h>

#include <infiniservice/err.h>

/*
 * 0 and *ret_ms, or -EINVAL with words. HH:MM[:SS] is the last such time, so 23:50 asked at 00:10 is yesterday's. An
 * integer is seconds since 1970, or milliseconds from 10^11 on. Durations: s, m, h, d, w, combined as in 3d2h, or
 * as words: 10 minutes.
 */
int timespec_parse(const char *text, int64_t now_ms, int64_t *ret_ms, struct err *err);

/* A span of time such as 30s, 5m or 1h30m, above 0. 0 and *ret_ms, or -EINVAL with words. */
int timespec_duration(const char *text, int64_t *ret_ms, struct err *err);

#endif
