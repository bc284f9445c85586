/* SPDX-License-Identifier: MIT */
/*
 * The data of the package actions; see package_job.h. Counts stand before their lists, so that a list that is cut
 * leaves them whole.
 */
#include "agent/actions/package_job.h"

#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/actions/env.h"
#include "collectors/host.h"
#include "collectors/table.h"

#define APPLICATIONS_MAX 5000
/* More than a screen holds; the log of a young guest tells of each of its packages. */
#define UPDATES_MAX 250
#define MIB	    (1024.0 * 1024)

/* Seconds since 1970 as RFC 3339; negative: null. */
static void emit_time(struct sink *out, const char *key, int64_t time_s)
{
	char text[RFC3339_SIZE];

	if (time_s >= 0)
		rfc3339_format(time_s * 1000, text);
	sink_str(out, key, time_s >= 0 ? text : NULL);
}

/* A number; negative: null. */
static void emit_known(struct sink *out, const char *key, int64_t value)
{
	if (value < 0)
		sink_null(out, key);
	else
		sink_int(out, key, value);
}

/* A list of packages in the data. */
struct rows {
	const char *key;
	const struct package_list *list;
	size_t most;								  /* rows written; 0: as many as fit */
	bool (*wanted)(const struct package_job *job, const struct package *row); /* NULL: all of them */
	/* Writes the members of a row; NULL: the row is its name alone. */
	void (*emit)(struct sink *out, const struct package_job *job, const struct package *row);
	const char *truncated_key, *total_key; /* NULL: "truncated", "total_count" */
};

/* Writes the rows, as many as fit; then the keys for "truncated" and the total, if rows were left out. */
static void emit_rows(struct sink *out, const struct package_job *job, const struct rows *rows)
{
	const char *total_key = rows->total_key ? rows->total_key : "total_count";
	uint64_t total = 0, written = 0;
	bool cut = false;

	sink_array_begin(out, rows->key);
	for (size_t i = 0; i < rows->list->count; i++) {
		const struct package *row = &rows->list->rows[i];
		struct sink_mark mark = sink_mark(out);

		if (rows->wanted && !rows->wanted(job, row))
			continue;
		total++;
		cut = cut || (rows->most && written == rows->most);
		if (cut)
			continue;
		if (rows->emit) {
			sink_object_begin(out, NULL);
			rows->emit(out, job, row);
			sink_object_end(out);
		} else {
			sink_str(out, NULL, row->name);
		}
		cut = sink_full(out);
		if (cut)
			sink_rewind(out, mark);
		else
			written++;
	}
	sink_array_end(out);
	if (job->total > total)
		total = job->total;
	if (written == total && !job->truncated)
		return;
	sink_bool(out, rows->truncated_key ? rows->truncated_key : "truncated", true);
	if (job->truncated && job->total == 0)
		sink_null(out, total_key); /* the output was truncated, too: the total is unknown */
	else
		sink_uint(out, total_key, total);
}

/* The limits of what the answer covers. */
static void emit_warnings(struct sink *out, const struct package_job *job)
{
	sink_array_begin(out, "warnings");
	if (*job->warning)
		sink_text(out, NULL, job->warning, strcspn(job->warning, "\n"), sizeof(job->warning));
	sink_array_end(out);
}

static void emit_reboot(struct sink *out, const struct package_job *job)
{
	if (job->manager->reboot_path)
		sink_bool(out, "reboot_required", job->reboot_required);
	else
		sink_null(out, "reboot_required");
}

/* ------------------------------------------------------------------------------------------------------- packages */

static void emit_package(struct sink *out, const struct package_job *job, const struct package *row)
{
	const struct package *there = row->state  ? row
				      : row->name ? package_list_find(&job->installed, row->name, NULL)
						  : NULL;

	sink_str(out, "name", row->name);
	sink_str(out, "version", row->candidate ? row->candidate : row->version);
	sink_str(out, "description", row->summary ? row->summary : "");
	sink_bool(out, "installed", there && there->installed);
	sink_str(out, "status", there ? there->state : NULL);
	sink_bool(out, "held", there && there->held);
	sink_str(out, "publisher", row->publisher);
	sink_str(out, "source", job->manager->name);
	sink_str(out, "architecture", row->architecture);
	if (there && row->candidate)
		sink_str(out, "installed_version", there->version);
}

void package_emit_installed(struct sink *out, const struct package_job *job, const struct package *row)
{
	(void)row;
	emit_rows(out, job, &(struct rows){ .key = "packages", .list = &job->installed, .emit = emit_package });
}

void package_emit_found(struct sink *out, const struct package_job *job, const struct package *row)
{
	(void)row;
	emit_rows(out, job, &(struct rows){ .key = "packages", .list = &job->found, .emit = emit_package });
}

/* -------------------------------------------------------------------------------------------------------- updates */

/*
 * True if the row is an update: not a new dependency that an update would install, and with security_only a security
 * update.
 */
static bool is_update(const struct package_job *job, const struct package *row)
{
	return row->candidate && row->name &&
	       (row->version || package_list_counterpart(&job->installed, &job->pending, row)) &&
	       (!job->task->security_only || row->security);
}

