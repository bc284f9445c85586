/* SPDX-License-Identifier: MIT */
/*
 * Values out of a message that came, see wire.h and sd_bus_message_read(3). What a peer says of lengths and types is
 * held against the bytes that are there at every step; -EBADMSG when they do not agree.
 */
#include <byteswap.h>
#include <errno.h>
#include <string.h>

#include "agent/portable/wire.h"

static struct wire_frame *top(sd_bus_message *message)
{
	return &message->frames[message->depth];
}

/* The type of what comes next is left of it, whole; NULL: nothing is. */
static const char *next_type(sd_bus_message *message, size_t *ret_len)
{
	const struct wire_frame *frame = top(message);

	*ret_len = wire_type_len(frame->signature + frame->next, frame->len - frame->next);
	return *ret_len ? frame->signature + frame->next : NULL;
}

static bool at_end_of_array(sd_bus_message *message)
{
	return top(message)->kind == 'a' && message->at >= top(message)->end;
}

/* An array has the same type again and again. */
static void pass(struct wire_frame *frame, size_t type_len)
{
	if (frame->kind != 'a')
		frame->next += type_len;
}

/* `size` bytes at the next multiple of `alignment`; NULL: there are not so many. */
static const uint8_t *take(sd_bus_message *message, size_t alignment, size_t size)
{
	size_t at = wire_align(message->at, alignment), end = top(message)->end;

	if (at > end || size > end - at)
		return NULL;
	message->at = at + size;
	return message->body + at;
}

static int take_u32(sd_bus_message *message, uint32_t *ret)
{
	const uint8_t *at = take(message, 4, sizeof(*ret));

	if (!at)
		return -EBADMSG;
	memcpy(ret, at, sizeof(*ret));
	if (message->swapped)
		*ret = bswap_32(*ret);
	return 0;
}

static int take_text(sd_bus_message *message, char type, const char **ret)
{
	const uint8_t *at;
	uint32_t len;

	if (type == 'g') {
		at = take(message, 1, 1);
		len = at ? *at : 0;
	} else if (take_u32(message, &len) < 0) {
		return -EBADMSG;
	} else {
		at = message->body;
	}
	if (at)
		at = take(message, 1, (size_t)len + 1);
	if (!at || at[len] != '\0' || memchr(at, '\0', len))
		return -EBADMSG;
	*ret = (const char *)at;
	return 0;
}

static int take_number(sd_bus_message *message, char type, void *out)
{
	size_t size = wire_size(type);
	const uint8_t *at = take(message, size, size);
	uint8_t value[8];

	if (!at)
		return -EBADMSG;
	for (size_t i = 0; i < size; i++)
		value[i] = at[message->swapped ? size - 1 - i : i];
	if (out)
		memcpy(out, value, size);
	return 0;
}

static int read_basic(sd_bus_message *message, char type, void *out)
{
	const char *text, *there;
	size_t len;
	int r;

	there = next_type(message, &len);
	if (!there || there[0] != type)
		return -ENXIO;
	if (at_end_of_array(message))
		return 0;
	if (wire_size(type) > 0) {
		r = take_number(message, type, out);
	} else {
		r = take_text(message, type, &text);
		if (r >= 0 && out)
			memcpy(out, &text, sizeof(text));
	}
	if (r < 0)
		return r;
	pass(top(message), len);
	return 1;
}

/* ------------------------------------------------------------------------------------------------------ containers */

/* An array ends where its length says, anything else with what it is in. */
static int frame_open(sd_bus_message *message, char kind, const char *contents, size_t len)
{
	size_t end = top(message)->end;
	uint32_t bytes = 0;

	if (message->depth + 1 >= WIRE_DEPTH_MAX)
		return -EBADMSG;
	if (kind == 'a' && take_u32(message, &bytes) < 0)
		return -EBADMSG;
	if (kind != 'v' && !take(message, kind == 'a' ? wire_alignment(contents[0]) : 8, 0))
		return -EBADMSG;
	if (kind == 'a' && bytes > end - message->at)
		return -EBADMSG;
	message->frames[++message->depth] = (struct wire_frame){
		.kind = kind, .signature = contents, .len = len, .end = kind == 'a' ? message->at + bytes : end
	};
	return 1;
}

/* The signature in front of its value. */
static int variant_open(sd_bus_message *message, const char *contents, size_t len)
{
	const char *there;
	size_t before = message->at;

	if (take_text(message, 'g', &there) < 0)
		return -EBADMSG;
	if (strlen(there) != len || memcmp(there, contents, len) != 0) {
		message->at = before;
		return -ENXIO;
	}
	return frame_open(message, 'v', there, len);
}

