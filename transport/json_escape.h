/* SPDX-License-Identifier: MIT */
/* The escapes of a JSON string, read: for the validator and for the search of an id. */
#ifndef TRANSPORT_JSON_ESCAPE_H
#define TRANSPORT_JSON_ESCAPE_H

#include <stdint.h>
#include <string.h>

static inline int json_hex_value(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four hex digits at `p`, or -1. */
static inline int json_hex4(const unsigned char *p, const unsigned char *end)
{
	int value = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int digit = json_hex_value(p[i]);

		if (digit < 0)
			return -1;
		value = value << 4 | digit;
	}
	return value;
}

/*
 * Decodes the escape with its backslash at `p`. Returns its bytes and sets *ret_code, or 0: no escape of RFC 8259, or
 * half a surrogate pair.
 */
static inline int json_escape_decode(const unsigned char *p, const unsigned char *end, uint32_t *ret_code)
{
	static const char letters[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	const char *letter;
	int high, low;

	if (end - p < 2 || p[1] == '\0')
		return 0;
	if (p[1] != 'u') {
		letter = strchr(letters, p[1]);
		if (!letter)
			return 0;
		*ret_code = (unsigned char)values[letter - letters];
		return 2;
	}
	high = json_hex4(p + 2, end);
	if (high < 0 || (high >= 0xDC00 && high <= 0xDFFF))
		return 0;
	if (high < 0xD800 || high > 0xDFFF) {
		*ret_code = (uint32_t)high;
		return 6;
	}
	if (end - p < 12 || p[6] != '\\' || p[7] != 'u')
		return 0;
	low = json_hex4(p + 8, end);
	if (low < 0xDC00 || low > 0xDFFF)
		return 0;
	*ret_code = 0x10000 + ((uint32_t)(high - 0xD800) << 10) + (uint32_t)(low - 0xDC00);
	return 12;
}

#endif
