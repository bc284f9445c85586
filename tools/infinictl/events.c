/* SPDX-License-Identifier: MIT */
#include "tools/infinictl/events.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/log/pick.h"
#include "agent/log/scan.h"
#include "tools/infinictl/cli.h"
#include "tools/infinictl/curves.h"
#include "tools/infinictl/records.h"
#include "tools/infinictl/text.h"

#define RECORDS_MAX 10000
#define FAILED_MAX  16 /* collectors that fail at once */

void events_init(struct events *events)
{
	memset(events, 0, sizeof(*events));
	for (unsigned i = 0; i < EVENT_KINDS; i++)
		events->wanted[i] = true;
}

void events_done(struct events *events)
{
	free(events->list);
	events->list = NULL;
}

const char *event_kind_name(enum event_kind kind)
{
	static const char *const names[EVENT_KINDS] = { "gap",	 "start", "reboot",  "clock",	"snapshot", "oom",
							"fault", "alert", "command", "refused", "note" };

	return names[kind];
}

static int by_time(const void *a, const void *b)
{
	const struct event *left = a, *right = b;

	if (left->wall_ms != right->wall_ms)
		return left->wall_ms < right->wall_ms ? -1 : 1;
	return left->order < right->order ? -1 : 1;
}

void events_sort(struct events *events)
{
	if (events->count)
		qsort(events->list, events->count, sizeof(*events->list), by_time);
}

/* Room for one more; the older half goes when there is none. */
static struct event *make_room(struct events *events)
{
	size_t half = EVENTS_MAX / 2;

	if (!events->list)
		events->list = malloc(EVENTS_MAX * sizeof(*events->list));
	if (!events->list)
		return NULL;
	if (events->count == EVENTS_MAX) {
		events_sort(events);
		memmove(events->list, events->list + half, (EVENTS_MAX - half) * sizeof(*events->list));
		events->count -= half;
		events->dropped += half;
	}
	return &events->list[events->count++];
}

__attribute__((format(printf, 5, 6))) static struct event *
add(struct events *events, int64_t wall_ms, enum event_kind kind, enum event_weight weight, const char *format, ...)
{
	struct event *event = events->wanted[kind] ? make_room(events) : NULL;
	va_list args;

	if (!event)
		return NULL;
	*event = (struct event){ .wall_ms = wall_ms, .order = events->added++, .kind = kind, .weight = weight };
	va_start(args, format);
	vsnprintf(event->text, sizeof(event->text), format, args);
	va_end(args);
	return event;
}

/* ---------------------------------------------------------------------------------------------------- from the log */

enum { PICK_BOOT, PICK_GENERATION, PICK_GAP, PICK_OOM, PICK_FAILED };

struct name {
	char text[64];
};

/* What a sample says, and what the one before it said. */
struct look {
	struct name boot, generation, gap;
	bool has_oom;
	double oom;
	struct name failed[FAILED_MAX];
	unsigned failed_count;
};

/* A string of JSON without its quotes; escapes stay as they are written, since ours hold none. */
static void copy_text(struct pick_text text, struct name *out)
{
	bool quoted = text.len >= 2 && text.text[0] == '"';

	out->text[0] = '\0';
	if (quoted)
		snprintf(out->text, sizeof(out->text), "%.*s", (int)(text.len - 2 < 200 ? text.len - 2 : 200),
			 text.text + 1);
}

static void on_value(void *data, unsigned path, struct pick_text key, struct pick_text value)
{
	struct look *look = data;

	if (path == PICK_BOOT)
		copy_text(value, &look->boot);
	else if (path == PICK_GENERATION)
		copy_text(value, &look->generation);
	else if (path == PICK_GAP)
		copy_text(value, &look->gap);
	else if (path == PICK_OOM)
		look->has_oom = pick_number(value, &look->oom);
	else if (key.text && look->failed_count < FAILED_MAX)
		copy_text(key, &look->failed[look->failed_count++]);
}

