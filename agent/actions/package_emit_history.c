/* SPDX-License-Identifier: MIT */
/*
 * The changes on the guest, from the package manager's log: as data of the agent's own form, and as the updates that
 * hosts show.
 */
#include "agent/actions/package_emit.h"

#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/package_emit_parts.h"

/* More than a screen holds; the log of a young guest tells of each of its packages. */
#define UPDATES_MAX 250

static void emit_event(struct sink *out, const struct package_event *event)
{
	sink_object_begin(out, NULL);
	sink_str(out, "package_name", event->name);
	sink_str(out, "action", event->action);
	sink_str(out, "previous_version", event->before);
	sink_str(out, "version", event->after);
	sink_str(out, "architecture", event->architecture);
	package_emit_time(out, "date", event->time_s);
	sink_object_end(out);
}

/* How far back the log that can be read goes: older ones may have been rotated away. */
static void emit_basis(struct sink *out, const struct package_job *job)
{
	sink_uint(out, "days", job->days);
	sink_uint(out, "history_count", job->history.count);
	sink_bool(out, "history_available", job->history_known);
	package_emit_time(out, "history_since", job->history.known ? job->history.oldest_s : -1);
}

/* The newest first, since a list that is cut is cut at its end. */
void package_emit_history_keys(struct sink *out, const struct package_job *job)
{
	const struct package_history *history = &job->history;
	size_t written = 0;

	emit_basis(out, job);
	sink_array_begin(out, "history");
	for (; written < history->count; written++) {
		struct sink_mark mark = sink_mark(out);

		emit_event(out, &history->events[history->count - 1 - written]);
		if (sink_full(out)) {
			sink_rewind(out, mark);
			break;
		}
	}
	sink_array_end(out);
	sink_bool(out, "history_truncated", written < history->count);
}

static void title_of(const struct package_event *event, char *out, size_t size)
{
	static const struct {
		const char *action, *verb;
	} verbs[] = {
		{ "install", "Install" }, { "upgrade", "Upgrade" }, { "remove", "Remove" }, { "purge", "Purge" }
	};
	const char *verb = event->action;

	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (strcmp(verbs[i].action, event->action) == 0)
			verb = verbs[i].verb;
	if (event->before && event->after)
		snprintf(out, size, "%s %s %s to %s", verb, event->name, event->before, event->after);
	else
		snprintf(out, size, "%s %s %s", verb, event->name,
			 event->after	 ? event->after
			 : event->before ? event->before
					 : "");
}

/* A change without an end in the log was interrupted. */
static void emit_change(struct sink *out, const struct package_event *event)
{
	char title[512];

	title_of(event, title, sizeof(title));
	sink_object_begin(out, NULL);
	sink_str(out, "title", title);
	package_emit_time(out, "install_date", event->time_s);
	sink_str(out, "status", event->done ? "Succeeded" : "Incomplete");
	sink_str(out, "package_name", event->name);
	sink_str(out, "action", event->action);
	sink_object_end(out);
}

void package_emit_history(struct sink *out, const char *key, const void *arg)
{
	const struct package_job *job = arg;
	const struct package_history *history = &job->history;
	size_t written = 0;

	sink_object_begin(out, key);
	emit_basis(out, job);
	sink_str(out, "package_manager", job->manager->name);
	sink_array_begin(out, "updates");
	for (; written < history->count && written < UPDATES_MAX; written++) {
		struct sink_mark mark = sink_mark(out);

		emit_change(out, &history->events[history->count - 1 - written]);
		if (sink_full(out)) {
			sink_rewind(out, mark);
			break;
		}
	}
	sink_array_end(out);
	if (written < history->count) {
		sink_bool(out, "truncated", true);
		sink_uint(out, "total_count", history->count);
	}
	sink_object_end(out);
}
