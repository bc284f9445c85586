/* SPDX-License-Identifier: MIT */
/* One message: its life and its header ("Message Format" of the specification); see wire.h. */
#include <byteswap.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/portable/wire.h"

#define FIXED  16 /* byte order, type, flags, version, length of the body, serial, length of the fields */
#define NATIVE (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 'l' : 'B')

enum {
	FIELD_PATH = 1,
	FIELD_INTERFACE,
	FIELD_MEMBER,
	FIELD_ERROR,
	FIELD_REPLY,
	FIELD_DESTINATION,
	FIELD_SENDER,
	FIELD_SIGNATURE,
	FIELD_FDS
};

static sd_bus_message *message_new(sd_bus *bus, uint8_t type)
{
	sd_bus_message *message = calloc(1, sizeof(*message));

	if (!message)
		return NULL;
	message->refs = 1;
	message->type = type;
	message->bus = wire_bus_ref(bus);
	return message;
}

sd_bus_message *sd_bus_message_ref(sd_bus_message *message)
{
	if (message)
		message->refs++;
	return message;
}

sd_bus_message *sd_bus_message_unref(sd_bus_message *message)
{
	if (!message || --message->refs > 0)
		return NULL;
	for (unsigned i = 0; i < message->fd_count; i++)
		close(message->fds[i]);
	wire_free(&message->head);
	wire_free(&message->tail);
	free(message->bytes);
	wire_bus_unref(message->bus);
	free(message);
	return NULL;
}

sd_bus *sd_bus_message_get_bus(sd_bus_message *message)
{
	return message->bus;
}

const char *sd_bus_message_get_sender(sd_bus_message *message)
{
	return message->sender;
}

const sd_bus_error *sd_bus_message_get_error(sd_bus_message *message)
{
	return message->type == WIRE_ERROR ? &message->error : NULL;
}

int sd_bus_message_is_method_error(sd_bus_message *message, const char *name)
{
	return message->type == WIRE_ERROR && (!name || sd_bus_error_has_name(&message->error, name));
}

int sd_bus_error_has_name(const sd_bus_error *error, const char *name)
{
	return error && error->name && name && strcmp(error->name, name) == 0;
}

int sd_bus_message_set_expect_reply(sd_bus_message *message, int expected)
{
	message->flags = (uint8_t)(expected ? message->flags & ~WIRE_NO_REPLY_EXPECTED
					    : message->flags | WIRE_NO_REPLY_EXPECTED);
	return 0;
}

/* ----------------------------------------------------------------------------------------------------- one to send */

/* A structure of the array of fields: its number and a variant. */
static int field_put(sd_bus_message *message, uint8_t field, char type, const void *value)
{
	const char signature[2] = { type };
	uint64_t nothing = 0;
	size_t at = wire_align(message->head.len, 8);
	int r = 0;

	/* The padding of a structure is made by a number of its alignment, which is then taken back. */
	if (at != message->head.len) {
		r = wire_put(&message->head, 't', &nothing);
		message->head.len = at;
	}
	if (r >= 0)
		r = wire_put(&message->head, 'y', &field);
	if (r >= 0)
		r = wire_put(&message->head, 'g', signature);
	return r < 0 ? r : wire_put(&message->head, type, value);
}

static int outgoing(sd_bus *bus, uint8_t type, sd_bus_message **ret)
{
	static const uint64_t nothing;
	sd_bus_message *message = message_new(bus, type);
	int r = message ? wire_put(&message->head, 't', &nothing) : -ENOMEM;

	if (r >= 0)
		r = wire_put(&message->head, 't', &nothing);
	if (r < 0) {
		sd_bus_message_unref(message);
		return r;
	}
	*ret = message;
	return 0;
}