static bool is_failing(const struct look *look, const char *name)
{
	for (unsigned i = 0; i < look->failed_count; i++)
		if (!strcmp(look->failed[i].text, name))
			return true;
	return false;
}

static bool differ(const struct name *a, const struct name *b)
{
	return a->text[0] && b->text[0] && strcmp(a->text, b->text) != 0;
}

/* Starts and reboots: the first sample tells of neither. */
static void compare_boots(struct events *events, int64_t wall_ms, const struct look *before, const struct look *now,
			  bool first)
{
	bool booted = !first && differ(&before->boot, &now->boot);

	if (booted)
		add(events, wall_ms, EVENT_REBOOT, EVENT_WARNING, "the guest was booted");
	else if (!strcmp(now->gap.text, "start"))
		add(events, wall_ms, EVENT_START, EVENT_PLAIN, "the agent was started");
	else if (!strcmp(now->gap.text, "clock"))
		add(events, wall_ms, EVENT_CLOCK, EVENT_WARNING, "the guest slept, or its clock was set");
	else if (now->gap.text[0])
		add(events, wall_ms, EVENT_NOTE, EVENT_PLAIN, "gap: %s", now->gap.text);
	if (!first && !booted && differ(&before->generation, &now->generation))
		add(events, wall_ms, EVENT_SNAPSHOT, EVENT_WARNING, "put back to a snapshot, or paused for long");
}

static void compare_faults(struct events *events, int64_t wall_ms, const struct look *before, const struct look *now)
{
	for (unsigned i = 0; i < now->failed_count; i++)
		if (!is_failing(before, now->failed[i].text))
			add(events, wall_ms, EVENT_FAULT, EVENT_ERROR,
			    "collector %s fails: its part of the samples is missing", now->failed[i].text);
	for (unsigned i = 0; i < before->failed_count; i++)
		if (!is_failing(now, before->failed[i].text))
			add(events, wall_ms, EVENT_FAULT, EVENT_PLAIN, "collector %s works again",
			    before->failed[i].text);
}

static void compare(struct events *events, int64_t wall_ms, const struct look *before, struct look *now, bool first)
{
	compare_boots(events, wall_ms, before, now, first);
	if (!first && !differ(&before->boot, &now->boot) && before->has_oom && now->has_oom && now->oom > before->oom)
		add(events, wall_ms, EVENT_OOM, EVENT_ERROR, "%.0f process(es) killed for want of memory",
		    now->oom - before->oom);
	compare_faults(events, wall_ms, before, now);
	if (!now->has_oom && !differ(&before->boot, &now->boot)) { /* read less often than every sample */
		now->has_oom = before->has_oom;
		now->oom = before->oom;
	}
}

static int add_gaps(struct events *events, const struct curves *times)
{
	for (unsigned i = 0; i < times->gap_count; i++) {
		const struct curve_gap *gap = &times->gaps[i];
		struct event *event =
			add(events, gap->begin_ms, EVENT_GAP, EVENT_WARNING, "nothing was measured for %lld s",
			    (long long)(gap->end_ms - gap->begin_ms) / 1000);

		if (event)
			event->end_ms = gap->end_ms;
	}
	return CLI_OK;
}

static int look_at_lines(struct events *events, struct reading *reading, const struct pick *pick, struct curves *times)
{
	struct look before = { 0 };
	struct reader_line line;
	struct scan scan;
	int rc;

	while ((rc = reader_next(reading->reader, &line)) == 1) {
		struct look now = { 0 };

		if (!scan_line(line.text, line.len, &scan) || strcmp(scan.type, "metrics") != 0)
			continue;
		pick_line(pick, line.text, line.len, on_value, &now);
		compare(events, line.wall_ms, &before, &now, reading->samples == 0);
		curves_add(times, &(struct curve_span){ line.wall_ms, line.wall_ms, 1 }, NULL);
		before = now;
		reading->samples++;
		reading_progress(reading, line.wall_ms);
	}
	reading_progress_end(reading);
	return rc;
}

