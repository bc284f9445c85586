/* SPDX-License-Identifier: MIT */
/* The values of a metric within a span of time, as one number: average, sum, percentiles … Pure; time is no part of it.
 */
#ifndef TOOLS_INFINICTL_AGGREGATE_H
#define TOOLS_INFINICTL_AGGREGATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/err.h>

/* Values that are held for percentiles; of more, the percentiles are unknown. 16 MiB. */
#define AGGREGATE_VALUES_MAX (1u << 20)

enum aggregate_kind {
	AGGREGATE_COUNT,
	AGGREGATE_SUM,
	AGGREGATE_AVERAGE,
	AGGREGATE_MIN,
	AGGREGATE_MAX,
	AGGREGATE_LAST,
	AGGREGATE_PERCENTILE,
};

struct aggregate_function {
	enum aggregate_kind kind;
	double percent; /* of AGGREGATE_PERCENTILE, 0-100 */
};

/* One value, or several of which their least, greatest, average and last one are known. */
struct aggregate_several {
	uint64_t count; /* 1 or more */
	double min, average, max, last;
};

struct aggregate_held {
	double value;
	uint64_t count;
};

struct aggregate {
	uint64_t count;
	double sum, min, max, last;
	struct aggregate_held *values; /* for percentiles; NULL when none is wanted */
	size_t held, room;
	bool wants_values, lost;
};

/* "average", "min", "max", "sum", "last", "count", "p95", "p99.9". 0, or -EINVAL with words. */
int aggregate_function_parse(const char *text, size_t len, struct aggregate_function *ret, struct err *err);

/* `percentiles`: whether some will be asked for. */
void aggregate_init(struct aggregate *aggregate, bool percentiles);
void aggregate_add(struct aggregate *aggregate, double value);
/* For percentiles they count as so many of their average. */
void aggregate_add_several(struct aggregate *aggregate, const struct aggregate_several *several);

/*
 * False when it is unknown: of no value at all (but count and sum, which are 0), or a percentile of more than
 * AGGREGATE_VALUES_MAX values. A percentile is the smallest value that at least so many percent are not above (nearest
 * rank). May sort the values that are held.
 */
bool aggregate_result(struct aggregate *aggregate, struct aggregate_function function, double *ret);

/* Empty again, for the next span; keeps its memory. */
void aggregate_reset(struct aggregate *aggregate);
void aggregate_done(struct aggregate *aggregate);

#endif