int sd_bus_message_new_method_call(sd_bus *bus, sd_bus_message **ret, const char *destination, const char *path,
				   const char *interface, const char *member)
{
	sd_bus_message *message = NULL;
	int r = outgoing(bus, WIRE_CALL, &message);

	if (r >= 0)
		r = field_put(message, FIELD_PATH, 'o', path);
	if (r >= 0 && interface)
		r = field_put(message, FIELD_INTERFACE, 's', interface);
	if (r >= 0)
		r = field_put(message, FIELD_MEMBER, 's', member);
	if (r >= 0 && destination)
		r = field_put(message, FIELD_DESTINATION, 's', destination);
	if (r < 0) {
		sd_bus_message_unref(message);
		return r;
	}
	*ret = message;
	return 0;
}

int wire_message_refusal(const sd_bus_message *call, const char *name, sd_bus_message **ret)
{
	sd_bus_message *message = NULL;
	int r = outgoing(call->bus, WIRE_ERROR, &message);

	if (r >= 0)
		r = field_put(message, FIELD_ERROR, 's', name);
	if (r >= 0)
		r = field_put(message, FIELD_REPLY, 'u', &call->serial);
	if (r >= 0 && call->sender)
		r = field_put(message, FIELD_DESTINATION, 's', call->sender);
	if (r < 0) {
		sd_bus_message_unref(message);
		return r;
	}
	message->flags = WIRE_NO_REPLY_EXPECTED;
	*ret = message;
	return 0;
}

int wire_message_seal(sd_bus_message *message, uint32_t serial)
{
	const uint8_t start[4] = { (uint8_t)NATIVE, message->type, message->flags, 1 };
	const uint64_t nothing = 0;
	uint32_t fds = message->fd_count, body = (uint32_t)message->tail.len, fields;
	int r = message->poisoned || message->open || message->serial ? -ESTALE : 0;

	if (r >= 0 && message->signature[0])
		r = field_put(message, FIELD_SIGNATURE, 'g', message->signature);
	if (r >= 0 && fds > 0)
		r = field_put(message, FIELD_FDS, 'u', &fds);
	fields = (uint32_t)(message->head.len - FIXED);
	if (r >= 0)
		r = wire_reserve(&message->head, sizeof(nothing) + body, 2 * WIRE_OUT_MAX);
	if (r < 0)
		return r;
	memcpy(message->head.data + message->head.len, &nothing, sizeof(nothing));
	message->head.len = wire_align(message->head.len, 8);
	if (body > 0)
		memcpy(message->head.data + message->head.len, message->tail.data, body);
	message->head.len += body;
	memcpy(message->head.data, start, sizeof(start));
	memcpy(message->head.data + 4, &body, sizeof(body));
	memcpy(message->head.data + 8, &serial, sizeof(serial));
	memcpy(message->head.data + 12, &fields, sizeof(fields));
	wire_free(&message->tail);
	message->serial = serial;
	return 0;
}

/* --------------------------------------------------------------------------------------------------- one that came */

static uint32_t word_at(const uint8_t *bytes, bool swapped)
{
	uint32_t word;

	memcpy(&word, bytes, sizeof(word));
	return swapped ? bswap_32(word) : word;
}

int64_t wire_message_len(const uint8_t *bytes, size_t len)
{
	uint64_t fields, body, whole;
	bool swapped;

	if (len < FIXED)
		return 0;
	if ((bytes[0] != 'l' && bytes[0] != 'B') || bytes[3] != 1)
		return -EBADMSG;
	swapped = bytes[0] != NATIVE;
	fields = word_at(bytes + 12, swapped);
	body = word_at(bytes + 4, swapped);
	whole = FIXED + ((fields + 7) & ~UINT64_C(7)) + body;
	return whole > WIRE_IN_MAX ? -EBADMSG : (int64_t)whole;
}

static void whole_body(sd_bus_message *message, const char *signature)
{
	message->at = 0;
	message->depth = 0;
	message->frames[0] =
		(struct wire_frame){ .signature = signature, .len = strlen(signature), .end = message->body_len };
}

