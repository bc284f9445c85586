/* SPDX-License-Identifier: MIT */
/*
 * Time is an argument: the loop reads the clocks once per turn into a struct moment and hands it down; nothing
 * below the loop asks for the time. Each clock has one use:
 *   mono_ns  CLOCK_MONOTONIC  intervals, rates, deadlines (does not run while the guest is suspended)
 *   boot_ns  CLOCK_BOOTTIME   noticing a suspend (boot - mono grows by the time slept), see clock_gettime(2)
 *   wall_ms  CLOCK_REALTIME   what is shown to people and hosts; may jump
 */
#ifndef INFINISERVICE_MOMENT_H
#define INFINISERVICE_MOMENT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#define NS_PER_US  UINT64_C(1000)
#define NS_PER_MS  UINT64_C(1000000)
#define NS_PER_S   UINT64_C(1000000000)
#define TIME_NEVER UINT64_MAX

struct moment {
	uint64_t mono_ns;
	uint64_t boot_ns;
	int64_t wall_ms; /* since 1970-01-01 UTC */
};

/* Reads one clock, in nanoseconds. */
static inline uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Reads all three clocks; for the loop, the helpers' own loops and tools. */
static inline struct moment moment_now(void)
{
	return (struct moment){
		.mono_ns = clock_ns(CLOCK_MONOTONIC),
		.boot_ns = clock_ns(CLOCK_BOOTTIME),
		.wall_ms = (int64_t)(clock_ns(CLOCK_REALTIME) / NS_PER_MS),
	};
}

#define RFC3339_SIZE 32

/*
 * Writes `wall_ms` as RFC 3339 UTC with milliseconds, "2026-01-02T03:04:05.678Z"; years 1970-9999, outside them the
 * nearest. Returns the length, 24. Day arithmetic after Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
 */
static inline size_t rfc3339_format(int64_t wall_ms, char out[RFC3339_SIZE])
{
	const int64_t last = 253402300799999;
	uint64_t ms = wall_ms < 0 ? 0 : (uint64_t)(wall_ms > last ? last : wall_ms);
	uint64_t days = ms / 86400000 + 719468, second = ms / 1000 % 86400;
	uint64_t era = days / 146097, doe = days % 146097;
	uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	uint64_t month = mp < 10 ? mp + 3 : mp - 9;
	uint64_t fields[] = { yoe + era * 400 + (month <= 2),
			      month,
			      doy - (153 * mp + 2) / 5 + 1,
			      second / 3600,
			      second / 60 % 60,
			      second % 60,
			      ms % 1000 };
	static const char shape[] = "yyyy-mm-ddThh:mm:ss.fffZ";
	static const unsigned char ends[] = { 3, 6, 9, 12, 15, 18, 22 };

	memcpy(out, shape, sizeof(shape));
	for (unsigned i = 0; i < 7; i++)
		for (int at = ends[i]; at >= 0 && shape[at] >= 'a'; at--, fields[i] /= 10)
			out[at] = (char)('0' + fields[i] % 10);
	return sizeof(shape) - 1;
}

#endif
