/* SPDX-License-Identifier: MIT */
#include "agent/rules/join_rule.h"

#include <stdio.h>
#include <string.h>

#define NAMES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"

/* Letters, digits, hyphens and the characters of `more`, not beginning with a hyphen or a dot. */
static bool is_name(const char *text, const char *more, size_t max)
{
	char allowed[sizeof(NAMES) + 8];
	size_t len = strlen(text);

	snprintf(allowed, sizeof(allowed), "%s%s", NAMES, more);
	return len > 0 && len <= max && *text != '-' && *text != '.' && strspn(text, allowed) == len;
}

/*
 * Any text without control characters. It may begin with a hyphen: realm gets it behind a "=" or on stdin, never as an
 * option.
 */
static bool is_line(const char *text, size_t max)
{
	size_t len = strnlen(text, max + 1);

	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	return len <= max;
}

bool join_part_valid(enum join_part part, const char *text)
{
	switch (part) {
	case JOIN_DOMAIN:
		return is_name(text, ".", JOIN_DOMAIN_MAX);
	case JOIN_USER:
		return *text && *text != '-' && is_line(text, JOIN_USER_MAX);
	case JOIN_PASSWORD:
		return *text && is_line(text, JOIN_PASSWORD_MAX);
	case JOIN_UNIT:
		return is_line(text, JOIN_UNIT_MAX);
	case JOIN_COMPUTER:
		return !*text || is_name(text, "", JOIN_COMPUTER_MAX);
	default:
		return false;
	}
}

bool join_parse(const char *text, size_t len, struct join_request *ret)
{
	size_t at = 0;

	for (unsigned part = 0; part < JOIN_PARTS; part++) {
		const char *end = at < len ? memchr(text + at, '\0', len - at) : NULL;

		if (!end || !join_part_valid((enum join_part)part, text + at))
			return false;
		ret->parts[part] = text + at;
		at = (size_t)(end - text) + 1;
	}
	return at == len;
}
