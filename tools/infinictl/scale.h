/* SPDX-License-Identifier: MIT */
/* The axes of a chart: round numbers for the values, in their unit, and times. Pure. */
#ifndef TOOLS_INFINICTL_SCALE_H
#define TOOLS_INFINICTL_SCALE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/catalog/catalog.h"

struct scale {
	double low, high, step; /* high > low; both multiples of step */
};

/*
 * Round ends around min..max (min <= max), with at most about `ticks` steps; from 0 on unless the values are close to
 * each other and far from it. Bytes are rounded in the powers of 1024 that they are shown in.
 */
struct scale scale_make(double min, double max, unsigned ticks, enum catalog_unit unit);

/* A value as people read it: "12.5%", "1.5G", "3.2M/s". */
void scale_value(double value, enum catalog_unit unit, char *out, size_t size);

/* A round width for times, at least span_ms / ticks: a second, 5 min, an hour, a day … */
int64_t scale_time_step(int64_t span_ms, unsigned ticks);

/* The first multiple of `step_ms` at or after `ms`, in local time unless `utc`. */
int64_t scale_time_first(int64_t ms, int64_t step_ms, bool utc);

/* "14:05", "14:05:30", "21 Sep", as the step wants it. */
void scale_time(int64_t ms, int64_t step_ms, bool utc, char *out, size_t size);

#endif
