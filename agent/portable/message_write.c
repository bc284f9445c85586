/* SPDX-License-Identifier: MIT */
/*
 * Values into a message that is being made, see wire.h and sd_bus_message_append(3). One array may be open at a time.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "agent/portable/wire.h"
#include "transport/utf8.h"

/* Zeroes up to the alignment, then room for `len` bytes, which are returned; NULL and *ret. */
static uint8_t *room_for(struct wire_bytes *out, size_t alignment, size_t len, int *ret)
{
	size_t pad = wire_align(out->len, alignment) - out->len;
	uint8_t *at;

	*ret = wire_reserve(out, pad + len, WIRE_OUT_MAX);
	if (*ret < 0)
		return NULL;
	memset(out->data + out->len, 0, pad);
	at = out->data + out->len + pad;
	out->len += pad + len;
	return at;
}

/* A peer hangs up on whoever sends it what is no UTF-8. */
static bool is_text(const char *text)
{
	const unsigned char *at = (const unsigned char *)text, *end = at + strlen(text);
	uint32_t code;

	while (at < end) {
		int n = utf8_decode(at, end, &code);

		if (n < 0)
			return false;
		at += n;
	}
	return true;
}

static bool is_path(const char *path)
{
	if (path[0] != '/')
		return false;
	for (const char *at = path; *at; at++)
		if (*at == '/' ? at[1] == '/' || (at[1] == '\0' && at != path)
			       : !strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_", *at))
			return false;
	return true;
}

static int put_text(struct wire_bytes *out, char type, const char *text)
{
	size_t len = strlen(text), head = type == 'g' ? 1 : 4;
	uint32_t count = (uint32_t)len;
	uint8_t *at;
	int r;

	if ((type == 'g' && len > WIRE_SIGNATURE_MAX) || (type == 's' && !is_text(text)) ||
	    (type == 'o' && !is_path(text)))
		return -EINVAL;
	if (len > WIRE_OUT_MAX)
		return -EMSGSIZE;
	at = room_for(out, head, head + len + 1, &r);
	if (!at)
		return r;
	if (type == 'g')
		at[0] = (uint8_t)len;
	else
		memcpy(at, &count, sizeof(count));
	memcpy(at + head, text, len + 1);
	return 0;
}

int wire_put(struct wire_bytes *out, char type, const void *value)
{
	size_t size = wire_size(type);
	uint8_t *at;
	int r;

	if (size == 0)
		return put_text(out, type, value);
	at = room_for(out, size, size, &r);
	if (at)
		memcpy(at, value, size);
	return r;
}

/* The descriptor is copied, and stands in the body as its number among those of the message. */
static int put_fd(sd_bus_message *message, int fd)
{
	uint32_t index = message->fd_count;
	int copy = index < WIRE_FDS_MAX ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;

	if (copy < 0)
		return index < WIRE_FDS_MAX ? -errno : -EMSGSIZE;
	message->fds[message->fd_count++] = copy;
	return wire_put(&message->tail, 'h', &index);
}

static int put_number(sd_bus_message *message, char type, struct wire_args *args)
{
	uint64_t wide;
	uint32_t word;
	uint16_t half;
	uint8_t byte;
	double real;

	switch (type) {
	case 'y':
		byte = (uint8_t)va_arg(args->list, int);
		return wire_put(&message->tail, type, &byte);
	case 'n':
	case 'q':
		half = (uint16_t)va_arg(args->list, int);
		return wire_put(&message->tail, type, &half);
	case 'x':
	case 't':
		wide = va_arg(args->list, uint64_t);
		return wire_put(&message->tail, type, &wide);
	case 'd':
		real = va_arg(args->list, double);
		return wire_put(&message->tail, type, &real);
	case 'b':
		word = va_arg(args->list, int) != 0;
		return wire_put(&message->tail, type, &word);
	default:
		word = va_arg(args->list, uint32_t);
		return wire_put(&message->tail, type, &word);
	}
}

/* ------------------------------------------------------------------------------------------------------ containers */

static int put_all(sd_bus_message *message, const char *types, size_t len, struct wire_args *args);

/* The length comes before the padding in front of the first element, and does not count it. */
static int array_begin(sd_bus_message *message, char element, size_t *ret_array, size_t *ret_first)
{
	uint32_t nothing = 0;
	int r = wire_put(&message->tail, 'u', &nothing);

	*ret_array = message->tail.len - sizeof(nothing);
	if (r >= 0)
		room_for(&message->tail, wire_alignment(element), 0, &r);
	*ret_first = message->tail.len;
	return r;
}

static void array_end(sd_bus_message *message, size_t array, size_t first)
{
	uint32_t len = (uint32_t)(message->tail.len - first);

	memcpy(message->tail.data + array, &len, sizeof(len));
}

static int put_array(sd_bus_message *message, const char *element, size_t len, struct wire_args *args)
{
	unsigned count = va_arg(args->list, unsigned);
	size_t array, first;
	int r = array_begin(message, element[0], &array, &first);

	for (unsigned i = 0; i < count && r >= 0; i++)
		r = put_all(message, element, len, args);
	if (r >= 0)
		array_end(message, array, first);
	return r;
}

static int put_variant(sd_bus_message *message, struct wire_args *args)
{
	const char *contents = va_arg(args->list, const char *);
	size_t len = strlen(contents);
	int r = wire_type_len(contents, len) == len ? wire_put(&message->tail, 'g', contents) : -EINVAL;

	return r < 0 ? r : put_all(message, contents, len, args);
}

static int put_one(sd_bus_message *message, const char *type, size_t len, struct wire_args *args)
{
	int r;

	switch (type[0]) {
	case 'a':
		return put_array(message, type + 1, len - 1, args);
	case 'v':
		return put_variant(message, args);
	case '(':
	case '{':
		room_for(&message->tail, 8, 0, &r);
		return r < 0 ? r : put_all(message, type + 1, len - 2, args);
	case 's':
	case 'o':
	case 'g':
		return wire_put(&message->tail, type[0], va_arg(args->list, const char *));
	case 'h':
		return put_fd(message, va_arg(args->list, int));
	default:
		return put_number(message, type[0], args);
	}
}

static int put_all(sd_bus_message *message, const char *types, size_t len, struct wire_args *args)
{
	int r = 0;

	for (size_t at = 0, n; at < len && r >= 0; at += n) {
		n = wire_type_len(types + at, len - at);
		r = n ? put_one(message, types + at, n, args) : -EINVAL;
	}
	return r;
}

/* The types have to be those that the open array has, or become part of the message's own. */
static int declare(sd_bus_message *message, const char *types, size_t len)
{
	const char *contents = message->signature + message->contents;
	size_t n = strlen(message->signature);

	if (message->open) {
		n = strlen(contents);
		for (size_t at = 0; at < len; at += n)
			if (len - at < n || memcmp(types + at, contents, n) != 0)
				return -ENXIO;
		return 0;
	}
	if (len > WIRE_SIGNATURE_MAX - n)
		return -EMSGSIZE;
	memcpy(message->signature + n, types, len);
	message->signature[n + len] = '\0';
	return 0;
}

int wire_append(sd_bus_message *message, const char *types, struct wire_args *args)
{
	size_t len = types ? strlen(types) : 0;
	int r = message->poisoned ? -ESTALE : declare(message, types, len);

	if (r >= 0)
		r = put_all(message, types, len, args);
	message->poisoned = message->poisoned || r < 0;
	return r;
}

int sd_bus_message_appendv(sd_bus_message *message, const char *types, va_list list)
{
	struct wire_args args;
	int r;

	va_copy(args.list, list);
	r = wire_append(message, types, &args);
	va_end(args.list);
	return r;
}

int sd_bus_message_append(sd_bus_message *message, const char *types, ...)
{
	va_list list;
	int r;

	va_start(list, types);
	r = sd_bus_message_appendv(message, types, list);
	va_end(list);
	return r;
}

int sd_bus_message_open_container(sd_bus_message *message, char type, const char *contents)
{
	size_t len = strlen(contents);
	int r;

	if (type != 'a' || message->open || wire_type_len(contents, len) != len)
		return -EINVAL;
	r = declare(message, "a", 1);
	message->contents = strlen(message->signature);
	if (r >= 0)
		r = declare(message, contents, len);
	if (r >= 0)
		r = array_begin(message, contents[0], &message->array, &message->first);
	message->open = true;
	message->poisoned = message->poisoned || r < 0;
	return r;
}

int sd_bus_message_close_container(sd_bus_message *message)
{
	if (message->poisoned || !message->open)
		return -EINVAL;
	array_end(message, message->array, message->first);
	message->open = false;
	return 0;
}
