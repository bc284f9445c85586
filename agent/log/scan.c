/* SPDX-License-Identifier: MIT */
/*
 * Walks over the outermost object: strings are skipped as strings, brackets only counted. Messages carry the three keys
 * first, so usually a few dozen bytes are read.
 */
#include "agent/log/scan.h"

#include <string.h>

#include "agent/log/stamp.h"

struct walk {
	const char *at, *end;
};

static void skip_blanks(struct walk *w)
{
	while (w->at < w->end && (*w->at == ' ' || *w->at == '\t' || *w->at == '\r'))
		w->at++;
}

/* At a '"': the text between the quotes, escapes not resolved. False if the string does not end. */
static bool take_string(struct walk *w, const char **ret, size_t *ret_len)
{
	const char *start = ++w->at;

	for (; w->at < w->end && *w->at != '"'; w->at++)
		if (*w->at == '\\' && w->at + 1 < w->end)
			w->at++;
	if (w->at >= w->end)
		return false;
	*ret = start;
	*ret_len = (size_t)(w->at - start);
	w->at++;
	return true;
}

/* Skips any value, up to the ',' or '}' of the enclosing object. */
static bool skip_value(struct walk *w)
{
	unsigned depth = 0;
	const char *text;
	size_t len;

	while (w->at < w->end) {
		char c = *w->at;

		if (c == '"') {
			if (!take_string(w, &text, &len))
				return false;
			continue;
		}
		if (depth == 0 && (c == ',' || c == '}'))
			return true;
		if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && depth-- == 0)
			return false;
		w->at++;
	}
	return false;
}

static bool take_number(struct walk *w, uint64_t *ret)
{
	uint64_t value = 0;
	const char *start = w->at;

	for (; w->at < w->end && *w->at >= '0' && *w->at <= '9'; w->at++)
		if (__builtin_mul_overflow(value, 10U, &value) ||
		    __builtin_add_overflow(value, (unsigned)(*w->at - '0'), &value))
			return false;
	if (w->at == start)
		return false;
	*ret = value;
	return true;
}

static bool is_key(const char *key, size_t len, const char *name)
{
	return len == strlen(name) && !memcmp(key, name, len);
}

static bool take_member(struct walk *w, struct scan *scan)
{
	const char *key, *text;
	size_t key_len, len;

	if (w->at >= w->end || *w->at != '"' || !take_string(w, &key, &key_len))
		return false;
	skip_blanks(w);
	if (w->at >= w->end || *w->at++ != ':')
		return false;
	skip_blanks(w);
	if (w->at >= w->end)
		return false;
	if (*w->at == '"' && (is_key(key, key_len, "type") || is_key(key, key_len, "timestamp"))) {
		if (!take_string(w, &text, &len))
			return false;
		if (key_len == strlen("timestamp"))
			stamp_parse(text, len, &scan->wall_ms);
		else if (len < sizeof(scan->type))
			memcpy(scan->type, text, len);
		return true;
	}
	if (is_key(key, key_len, "seq") && take_number(w, &scan->seq))
		return true;
	return skip_value(w);
}

static bool has_all(const struct scan *scan)
{
	return scan->type[0] && scan->wall_ms >= 0 && scan->seq;
}

bool scan_line(const char *text, size_t len, struct scan *ret)
{
	struct walk w = { text, text + len };
	struct scan scan = { .wall_ms = -1 };

	if (len && text[len - 1] == '\r')
		w.end--;
	if (w.end - w.at < 2 || *w.at != '{' || w.end[-1] != '}' || memchr(text, '\0', len))
		return false;
	w.at++;
	do {
		skip_blanks(&w);
		if (!take_member(&w, &scan))
			return false;
		skip_blanks(&w);
	} while (!has_all(&scan) && w.at < w.end && *w.at++ == ',');
	if (!scan.type[0] || scan.wall_ms < 0)
		return false;
	*ret = scan;
	return true;
}
