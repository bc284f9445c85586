/* SPDX-License-Identifier: MIT */
#include "recent.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tools/hub/parse.h"
#include "tools/hub/tell.h"
#include "transport/printable.h"

/* Copies whole characters that fit; those that may not be shown are '?'. */
static void copy_shown(char *out, size_t size, const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + len;
	size_t at = 0;

	while (p < end) {
		int step = printable_step(p, end);
		size_t bytes = (size_t)(step < 0 ? 1 : step);

		if (at + bytes >= size)
			break;
		if (step < 0)
			out[at] = '?';
		else
			memcpy(out + at, p, bytes);
		at += bytes;
		p += step < 0 ? -step : step;
	}
	out[at] = '\0';
}

/* -------------------------------------------------------------------------------------------------------- alerts */

static struct recent_alert *find_alert(struct recent *recent, const char *name)
{
	for (unsigned i = 0; i < recent->alerts_len; i++)
		if (!strcmp(recent->alerts[i].name, name))
			return &recent->alerts[i];
	return NULL;
}

static struct recent_alert *add_alert(struct recent *recent, const char *name, int64_t since_ms)
{
	struct recent_alert *alert;

	if (!recent->alerts)
		recent->alerts = calloc(RECENT_ALERTS_MAX, sizeof(*recent->alerts));
	if (!recent->alerts || recent->alerts_len == RECENT_ALERTS_MAX)
		return NULL;
	alert = &recent->alerts[recent->alerts_len++];
	memcpy(alert->name, name, sizeof(alert->name));
	alert->since_ms = since_ms;
	return alert;
}

/* "NAME: CONDITION for N s; the value is X": it is over when that is an `info` (transport/PROTOCOL.md). */
static void take_alert(struct recent *recent, const struct recent_event *event, struct json_object *message)
{
	const char *colon = strstr(event->text, ": ");
	struct recent_alert *alert;
	int64_t since_ms = event->at_ms;
	char name[sizeof(alert->name)];

	copy_shown(name, sizeof(name), event->text, colon ? (size_t)(colon - event->text) : strlen(event->text));
	alert = find_alert(recent, name);
	if (!strcmp(event->level, "info") || !strcmp(event->level, "debug")) {
		if (alert)
			*alert = recent->alerts[--recent->alerts_len];
		return;
	}
	rfc3339_parse(json_text_at(message, "context.since"), &since_ms);
	if (!alert)
		alert = add_alert(recent, name, since_ms);
	if (alert)
		memcpy(alert->text, event->text, sizeof(alert->text));
}

/* -------------------------------------------------------------------------------------------------------- events */

static bool is_held(const struct recent *recent, const struct recent_event *event)
{
	for (unsigned i = 0; recent->events && i < RECENT_MAX && i < recent->events_count; i++)
		if (!strcmp(recent->events[i].source, event->source) && !strcmp(recent->events[i].text, event->text))
			return true;
	return false;
}

void recent_take_event(struct recent *recent, struct json_object *message, int64_t now_ms)
{
	const char *level = json_text_at(message, "severity"), *source = json_text_at(message, "source"),
		   *text = json_text_at(message, "message");
	struct recent_event event = { .at_ms = now_ms };

	copy_shown(event.level, sizeof(event.level), level, strlen(level));
	copy_shown(event.source, sizeof(event.source), source, strlen(source));
	copy_shown(event.text, sizeof(event.text), text, strlen(text));
	if (!strcmp(source, "alert"))
		take_alert(recent, &event, message);
	/* What stands is told in every session. */
	if (json_object_get_boolean(json_at(message, "context.standing")) && is_held(recent, &event))
		return;
	if (!recent->events)
		recent->events = calloc(RECENT_MAX, sizeof(*recent->events));
	if (recent->events)
		recent->events[recent->events_count++ % RECENT_MAX] = event;
}

void recent_take_command(struct recent *recent, const char *action, const char *result, uint64_t took_ms,
			 int64_t now_ms)
{
	struct recent_command *command;

	if (!recent->commands)
		recent->commands = calloc(RECENT_MAX, sizeof(*recent->commands));
	if (!recent->commands)
		return;
	command = &recent->commands[recent->commands_count++ % RECENT_MAX];
	command->at_ms = now_ms;
	command->took_ms = took_ms;
	copy_shown(command->action, sizeof(command->action), action, strlen(action));
	copy_shown(command->result, sizeof(command->result), result, strlen(result));
}

void recent_end_session(struct recent *recent)
{
	recent->alerts_len = 0;
}

/* --------------------------------------------------------------------------------------------------------- lists */

struct json_object *recent_events(const struct recent *recent)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < RECENT_MAX && i < recent->events_count; i++) {
		const struct recent_event *event = &recent->events[(recent->events_count - 1 - i) % RECENT_MAX];
		struct json_object *item = json_object_new_object();

		json_object_object_add(item, "at_ms", json_object_new_int64(event->at_ms));
		tell_text(item, "severity", event->level);
		tell_text(item, "source", event->source);
		tell_text(item, "message", event->text);
		json_object_array_add(list, item);
	}
	return list;
}

struct json_object *recent_commands(const struct recent *recent)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; i < RECENT_MAX && i < recent->commands_count; i++) {
		const struct recent_command *command = &recent->commands[(recent->commands_count - 1 - i) % RECENT_MAX];
		struct json_object *item = json_object_new_object();

		json_object_object_add(item, "at_ms", json_object_new_int64(command->at_ms));
		tell_text(item, "action", command->action);
		tell_text(item, "result", command->result);
		json_object_object_add(item, "took_ms", json_object_new_uint64(command->took_ms));
		json_object_array_add(list, item);
	}
	return list;
}

struct json_object *recent_alerts(const struct recent *recent)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = recent->alerts_len; i > 0; i--) {
		const struct recent_alert *alert = &recent->alerts[i - 1];
		struct json_object *item = json_object_new_object();

		json_object_object_add(item, "since_ms", json_object_new_int64(alert->since_ms));
		tell_text(item, "name", alert->name);
		tell_text(item, "message", alert->text);
		json_object_array_add(list, item);
	}
	return list;
}

size_t recent_memory(const struct recent *recent)
{
	return (recent->events ? RECENT_MAX * sizeof(*recent->events) : 0) +
	       (recent->commands ? RECENT_MAX * sizeof(*recent->commands) : 0) +
	       (recent->alerts ? RECENT_ALERTS_MAX * sizeof(*recent->alerts) : 0);
}

void recent_free(struct recent *recent)
{
	free(recent->events);
	free(recent->commands);
	free(recent->alerts);
	*recent = (struct recent){ 0 };
}
