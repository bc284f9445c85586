/* SPDX-License-Identifier: MIT */
/* Who is told of what came: calls by their serial, signals by what they are; see wire.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/portable/wire.h"

#define DRIVER	    "org.freedesktop.DBus"
#define DRIVER_PATH "/org/freedesktop/DBus"
#define LOCAL	    "org.freedesktop.DBus.Local"

static void slot_unlink(sd_bus_slot *slot)
{
	struct sd_bus_slot **at = &slot->bus->slots;

	if (!slot->linked)
		return;
	while (*at != slot)
		at = &(*at)->next;
	*at = slot->next;
	slot->linked = false;
}

/* The daemon is told that nobody listens any more. */
static void rule_withdraw(sd_bus *bus, const char *rule)
{
	sd_bus_message *message = NULL;

	if (bus->state != WIRE_RUNNING && bus->state != WIRE_AUTHENTICATING)
		return;
	if (sd_bus_message_new_method_call(bus, &message, DRIVER, DRIVER_PATH, DRIVER, "RemoveMatch") >= 0 &&
	    sd_bus_message_append(message, "s", rule) >= 0)
		sd_bus_send(bus, message, NULL);
	sd_bus_message_unref(message);
}

sd_bus_slot *sd_bus_slot_unref(sd_bus_slot *slot)
{
	if (!slot || --slot->refs > 0)
		return NULL;
	slot_unlink(slot);
	if (slot->rule)
		rule_withdraw(slot->bus, slot->rule);
	if (!slot->floating)
		wire_bus_unref(slot->bus);
	free(slot->sender);
	free(slot->path);
	free(slot->interface);
	free(slot->member);
	free(slot->rule);
	free(slot);
	return NULL;
}

void wire_slots_free(sd_bus *bus)
{
	while (bus->slots)
		sd_bus_slot_unref(bus->slots);
}

/*
 * At the end, so that answers and signals go round in the order they were asked for. Without `ret` the connection owns
 * it.
 */
static sd_bus_slot *slot_new(sd_bus *bus, sd_bus_slot **ret, sd_bus_message_handler_t callback, void *data)
{
	sd_bus_slot *slot = calloc(1, sizeof(*slot));
	struct sd_bus_slot **at = &bus->slots;

	if (!slot)
		return NULL;
	*slot = (sd_bus_slot){
		.refs = 1, .bus = bus, .floating = !ret, .linked = true, .callback = callback, .data = data
	};
	if (ret)
		wire_bus_ref(bus);
	while (*at)
		at = &(*at)->next;
	*at = slot;
	return slot;
}

/* The callback may give the slot back, and may end the connection. */
static void slot_call(sd_bus_slot *slot, sd_bus_message *message)
{
	sd_bus_error unused = SD_BUS_ERROR_NULL;
	sd_bus *bus = slot->bus;
	sd_bus_slot *outer = bus->current;

	slot->refs++;
	bus->current = slot;
	if (slot->callback)
		slot->callback(message, slot->data, &unused);
	bus->current = outer;
	sd_bus_slot_unref(slot);
}

sd_bus_slot *sd_bus_get_current_slot(sd_bus *bus)
{
	return bus->current;
}

/* ----------------------------------------------------------------------------------------------------------- calls */

#define CALL_US (25 * UINT64_C(1000000)) /* sd-bus's own default */

int sd_bus_call_async(sd_bus *bus, sd_bus_slot **ret, sd_bus_message *message, sd_bus_message_handler_t callback,
		      void *data, uint64_t usec)
{
	uint64_t cookie;
	sd_bus_slot *slot;
	int r;

	if (message->type != WIRE_CALL || message->flags & WIRE_NO_REPLY_EXPECTED)
		return -EINVAL;
	slot = slot_new(bus, ret, callback, data);
	if (!slot)
		return -ENOMEM;
	slot->until_us = usec == UINT64_MAX ? UINT64_MAX : wire_now_us() + (usec ? usec : CALL_US);
	r = sd_bus_send(bus, message, &cookie);
	if (r < 0) {
		sd_bus_slot_unref(slot);
		return r;
	}
	slot->serial = (uint32_t)cookie;
	if (ret)
		*ret = slot;
	return 0;
}

int sd_bus_call_method_async(sd_bus *bus, sd_bus_slot **ret, const char *destination, const char *path,
			     const char *interface, const char *member, sd_bus_message_handler_t callback, void *data,
			     const char *types, ...)
{
	sd_bus_message *message = NULL;
	va_list list;
	int r = sd_bus_message_new_method_call(bus, &message, destination, path, interface, member);

	va_start(list, types);
	if (r >= 0)
		r = sd_bus_message_appendv(message, types, list);
	va_end(list);
	if (r >= 0)
		r = sd_bus_call_async(bus, ret, message, callback, data, 0);
	sd_bus_message_unref(message);
	return r;
}

static void answer(sd_bus_slot *slot, sd_bus_message *message)
{
	bool floating = slot->floating;

	slot_unlink(slot);
	slot_call(slot, message);
	if (floating)
		sd_bus_slot_unref(slot);
}

int wire_fail_one(sd_bus *bus, bool all, uint64_t now_us)
{
	sd_bus_slot *slot = bus->slots;
	sd_bus_message *message;

	while (slot && (slot->serial == 0 || (!all && slot->until_us > now_us)))
		slot = slot->next;
	if (!slot)
		return 0;
	message = wire_message_local(bus, WIRE_ERROR, slot->serial, SD_BUS_ERROR_NO_REPLY,
				     all ? "the connection has ended" : "no answer in time");
	if (!message)
		return -ENOMEM;
	answer(slot, message);
	sd_bus_message_unref(message);
	return 1;
}

