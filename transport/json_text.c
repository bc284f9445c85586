/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as the inside of a JSON string in ASCII. Runs of plain bytes are copied whole; all else goes character by
 * character.
 */
#include "json_text.h"

#include "json_write.h"
#include "utf8.h"

static char hex_digit(unsigned value)
{
	return "0123456789abcdef"[value & 15];
}

static char *put_u(char *at, uint32_t unit)
{
	at[0] = '\\';
	at[1] = 'u';
	for (int i = 0; i < 4; i++)
		at[2 + i] = hex_digit(unit >> (12 - 4 * i));
	return at + 6;
}

/* The letter of a two-byte escape, or 0. */
static char short_escape(uint32_t code)
{
	switch (code) {
	case '"':
	case '\\':
		return (char)code;
	case '\b':
		return 'b';
	case '\f':
		return 'f';
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	default:
		return 0;
	}
}

/* One character that is not plain, at `p`: its bytes in the source; NUL and invalid bytes become U+FFFD. */
static size_t take_special(const unsigned char *p, const unsigned char *end, uint32_t *ret_code)
{
	int n = utf8_decode(p, end, ret_code);

	if (n < 0 || *ret_code == 0)
		*ret_code = 0xFFFD;
	return (size_t)(n < 0 ? -n : n);
}

static size_t escaped_len(uint32_t code)
{
	return code > 0xFFFF ? 12 : short_escape(code) ? 2 : 6;
}

static char *put_escaped(char *at, uint32_t code)
{
	char letter = short_escape(code);

	if (letter) {
		at[0] = '\\';
		at[1] = letter;
		return at + 2;
	}
	if (code <= 0xFFFF)
		return put_u(at, code);
	code -= 0x10000;
	return put_u(put_u(at, 0xD800 + (code >> 10)), 0xDC00 + (code & 0x3FF));
}

/* How much of the text fits into `room` encoded bytes: *ret_taken of the source, and the bytes they become. */
static size_t measure(const char *bytes, size_t len, size_t room, size_t *ret_taken)
{
	const unsigned char *p = (const unsigned char *)bytes, *end = len ? p + len : p;
	size_t used = 0;

	while (p < end) {
		size_t run = utf8_plain_run(p, end), n, cost;
		uint32_t code;

		if (run > room - used)
			run = room - used;
		p += run;
		used += run;
		if (p == end || used == room)
			break;
		n = take_special(p, end, &code);
		cost = escaped_len(code);
		if (cost > room - used)
			break;
		p += n;
		used += cost;
	}
	*ret_taken = (size_t)(p - (const unsigned char *)bytes);
	return used;
}

size_t json_text_encoded_len(const char *bytes, size_t len)
{
	size_t taken;

	return measure(bytes, len, SIZE_MAX, &taken);
}

size_t json_text_fit(const char *bytes, size_t len, size_t room)
{
	size_t taken;

	measure(bytes, len, room, &taken);
	return taken;
}

char *json_text_put(char *at, const char *limit, const char *bytes, size_t len)
{
	const unsigned char *p = (const unsigned char *)bytes, *end = len ? p + len : p;

	while (p < end) {
		size_t run = utf8_plain_run(p, end);
		uint32_t code;

		if (run > (size_t)(limit - at))
			return NULL;
		memcpy(at, p, run);
		at += run;
		p += run;
		if (p == end)
			break;
		p += take_special(p, end, &code);
		if (escaped_len(code) > (size_t)(limit - at))
			return NULL;
		at = put_escaped(at, code);
	}
	return at;
}