uint64_t package_count_updates(const struct package_job *job, bool security)
{
	uint64_t count = 0;

	for (size_t i = 0; i < job->pending.count; i++)
		count += is_update(job, &job->pending.rows[i]) && (!security || job->pending.rows[i].security);
	return count;
}

static void emit_update(struct sink *out, const struct package_job *job, const struct package *row)
{
	const struct package *installed = package_list_counterpart(&job->installed, &job->pending, row);

	sink_str(out, "package_name", row->name);
	sink_str(out, "current_version", row->version ? row->version : installed ? installed->version : NULL);
	sink_str(out, "available_version", row->candidate);
	sink_str(out, "repository", row->repository);
	sink_bool(out, "is_security", row->security);
	emit_known(out, "size_kb", row->download_bytes < 0 ? -1 : (row->download_bytes + 1023) / 1024);
	sink_str(out, "architecture", row->architecture);
}

/* A change in the package log. */
static void emit_event(struct sink *out, const struct package_event *event)
{
	sink_str(out, "package_name", event->name);
	sink_str(out, "action", event->action);
	sink_str(out, "previous_version", event->before);
	sink_str(out, "version", event->after);
	sink_str(out, "architecture", event->architecture);
	emit_time(out, "date", event->time_s);
}

/* The same as an update that hosts show. A change without an end in the log was interrupted. */
static void emit_titled_event(struct sink *out, const struct package_event *event)
{
	static const char *const verbs[][2] = {
		{ "install", "Install" }, { "upgrade", "Upgrade" }, { "remove", "Remove" }, { "purge", "Purge" }
	};
	const char *verb = event->action, *version = event->after ? event->after : event->before;
	char title[512];

	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (strcmp(verbs[i][0], event->action) == 0)
			verb = verbs[i][1];
	if (event->before && event->after)
		snprintf(title, sizeof(title), "%s %s %s to %s", verb, event->name, event->before, event->after);
	else
		snprintf(title, sizeof(title), "%s %s %s", verb, event->name, version ? version : "");
	sink_str(out, "title", title);
	emit_time(out, "install_date", event->time_s);
	sink_str(out, "status", event->done ? "Succeeded" : "Incomplete");
	sink_str(out, "package_name", event->name);
	sink_str(out, "action", event->action);
}

/*
 * The events under `key`, `most` of them or as many as fit; the newest first, since a list that is cut is cut at its
 * end. True if some were left out.
 */
static bool emit_events(struct sink *out, const char *key, const struct package_history *history, size_t most,
			void (*emit)(struct sink *out, const struct package_event *event))
{
	size_t written = 0;

	sink_array_begin(out, key);
	for (; written < history->count && written < most; written++) {
		struct sink_mark mark = sink_mark(out);

		sink_object_begin(out, NULL);
		emit(out, &history->events[history->count - 1 - written]);
		sink_object_end(out);
		if (sink_full(out)) {
			sink_rewind(out, mark);
			break;
		}
	}
	sink_array_end(out);
	return written < history->count;
}

/* How far back the log that can be read goes: older ones may have been rotated away. */
static void emit_basis(struct sink *out, const struct package_job *job)
{
	sink_int(out, "days", job->days);
	sink_uint(out, "history_count", job->history.count);
	sink_bool(out, "history_available", job->history_known);
	emit_time(out, "history_since", job->history.known ? job->history.oldest_s : -1);
}

void package_emit_history(struct sink *out, const struct package_job *job, const struct package *row)
{
	(void)row;
	emit_basis(out, job);
	sink_str(out, "package_manager", job->manager->name);
	if (emit_events(out, "updates", &job->history, UPDATES_MAX, emit_titled_event)) {
		sink_bool(out, "truncated", true);
		sink_uint(out, "total_count", job->history.count);
	}
}

void package_emit_updates(struct sink *out, const struct package_job *job, const struct package *row)
{
	const void *state = sampling_state(command_env(job->command)->sampling, &collector_host);
	struct host_facts facts = { .linux_distro = NULL };

	(void)row;
	sink_uint(out, "security_updates_count", package_count_updates(job, true));
	sink_uint(out, "total_pending_count", package_count_updates(job, false));
	emit_time(out, "last_check", job->refreshed_s);
	sink_str(out, "package_manager", job->manager->name);
	emit_reboot(out, job);
	if (state)
		host_facts_get(state, &facts);
	sink_str(out, "distro", facts.linux_distro);
	emit_warnings(out, job);
	emit_rows(out, job,
		  &(struct rows){
			  .key = "pending_updates", .list = &job->pending, .wanted = is_update, .emit = emit_update });
	if (job->days) {
		emit_basis(out, job);
		sink_bool(out, "history_truncated",
			  emit_events(out, "history", &job->history, job->history.count, emit_event));
	}
}

static bool has_changed(const struct package_job *job, const struct package *row)
{
	const struct package *before = package_list_counterpart(&job->installed, &job->after, row);

	return before && before->version && row->version && strcmp(before->version, row->version) != 0;
}