static int container_open(sd_bus_message *message, char kind, const char *contents, size_t len)
{
	const char *type;
	size_t type_len, head = kind == 'r' || kind == 'e' ? 1 : 0;
	struct wire_frame *frame = top(message);
	int r;

	type = next_type(message, &type_len);
	if (!type || type[0] != (kind == 'r' ? '(' : kind == 'e' ? '{' : kind))
		return -ENXIO;
	if (kind != 'v' && (type_len != len + 1 + head || memcmp(type + 1, contents, len) != 0))
		return -ENXIO;
	if (at_end_of_array(message))
		return 0;
	r = kind == 'v' ? variant_open(message, contents, len) : frame_open(message, kind, type + 1, len);
	if (r > 0)
		pass(frame, type_len);
	return r;
}

int sd_bus_message_enter_container(sd_bus_message *message, char type, const char *contents)
{
	return container_open(message, type, contents, strlen(contents));
}

int sd_bus_message_exit_container(sd_bus_message *message)
{
	const struct wire_frame *frame = top(message);

	if (message->depth == 0)
		return -ENXIO;
	if (frame->kind == 'a' ? message->at < frame->end : frame->next < frame->len)
		return -EBUSY;
	message->depth--;
	return 1;
}

/* ------------------------------------------------------------------------------------------------------------ many */

static int read_all(sd_bus_message *message, const char *types, size_t len, struct wire_args *args);

static int read_inside(sd_bus_message *message, char kind, const char *contents, size_t len, struct wire_args *args)
{
	int r = container_open(message, kind, contents, len);

	if (r > 0)
		r = read_all(message, contents, len, args);
	if (r > 0)
		r = sd_bus_message_exit_container(message);
	return r;
}

static int read_one(sd_bus_message *message, const char *type, size_t len, struct wire_args *args)
{
	const char *contents;

	switch (type[0]) {
	case 'v':
		contents = va_arg(args->list, const char *);
		return read_inside(message, 'v', contents, strlen(contents), args);
	case '(':
	case '{':
		return read_inside(message, type[0] == '(' ? 'r' : 'e', type + 1, len - 2, args);
	case 'a':
	case 'h':
		return -EOPNOTSUPP; /* nobody asks for them in this way */
	default:
		return read_basic(message, type[0], va_arg(args->list, void *));
	}
}

/* 0: the array that it is in has ended. */
static int read_all(sd_bus_message *message, const char *types, size_t len, struct wire_args *args)
{
	for (size_t at = 0, n; at < len; at += n) {
		int r;

		n = wire_type_len(types + at, len - at);
		if (n == 0)
			return -EINVAL;
		r = read_one(message, types + at, n, args);
		if (r <= 0)
			return r < 0 || at == 0 ? r : -ENXIO;
	}
	return 1;
}

int sd_bus_message_read(sd_bus_message *message, const char *types, ...)
{
	struct wire_args args;
	int r;

	va_start(args.list, types);
	r = read_all(message, types, strlen(types), &args);
	va_end(args.list);
	return r;
}

/* ------------------------------------------------------------------------------------------------------------ skip */

static int skip_value(sd_bus_message *message, const char *type, size_t len, unsigned depth)
{
	const char *text;
	uint32_t bytes;

	if (depth > WIRE_DEPTH_MAX)
		return -EBADMSG;
	switch (type[0]) {
	case 'a':
		if (take_u32(message, &bytes) < 0)
			return -EBADMSG;
		return take(message, wire_alignment(type[1]), bytes) ? 0 : -EBADMSG;
	case 'v':
		if (take_text(message, 'g', &text) < 0 || *text == '\0' ||
		    wire_type_len(text, strlen(text)) != strlen(text))
			return -EBADMSG;
		return skip_value(message, text, strlen(text), depth + 1);
	case '(':
	case '{':
		if (!take(message, 8, 0))
			return -EBADMSG;
		for (size_t at = 1, n; at < len - 1; at += n) {
			n = wire_type_len(type + at, len - 1 - at);
			if (n == 0 || skip_value(message, type + at, n, depth + 1) < 0)
				return -EBADMSG;
		}
		return 0;
	case 's':
	case 'o':
	case 'g':
		return take_text(message, type[0], &text);
	default:
		return take_number(message, type[0], NULL);
	}
}

int sd_bus_message_skip(sd_bus_message *message, const char *types)
{
	size_t rest = strlen(types);

	while (rest > 0) {
		size_t len;
		const char *there = next_type(message, &len);
		int r;

		if (!there || len > rest || memcmp(there, types, len) != 0)
			return -ENXIO;
		if (at_end_of_array(message))
			return 0;
		r = skip_value(message, there, len, 0);
		if (r < 0)
			return r;
		pass(top(message), len);
		types += len;
		rest -= len;
	}
	return 1;
}
