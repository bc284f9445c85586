/* SPDX-License-Identifier: MIT */
/*
 * Steps over a line of JSON without building a tree: what is passed over is not judged, only its end is found. For
 * lines that were checked before, or whose reader bears anything. All pure; `end` is behind the last byte, and no step
 * goes beyond it.
 */
#ifndef TRANSPORT_JSON_WALK_H
#define TRANSPORT_JSON_WALK_H

#include <stdbool.h>
#include <stddef.h>

static inline const char *json_skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'))
		p++;
	return p;
}

/* The position behind the string with its opening quote at `p`; `end` if it does not close. */
const char *json_skip_string(const char *p, const char *end);

/* The position behind the value at `p`, which may be invalid inside; NULL if its end cannot be found. */
const char *json_skip_value(const char *p, const char *end);

/*
 * The position behind the object or array that `p` is inside of (in front of a value, a key, or a comma); NULL if it
 * does not end.
 */
const char *json_skip_rest(const char *p, const char *end);

/* True if the string with its opening quote at `p` is `text`, its escapes decoded. */
bool json_string_is(const char *p, const char *end, const char *text, size_t len);

#endif