/* A field's variant; what is unknown is passed over. */
static int field_take(sd_bus_message *message, uint8_t field, const char **ret_signature)
{
	switch (field) {
	case FIELD_PATH:
		return sd_bus_message_read(message, "v", "o", &message->path);
	case FIELD_INTERFACE:
		return sd_bus_message_read(message, "v", "s", &message->interface);
	case FIELD_MEMBER:
		return sd_bus_message_read(message, "v", "s", &message->member);
	case FIELD_ERROR:
		return sd_bus_message_read(message, "v", "s", &message->error.name);
	case FIELD_REPLY:
		return sd_bus_message_read(message, "v", "u", &message->reply_serial);
	case FIELD_SENDER:
		return sd_bus_message_read(message, "v", "s", &message->sender);
	case FIELD_SIGNATURE:
		return sd_bus_message_read(message, "v", "g", ret_signature);
	default:
		return sd_bus_message_skip(message, "v");
	}
}

/*
 * The array of fields is read as if it were a body: its length stands at an offset that is a multiple of four, not of
 * eight.
 */
static int fields_take(sd_bus_message *message, size_t fields, const char **ret_signature)
{
	uint8_t field;
	int r;

	message->body = message->bytes;
	message->body_len = FIXED + fields;
	whole_body(message, "a(yv)");
	message->at = FIXED - sizeof(uint32_t);
	r = sd_bus_message_enter_container(message, 'a', "(yv)");
	while (r >= 0 && (r = sd_bus_message_enter_container(message, 'r', "yv")) > 0) {
		r = sd_bus_message_read(message, "y", &field);
		if (r >= 0)
			r = field_take(message, field, ret_signature);
		if (r >= 0)
			r = sd_bus_message_exit_container(message);
	}
	return r;
}

/* What the specification asks of each type. */
static bool is_complete(const sd_bus_message *message)
{
	switch (message->type) {
	case WIRE_CALL:
		return message->path && message->member;
	case WIRE_RETURN:
		return message->reply_serial;
	case WIRE_ERROR:
		return message->reply_serial && message->error.name;
	case WIRE_SIGNAL:
		return message->path && message->interface && message->member;
	default:
		return true; /* of a later version: to be passed over */
	}
}

/* Types that are none would be noticed late, by whoever reads. */
static bool is_signature(const char *signature)
{
	size_t len = strlen(signature);

	for (size_t at = 0, n; at < len; at += n) {
		n = wire_type_len(signature + at, len - at);
		if (n == 0)
			return false;
	}
	return true;
}

/* The words of an error are its first value, if that is a text. */
static void words_take(sd_bus_message *message)
{
	if (sd_bus_message_read(message, "s", &message->error.message) <= 0)
		message->error.message = NULL;
	message->at = 0;
	message->frames[0].next = 0;
}

int wire_message_parse(sd_bus *bus, const uint8_t *bytes, size_t len, sd_bus_message **ret)
{
	sd_bus_message *message = message_new(bus, bytes[1]);
	const char *signature = "";
	size_t fields;

	if (message)
		message->bytes = malloc(len);
	if (!message || !message->bytes) {
		sd_bus_message_unref(message);
		return -ENOMEM;
	}
	memcpy(message->bytes, bytes, len);
	message->swapped = bytes[0] != NATIVE;
	message->flags = bytes[2];
	message->serial = word_at(bytes + 8, message->swapped);
	fields = word_at(bytes + 12, message->swapped);
	if (fields_take(message, fields, &signature) < 0 || !is_complete(message) || !is_signature(signature)) {
		sd_bus_message_unref(message);
		return -EBADMSG;
	}
	message->body = message->bytes + FIXED + wire_align(fields, 8);
	message->body_len = len - (size_t)(message->body - message->bytes);
	whole_body(message, signature);
	if (message->type == WIRE_ERROR)
		words_take(message);
	*ret = message;
	return 0;
}

sd_bus_message *wire_message_local(sd_bus *bus, uint8_t type, uint32_t reply_serial, const char *name, const char *text)
{
	sd_bus_message *message = message_new(bus, type);

	if (!message)
		return NULL;
	message->reply_serial = reply_serial;
	if (type == WIRE_ERROR) {
		message->error.name = name;
		message->error.message = text;
	} else {
		message->path = "/org/freedesktop/DBus/Local";
		message->interface = "org.freedesktop.DBus.Local";
		message->member = name;
	}
	whole_body(message, "");
	return message;
}