uint64_t wire_first_timeout(const sd_bus *bus)
{
	uint64_t first = UINT64_MAX;

	for (const sd_bus_slot *slot = bus->slots; slot; slot = slot->next)
		if (slot->serial && slot->until_us < first)
			first = slot->until_us;
	return first;
}

/* --------------------------------------------------------------------------------------------------------- signals */

static bool copy(char **to, const char *text)
{
	*to = text ? strdup(text) : NULL;
	return !text || *to;
}

/* As AddMatch wants it. None of the values has a quote in it: they are names and paths of D-Bus. */
static char *rule_of(const sd_bus_slot *slot)
{
	const char *const names[] = { "sender", "path", "interface", "member" };
	const char *const values[] = { slot->sender, slot->path, slot->interface, slot->member };
	char rule[1024] = "type='signal'";
	size_t len = strlen(rule);

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (!values[i])
			continue;
		len += (size_t)snprintf(rule + len, sizeof(rule) - len, ",%s='%s'", names[i], values[i]);
		if (len >= sizeof(rule))
			return NULL;
	}
	return strdup(rule);
}

/* A daemon has to be told. One that refuses has none of its signals for us, and what waits for them has a time-out. */
static int rule_install(sd_bus_slot *slot)
{
	sd_bus_message *message = NULL;
	int r;

	slot->rule = rule_of(slot);
	if (!slot->rule)
		return -ENOMEM;
	r = sd_bus_message_new_method_call(slot->bus, &message, DRIVER, DRIVER_PATH, DRIVER, "AddMatch");
	if (r >= 0)
		r = sd_bus_message_append(message, "s", slot->rule);
	if (r >= 0)
		r = sd_bus_send(slot->bus, message, NULL);
	sd_bus_message_unref(message);
	return r;
}

/* `installed` is there to keep sd-bus from ending the connection at a refusal, which is not done here. */
int sd_bus_match_signal_async(sd_bus *bus, sd_bus_slot **ret, const char *sender, const char *path,
			      const char *interface, const char *member, sd_bus_message_handler_t callback,
			      sd_bus_message_handler_t installed, void *data)
{
	sd_bus_slot *slot = slot_new(bus, ret, callback, data);
	bool local = interface && strcmp(interface, LOCAL) == 0;
	int r = 0;

	(void)installed;
	if (!slot)
		return -ENOMEM;
	/* What is under way already is not for it. */
	slot->turn = bus->turn;
	if (!copy(&slot->sender, sender) || !copy(&slot->path, path) || !copy(&slot->interface, interface) ||
	    !copy(&slot->member, member))
		r = -ENOMEM;
	if (r >= 0 && bus->client && !local)
		r = rule_install(slot);
	if (r < 0) {
		sd_bus_slot_unref(slot);
		return r;
	}
	if (ret)
		*ret = slot;
	return 0;
}

/* The same without waiting for the daemon: nothing here waits. */
int sd_bus_match_signal(sd_bus *bus, sd_bus_slot **ret, const char *sender, const char *path, const char *interface,
			const char *member, sd_bus_message_handler_t callback, void *data)
{
	return sd_bus_match_signal_async(bus, ret, sender, path, interface, member, callback, NULL, data);
}

static bool is_same(const char *wanted, const char *there)
{
	return !wanted || (there && strcmp(wanted, there) == 0);
}

/* Signals come under the unique name of their sender: whether that owns a name, the daemon has seen to. */
static bool is_sender(const char *wanted, const char *there)
{
	return is_same(wanted, there) || (wanted[0] != ':' && there && there[0] == ':');
}

static void dispatch_signal(sd_bus *bus, sd_bus_message *message)
{
	uint64_t turn = ++bus->turn;
	sd_bus_slot *slot = bus->slots;

	while (slot && bus->turn == turn) {
		if (slot->serial == 0 && slot->callback && slot->turn != turn &&
		    is_sender(slot->sender, message->sender) && is_same(slot->path, message->path) &&
		    is_same(slot->interface, message->interface) && is_same(slot->member, message->member)) {
			slot->turn = turn;
			message->at = 0;
			message->depth = 0;
			message->frames[0].next = 0;
			slot_call(slot, message);
			/* The list may be another one now: from its start, past those that had their turn. */
			slot = bus->slots;
			continue;
		}
		slot = slot->next;
	}
}

int wire_dispatch(sd_bus *bus, sd_bus_message *message)
{
	sd_bus_message *refusal = NULL;
	sd_bus_slot *slot = bus->slots;
	int r = 0;

	switch (message->type) {
	case WIRE_RETURN:
	case WIRE_ERROR:
		while (slot && slot->serial != message->reply_serial)
			slot = slot->next;
		if (slot)
			answer(slot, message);
		return 0;
	case WIRE_SIGNAL:
		/* That one comes from ourselves alone. */
		if (strcmp(message->interface, LOCAL) != 0 || !message->bytes)
			dispatch_signal(bus, message);
		return 0;
	case WIRE_CALL:
		if (message->flags & WIRE_NO_REPLY_EXPECTED)
			return 0;
		r = wire_message_refusal(message, SD_BUS_ERROR_UNKNOWN_METHOD, &refusal);
		if (r >= 0)
			r = sd_bus_send(bus, refusal, NULL);
		sd_bus_message_unref(refusal);
		return r;
	default:
		return 0;
	}
}
