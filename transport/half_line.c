/* SPDX-License-Identifier: MIT */
/* See half_line.h: one pass backwards finds the one place where a whole object can begin, the validator judges it. */
#include "half_line.h"

#include <stdbool.h>

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* True if the quote at `at` begins or ends a string: an even number of backslashes stands before it. */
static bool ends_string(const char *line, size_t at)
{
	size_t i = at;

	while (i > 0 && line[i - 1] == '\\')
		i--;
	return (at - i) % 2 == 0;
}

/* Where the object begins that the last byte of the line closes; `len` if nowhere, or too deep. */
static size_t find_opening(const char *line, size_t len, unsigned depth_max)
{
	unsigned depth = 0;
	bool text = false;

	for (size_t at = len; at-- > 0;) {
		char c = line[at];

		if (c == '"' && ends_string(line, at))
			text = !text;
		else if (text)
			continue;
		else if ((c == '}' || c == ']') && ++depth > depth_max)
			return len;
		else if ((c == '{' || c == '[') && --depth == 0)
			return at;
	}
	return len;
}

size_t half_line_length(struct json_check *check, const char *line, size_t len, const struct json_limits *limits)
{
	char type[JSON_ID_MAX + 1];
	size_t end = len, begin;

	while (end > 0 && is_space(line[end - 1]))
		end--;
	if (end == 0 || line[end - 1] != '}')
		return len;
	begin = find_opening(line, end, limits ? limits->depth : JSON_DEPTH_MAX);
	if (begin == end || json_check_line(check, line + begin, end - begin, limits, NULL) < 0 ||
	    json_scan_type(line + begin, end - begin, type) == 0)
		return len;
	for (size_t i = 0; i < begin; i++)
		if (!is_space(line[i]))
			return begin;
	return 0; /* nothing but blanks: no half of anything */
}
