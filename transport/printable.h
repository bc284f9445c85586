/* SPDX-License-Identifier: MIT */
/*
 * Text that is safe to show: UTF-8 without characters that a terminal obeys or that hide or reverse the text beside
 * them. Refused are the controls (C0, DEL, C1), invalid UTF-8, line and paragraph separators, and the format characters
 * without a shape of their own (Unicode 15, general category Cf, and other invisible characters): direction marks and
 * overrides, zero-width characters, tags.
 */
#ifndef TRANSPORT_PRINTABLE_H
#define TRANSPORT_PRINTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "utf8.h"

static inline bool printable_code(uint32_t code)
{
	static const struct {
		uint32_t first, last;
	} refused[] = {
		{ 0x00, 0x1F },	    { 0x7F, 0x9F },	  { 0xAD, 0xAD },	{ 0x34F, 0x34F },
		{ 0x61C, 0x61C },   { 0x115F, 0x1160 },	  { 0x17B4, 0x17B5 },	{ 0x180B, 0x180F },
		{ 0x200B, 0x200F }, { 0x2028, 0x202E },	  { 0x2060, 0x206F },	{ 0x3164, 0x3164 },
		{ 0xFE00, 0xFE0F }, { 0xFEFF, 0xFEFF },	  { 0xFFA0, 0xFFA0 },	{ 0xFFF0, 0xFFFB },
		{ 0xFFFE, 0xFFFF }, { 0x1BCA0, 0x1BCA3 }, { 0x1D173, 0x1D17A }, { 0xE0000, 0xE0FFF },
	};

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]) && code >= refused[i].first; i++)
		if (code <= refused[i].last)
			return false;
	return true;
}

/* Bytes of the character at `p` (p < end) if it may be shown; negative: that many bytes may not. Never 0. */
static inline int printable_step(const unsigned char *p, const unsigned char *end)
{
	uint32_t code = 0;
	int step = utf8_decode(p, end, &code);

	return step > 0 && !printable_code(code) ? -step : step;
}

/* Puts one '?' in the place of each character that may not be shown. Returns the length, which may be less. */
static inline size_t printable_clean(char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + len;
	char *to = text;

	while (p < end) {
		int step = printable_step(p, end);

		if (step < 0)
			*to++ = '?';
		for (int i = 0; i < step; i++)
			*to++ = (char)p[i];
		p += step < 0 ? -step : step;
	}
	return (size_t)(to - text);
}

#endif