void package_emit_updated(struct sink *out, const struct package_job *job, const struct package *row)
{
	(void)row;
	emit_reboot(out, job);
	emit_warnings(out, job);
	if (job->incomparable)
		sink_null(out, "updated");
	else
		emit_rows(out, job, &(struct rows){ .key = "updated", .list = &job->after, .wanted = has_changed });
}

/* --------------------------------------------------------------------------------------------------- applications */

static const struct package *update_of(const struct package_job *job, const struct package *row)
{
	return row->name ? package_list_counterpart(&job->pending, &job->installed, row) : NULL;
}

static bool has_update(const struct package_job *job, const struct package *row)
{
	const struct package *update = update_of(job, row);

	return update && (!job->task->security_only || update->security);
}

void package_emit_application(struct sink *out, const struct package_job *job, const struct package *row)
{
	const struct package *update = update_of(job, row);

	sink_str(out, "name", row->name);
	sink_str(out, "version", row->version);
	sink_str(out, "publisher", row->publisher);
	sink_str(out, "status", row->state);
	sink_bool(out, "held", row->held);
	emit_time(out, "install_date", row->installed_s);
	if (row->installed_kb < 0)
		sink_null(out, "size_mb");
	else
		sink_real(out, "size_mb", (double)row->installed_kb / 1024, 2);
	sink_str(out, "current_version", row->version);
	sink_str(out, "update_available", update ? update->candidate : NULL);
	sink_str(out, "available_version", update ? update->candidate : NULL);
	sink_str(out, "new_version", update ? update->candidate : NULL);
	sink_bool(out, "can_update", update != NULL);
	sink_str(out, "update_source", update ? update->repository ? update->repository : job->manager->name : NULL);
	emit_known(out, "update_size_bytes", update ? update->download_bytes : -1);
	sink_bool(out, "is_security_update", update && update->security);
}

static void emit_summary(struct sink *out, const struct package_job *job)
{
	sink_object_begin(out, "summary");
	sink_uint(out, "total_applications", job->installed.count);
	sink_uint(out, "updates_available", package_count_updates(job, false));
	sink_uint(out, "security_updates", package_count_updates(job, true));
	sink_str(out, "package_manager", job->manager->name);
	emit_time(out, "last_check", job->refreshed_s);
	sink_object_end(out);
}

void package_emit_applications(struct sink *out, const struct package_job *job, const struct package *row)
{
	(void)row;
	emit_summary(out, job);
	emit_warnings(out, job);
	emit_rows(out, job,
		  &(struct rows){ .key = "applications",
				  .list = &job->installed,
				  .most = APPLICATIONS_MAX,
				  .emit = package_emit_application });
}

/* The keys for a truncated list have names of their own, since a list of updates may stand beside it. */
static void emit_updatable(struct sink *out, const struct package_job *job)
{
	emit_rows(out, job,
		  &(struct rows){ .key = "applications",
				  .list = &job->installed,
				  .most = APPLICATIONS_MAX,
				  .wanted = has_update,
				  .emit = package_emit_application,
				  .truncated_key = "applications_truncated",
				  .total_key = "applications_total_count" });
}

void package_emit_updatable(struct sink *out, const struct package_job *job, const struct package *row)
{
	(void)row;
	emit_summary(out, job);
	emit_warnings(out, job);
	emit_updatable(out, job);
}

void package_emit_updates_and_applications(struct sink *out, const struct package_job *job, const struct package *row)
{
	emit_summary(out, job);
	package_emit_updates(out, job, row);
	emit_updatable(out, job);
}

void package_emit_details(struct sink *out, const struct package_job *job, const struct package *row)
{
	const struct package *record = job->found.count ? &job->found.rows[0] : NULL;

	sink_object_begin(out, "application");
	package_emit_application(out, job, row);
	sink_object_end(out);
	sink_object_begin(out, "metadata");
	sink_str(out, "description", row->summary);
	sink_str(out, "section", row->section);
	sink_str(out, "source_package", row->source);
	sink_str(out, "architecture", row->architecture);
	emit_known(out, "installed_size_kb", row->installed_kb);
	sink_str(out, "homepage", record ? record->homepage : NULL);
	sink_str(out, "depends", record ? record->depends : NULL);
	sink_str(out, "package_manager", job->manager->name);
	sink_object_end(out);
}

/* An application without an update has size 0; with an update of unknown size all its sizes are null. */
void package_emit_size(struct sink *out, const struct package_job *job, const struct package *row)
{
	static const char *const units[] = { "B", "KB", "MB", "GB", "TB" };
	const struct package *update = update_of(job, row);
	int64_t bytes = update ? update->download_bytes : 0;
	double value = (double)bytes;
	size_t unit = 0;
	char text[32];

	sink_str(out, "app_id", job->name);
	emit_known(out, "size_bytes", bytes);
	if (bytes < 0) {
		sink_null(out, "size_mb");
		sink_null(out, "formatted_size");
		return;
	}
	for (; value >= 1024 && unit + 1 < ARRAY_SIZE(units); unit++)
		value /= 1024;
	snprintf(text, sizeof(text), unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	sink_real(out, "size_mb", (double)bytes / MIB, 2);
	sink_str(out, "formatted_size", text);
}
