/* SPDX-License-Identifier: MIT */
/*
 * Finds the id, or the type, of a line that cannot be parsed, so that its sender gets an answer. The top level is read
 * strictly, nested values are only skipped; the search ends at the first ambiguity.
 */
#include "json_check.h"

#include <stdbool.h>
#include <string.h>

#include "json_escape.h"
#include "json_walk.h"
#include "utf8.h"

struct scan {
	const unsigned char *at, *end;
};

static unsigned char peek(const struct scan *s)
{
	return s->at < s->end ? *s->at : 0;
}

/* Bytes of `code` in UTF-8, written at `out` if they fit in `room`; 0 if not. */
static size_t utf8_encode(uint32_t code, char *out, size_t room)
{
	size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = { 0, 0, 0xC0, 0xE0, 0xF0 };

	if (n > room)
		return 0;
	for (size_t i = n; i-- > 1; code >>= 6)
		out[i] = (char)(0x80 | (code & 0x3F));
	out[0] = (char)(lead[n] | code);
	return n;
}

/* Decodes the string behind the quote at `p` into out[JSON_ID_MAX + 1]; its length, or 0 if it is no acceptable id. */
static size_t text_decode(const unsigned char *p, const unsigned char *end, char *out)
{
	size_t len = 0;

	for (p++; p < end && *p != '"';) {
		uint32_t code = 0;
		int n = *p == '\\' ? json_escape_decode(p, end, &code) : utf8_decode(p, end, &code);
		size_t bytes;

		if (n <= 0 || *p < 0x20 || code == 0)
			return 0;
		bytes = utf8_encode(code, out + len, JSON_ID_MAX - len);
		if (bytes == 0)
			return 0;
		len += bytes;
		p += n;
	}
	if (p >= end)
		return 0;
	out[len] = '\0';
	return len;
}

static void skip_space(struct scan *s)
{
	s->at = (const unsigned char *)json_skip_space((const char *)s->at, (const char *)s->end);
}

static void skip_string(struct scan *s)
{
	s->at = (const unsigned char *)json_skip_string((const char *)s->at, (const char *)s->end);
}

/* False if its end cannot be found. */
static bool skip_value(struct scan *s)
{
	const char *next = json_skip_value((const char *)s->at, (const char *)s->end);

	if (next)
		s->at = (const unsigned char *)next;
	return next != NULL;
}

/*
 * True if a member, or the line, ends here. Otherwise this may be a half line with another line behind it, and the text
 * a guess.
 */
static bool member_ends(const struct scan *s)
{
	return s->at == s->end || *s->at == ',' || *s->at == '}';
}

static size_t scan_text(const char *line, size_t len, const char *wanted, char out[JSON_ID_MAX + 1])
{
	struct scan s = { (const unsigned char *)line, (const unsigned char *)line + len };
	size_t wanted_len = strlen(wanted), text_len = 0;
	bool seen = false;

	skip_space(&s);
	for (unsigned char before = '{'; peek(&s) == before; before = ',') {
		char key[JSON_ID_MAX + 1];
		bool is_wanted;

		s.at++;
		skip_space(&s);
		if (peek(&s) != '"')
			break;
		is_wanted = text_decode(s.at, s.end, key) == wanted_len && memcmp(key, wanted, wanted_len) == 0;
		skip_string(&s);
		skip_space(&s);
		if (peek(&s) != ':')
			break;
		s.at++;
		skip_space(&s);
		if (is_wanted && seen)
			return 0;
		if (is_wanted) {
			seen = true;
			text_len = peek(&s) == '"' ? text_decode(s.at, s.end, out) : 0;
		}
		if (!skip_value(&s))
			break;
		skip_space(&s);
		if (is_wanted && !member_ends(&s))
			return 0;
	}
	return text_len;
}

size_t json_scan_id(const char *line, size_t len, char out[JSON_ID_MAX + 1])
{
	return scan_text(line, len, "id", out);
}

size_t json_scan_type(const char *line, size_t len, char out[JSON_ID_MAX + 1])
{
	return scan_text(line, len, "type", out);
}
