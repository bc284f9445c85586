/* SPDX-License-Identifier: MIT */
/*
 * Exact UTF-8 (RFC 3629), shared by the validator and the writer: no overlong forms, no surrogates, nothing above
 * U+10FFFF. And eight bytes at a time, the question both ask of nearly all text: is it plain?
 */
#ifndef TRANSPORT_UTF8_H
#define TRANSPORT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Decodes one character at `p` (p < end). Returns its bytes and sets *ret_code; or, negative, how many bytes to replace
 * by one U+FFFD: the longest start of a character that could have become valid (Unicode 15, section 3.9), at least one.
 */
static inline int utf8_decode(const unsigned char *p, const unsigned char *end, uint32_t *ret_code)
{
	unsigned char first = p[0], low = 0x80, high = 0xBF;
	uint32_t code;
	int more;

	if (first < 0x80) {
		*ret_code = first;
		return 1;
	}
	if (first < 0xC2 || first > 0xF4)
		return -1;
	if (first < 0xE0) {
		more = 1;
		code = first & 0x1F;
	} else if (first < 0xF0) {
		more = 2;
		code = first & 0x0F;
		low = first == 0xE0 ? 0xA0 : 0x80;
		high = first == 0xED ? 0x9F : 0xBF;
	} else {
		more = 3;
		code = first & 0x07;
		low = first == 0xF0 ? 0x90 : 0x80;
		high = first == 0xF4 ? 0x8F : 0xBF;
	}
	for (int i = 1; i <= more; i++) {
		if (p + i >= end || p[i] < low || p[i] > high)
			return -i;
		code = code << 6 | (p[i] & 0x3F);
		low = 0x80;
		high = 0xBF;
	}
	*ret_code = code;
	return more + 1;
}

/*
 * True for bytes that stand for themselves inside a JSON string of ASCII: not a control, '"', '\\', DEL or non-ASCII.
 */
static inline bool utf8_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

/*
 * Length of the run of plain bytes at `p`. The word test is the classic "has a byte less than / equal to" arithmetic; a
 * borrow can only make a plain byte above a special one look special, and the byte loop then settles it.
 */
static inline size_t utf8_plain_run(const unsigned char *p, const unsigned char *end)
{
	const uint64_t ones = 0x0101010101010101ULL, tops = 0x8080808080808080ULL;
	const unsigned char *at = p;

	while (end - at >= 8) {
		uint64_t word, quote, slash, del;

		memcpy(&word, at, sizeof(word));
		quote = word ^ ones * '"';
		slash = word ^ ones * '\\';
		del = word ^ ones * 0x7F;
		if ((word | (word - ones * 0x20) | (quote - ones) | (slash - ones) | (del - ones)) & tops)
			break;
		at += 8;
	}
	while (at < end && utf8_plain(*at))
		at++;
	return (size_t)(at - p);
}

#endif
