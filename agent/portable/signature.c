/* SPDX-License-Identifier: MIT */
/* Types of D-Bus: their signatures, alignments and sizes; and buffers that grow. See wire.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/portable/wire.h"

static size_t type_len(const char *s, size_t len, unsigned depth)
{
	size_t at = 1, part;

	if (len == 0 || depth > WIRE_DEPTH_MAX)
		return 0;
	switch (s[0]) {
	case 'a':
		part = type_len(s + 1, len - 1, depth + 1);
		return part ? part + 1 : 0;
	case '(':
	case '{':
		while (at < len && s[at] != ')' && s[at] != '}') {
			part = type_len(s + at, len - at, depth + 1);
			if (part == 0)
				return 0;
			at += part;
		}
		return at > 1 && at < len && s[at] == (s[0] == '(' ? ')' : '}') ? at + 1 : 0;
	default:
		return s[0] && strchr("ybnqiuxtdsogvh", s[0]) ? 1 : 0;
	}
}

size_t wire_type_len(const char *signature, size_t len)
{
	return type_len(signature, len, 0);
}

size_t wire_alignment(char type)
{
	switch (type) {
	case 'y':
	case 'g':
	case 'v':
		return 1;
	case 'n':
	case 'q':
		return 2;
	case 'x':
	case 't':
	case 'd':
	case '(':
	case '{':
		return 8;
	default:
		return 4;
	}
}

size_t wire_size(char type)
{
	return type && strchr("ynqbiuhxtd", type) ? wire_alignment(type) : 0;
}

int wire_reserve(struct wire_bytes *bytes, size_t more, size_t limit)
{
	size_t room = bytes->room ? bytes->room : 256;
	uint8_t *data;

	if (more > limit || bytes->len > limit - more)
		return -EMSGSIZE;
	while (room < bytes->len + more)
		room *= 2;
	if (room == bytes->room)
		return 0;
	data = realloc(bytes->data, room);
	if (!data)
		return -ENOMEM;
	bytes->data = data;
	bytes->room = room;
	return 0;
}

void wire_free(struct wire_bytes *bytes)
{
	free(bytes->data);
	*bytes = (struct wire_bytes){ .data = NULL };
}