int events_from_log(struct events *events, struct reading *reading)
{
	static const char *const paths[] = { [PICK_BOOT] = "boot_id",
					     [PICK_GENERATION] = "generation",
					     [PICK_GAP] = "gap",
					     [PICK_OOM] = "system.vmstat.oom_kills" };
	_cleanup_(freep) struct curves *times = calloc(1, sizeof(*times));
	struct pick *pick = pick_new();
	struct err err = { 0 };
	int rc = pick && times ? curves_init(times, 2, reading->begin_ms, INT64_MAX) : -ENOMEM;

	for (size_t i = 0; rc >= 0 && i < ARRAY_SIZE(paths); i++)
		rc = pick_add(pick, paths[i], &err);
	if (rc >= 0)
		rc = pick_add_each(pick, "failed_collectors[name].failures");
	if (rc >= 0)
		rc = look_at_lines(events, reading, pick, times);
	if (times) {
		curves_finish(times);
		add_gaps(events, times);
		curves_done(times);
	}
	pick_free(pick);
	return rc < 0 ? cli_fail("%s", err.text[0] ? err.text : strerror(-rc)) : CLI_OK;
}

/* ------------------------------------------------------------------------------------------------ from the records */

static bool is_event(void *data, struct json_object *record)
{
	const char *phase = text_string(record, "phase");

	(void)data;
	return !record_is_own_look(record) &&
	       (!strcmp(phase, "finished") || !strcmp(phase, "refused") || !strcmp(phase, "event"));
}

static void add_told(struct events *events, int64_t wall_ms, struct json_object *record)
{
	const char *source = text_string(record, "action"), *severity = text_string(record, "severity");
	enum event_weight weight = !strcmp(severity, "error")  ? EVENT_ERROR
				   : !strcmp(severity, "warn") ? EVENT_WARNING
							       : EVENT_PLAIN;
	bool alert = !strcmp(source, "alert");

	add(events, wall_ms,
	    alert		    ? EVENT_ALERT
	    : weight == EVENT_PLAIN ? EVENT_NOTE
				    : EVENT_FAULT,
	    weight, "%s%s%s", alert ? "" : source, alert ? "" : ": ", text_string(record, "detail"));
}

static void add_record(struct events *events, int64_t wall_ms, struct json_object *record)
{
	const char *code = text_string(record, "error_code"), *phase = text_string(record, "phase");
	double ms = 0, count = 0;
	bool failed = record_has_failed(record);

	if (!strcmp(phase, "event")) {
		add_told(events, wall_ms, record);
	} else if (!strcmp(phase, "refused")) {
		char many[40] = "";

		if (text_number(text_member(record, "count", NULL), &count))
			snprintf(many, sizeof(many), ", %.0f of them", count);
		add(events, wall_ms, EVENT_REFUSED, EVENT_WARNING, "%.60s asked for %.60s: %.40s%s",
		    text_string(record, "origin"), text_string(record, "action"), code, many);
	} else {
		text_number(text_member(record, "duration_ms", NULL), &ms);
		add(events, wall_ms, EVENT_COMMAND, failed ? EVENT_WARNING : EVENT_PLAIN,
		    "%.60s for %.60s %s after %.3f s%s%.40s", text_string(record, "action"),
		    text_string(record, "origin"), failed ? "failed" : "succeeded", ms / 1000, *code ? ": " : "", code);
	}
}

int events_from_records(struct events *events, const char *state_dir, bool journal, int64_t begin_ms, int64_t end_ms)
{
	const struct records_wanted wanted = { RECORDS_MAX, NULL, begin_ms, end_ms, is_event, NULL };
	_cleanup_(records_free) struct records records = { .wanted = &wanted };
	struct err err = { 0 };
	int r = records_read(&records, state_dir, journal, &err);

	for (size_t i = 0; records.entries && i < records.count; i++)
		add_record(events, records.entries[i].wall_ms, records.entries[i].record);
	if (r == 0 || (r == -EACCES && records.count > 0))
		return CLI_OK;
	return cli_fail("%s: commands and alerts are left out", err.text);
}
