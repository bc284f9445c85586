/* SPDX-License-Identifier: MIT */
/*
 * One sample as the numbers that are served of it, small and bounded: what a guest sent is looked at once and not kept.
 */
#ifndef HUB_SERIES_H
#define HUB_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <json-c/json.h>

#define SERIES_NO_LABELS UINT16_MAX

struct series {
	uint16_t metric; /* index in metrics[] */
	uint16_t labels; /* where its labels begin in the text; SERIES_NO_LABELS */
	uint32_t labels_len;
	double value;
};

/* In the order of metrics[]; labels are escaped already, `device="eth0",fstype="ext4"`. One block of memory. */
struct series_set {
	int64_t time_ms; /* the guest's clock */
	uint64_t seq;
	size_t count;
	size_t dropped; /* series beyond the bounds */
	const char *text;
	struct series series[];
};

struct series_bounds {
	size_t series, labels; /* a number, and bytes */
};

/*
 * What hardly ever changes stands in whole samples alone. This is as much of the last one as series are made of, from
 * which others are completed: to be put. NULL without memory.
 */
struct json_object *series_keep_whole(struct json_object *message);

/*
 * The series of a metrics message, completed from `whole` (of series_keep_whole; NULL: nothing). *ret is to be freed.
 * 0; -EINVAL: it is none (no data, no time, no number); -ENOMEM. Series of equal name and labels in one sample are one:
 * the first.
 */
int series_of_sample(struct json_object *message, struct json_object *whole, const struct series_bounds *bounds,
		     struct series_set **ret);

/* The index of the first series whose metric is not before `metric`. */
size_t series_find(const struct series_set *set, size_t metric);

/* Bytes of the block. */
size_t series_size(const struct series_set *set);

/*
 * Writes a value of a label, escaped as the text formats want it (\\ \" \n), what may not be shown as '?', at most
 * `max` bytes of the text. Returns the length, which is at most 2 * max; `out` has room for that.
 */
size_t label_escape(char *out, const char *text, size_t len, size_t max);

#endif
