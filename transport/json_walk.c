/* SPDX-License-Identifier: MIT */
/* Brackets are counted, strings are passed over whole; a table tells the few bytes that matter from all others. */
#include "json_walk.h"

#include <stdint.h>
#include <string.h>

#include "json_escape.h"
#include "utf8.h"

enum { PLAIN, QUOTE, OPEN, CLOSE };

static const unsigned char kinds[256] = {
	['"'] = QUOTE, ['{'] = OPEN, ['['] = OPEN, ['}'] = CLOSE, [']'] = CLOSE,
};

const char *json_skip_string(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\')
			p++;
	return p < end ? p + 1 : end;
}

/* Behind the bracket that closes the `depth` levels that are open. */
static const char *skip_levels(const char *p, const char *end, size_t depth)
{
	while (p < end) {
		switch (kinds[(unsigned char)*p]) {
		case PLAIN:
			p++;
			break;
		case QUOTE:
			p = json_skip_string(p, end);
			break;
		case OPEN:
			depth++;
			p++;
			break;
		default:
			p++;
			if (--depth == 0)
				return p;
		}
	}
	return NULL;
}

const char *json_skip_rest(const char *p, const char *end)
{
	return skip_levels(p, end, 1);
}

/* True for the characters of numbers, true, false, null and words such as NaN. */
static bool is_scalar_byte(char c)
{
	char low = (char)(c | 0x20);

	return (c >= '0' && c <= '9') || (low >= 'a' && low <= 'z') || c == '-' || c == '+' || c == '.';
}

const char *json_skip_value(const char *p, const char *end)
{
	if (p >= end)
		return NULL;
	switch (kinds[(unsigned char)*p]) {
	case QUOTE:
		return json_skip_string(p, end);
	case OPEN:
		return skip_levels(p + 1, end, 1);
	case CLOSE:
		return p;
	default:
		for (; p < end && is_scalar_byte(*p); p++)
			;
		return p < end && (*p == ',' || *p == ' ' || *p == '\t' || kinds[(unsigned char)*p] == CLOSE) ? p
													      : NULL;
	}
}

bool json_string_is(const char *p, const char *end, const char *text, size_t len)
{
	const unsigned char *at = (const unsigned char *)p + 1, *stop = (const unsigned char *)end;
	const unsigned char *want = (const unsigned char *)text, *want_end = want + len;

	/* Nearly always without escapes. */
	if ((size_t)(stop - at) > len && memcmp(at, text, len) == 0 && at[len] == '"' && !memchr(text, '\\', len))
		return true;
	while (at < stop && *at != '"') {
		uint32_t code = 0, wanted = 0;
		int n = *at == '\\' ? json_escape_decode(at, stop, &code) : utf8_decode(at, stop, &code);
		int m = want < want_end ? utf8_decode(want, want_end, &wanted) : 0;

		if (n <= 0 || m <= 0 || code != wanted)
			return false;
		at += n;
		want += m;
	}
	return at < stop && want == want_end;
}
