/* SPDX-License-Identifier: MIT */
/* The data of the package actions; see package_emit.h. Counts stand before their lists, so that a list that is cut leaves them whole. */
#include "agent/package_emit.h"

#include <stdio.h>
#include <string.h>

#include <infiniservice/moment.h>

#include "agent/package_job.h"

#define APPLICATIONS_MAX 5000
#define MIB (1024.0 * 1024)

static void emit_time(struct sink *out, const char *key, int64_t time_s)
{
	char text[RFC3339_SIZE];

	if (time_s < 0) {
		sink_null(out, key);
		return;
	}
	rfc3339_format(time_s * 1000, text);
	sink_str(out, key, text);
}

static void emit_known(struct sink *out, const char *key, int64_t value)
{
	if (value < 0)
		sink_null(out, key);
	else
		sink_int(out, key, value);
}

/* Rows of a list that `wanted` accepts, as many as fit; then `truncated` and `total_count` if they are not all. */
static void emit_rows(struct sink *out, const char *key, const struct package_job *job, const struct package_list *list, size_t most,
		      bool (*wanted)(const struct package_job *job, const struct package *row),
		      void (*emit)(struct sink *out, const struct package_job *job, const struct package *row), uint64_t known_total)
{
	uint64_t total = 0, written = 0;
	bool cut = false;

	sink_array_begin(out, key);
	for (size_t i = 0; i < list->count; i++) {
		struct sink_mark mark = sink_mark(out);

		if (wanted && !wanted(job, &list->rows[i]))
			continue;
		total++;
		cut = cut || written == most;
		if (cut)
			continue;
		emit(out, job, &list->rows[i]);
		if (sink_full(out)) {
			sink_rewind(out, mark);
			cut = true;
		} else {
			written++;
		}
	}
	sink_array_end(out);
	if (known_total > total)
		total = known_total;
	if (cut || written < total || job->truncated) {
		sink_bool(out, "truncated", true);
		if (job->truncated && known_total == 0)
			sink_null(out, "total_count"); /* the output was cut, too: nobody has counted */
		else
			sink_uint(out, "total_count", total);
	}
}

/* ------------------------------------------------------------------------------------------------------- packages */

static void emit_package(struct sink *out, const struct package_job *job, const struct package *row)
{
	const struct package *installed =
		row->installed ? row : row->name ? package_list_find(&job->installed, row->name, NULL) : NULL;

	sink_object_begin(out, NULL);
	sink_str(out, "name", row->name);
	sink_str(out, "version", row->candidate ? row->candidate : row->version);
	sink_str(out, "description", row->summary ? row->summary : "");
	sink_bool(out, "installed", installed != NULL);
	sink_str(out, "publisher", row->publisher);
	sink_str(out, "source", job->manager->name);
	sink_str(out, "architecture", row->architecture);
	if (installed && row->candidate)
		sink_str(out, "installed_version", installed->version);
	sink_object_end(out);
}

void package_emit_installed(struct sink *out, const char *key, const void *arg)
{
	const struct package_job *job = arg;

	sink_object_begin(out, key);
	emit_rows(out, "packages", job, &job->installed, SIZE_MAX, NULL, emit_package, 0);
	sink_object_end(out);
}

void package_emit_found(struct sink *out, const char *key, const void *arg)
{
	const struct package_job *job = arg;

	sink_object_begin(out, key);
	emit_rows(out, "packages", job, &job->found, SIZE_MAX, NULL, emit_package, job->total);
	sink_object_end(out);
}

/* -------------------------------------------------------------------------------------------------------- updates */

/* What an update would install anew (a dependency) is no update. */
static bool is_update(const struct package_job *job, const struct package *row)
{
	return row->candidate && row->name &&
	       (row->version || package_list_find(&job->installed, row->name, row->architecture)) &&
	       (!job->security_only || row->security);
}

static uint64_t count_updates(const struct package_job *job, bool security)
{
	uint64_t count = 0;

	for (size_t i = 0; i < job->pending.count; i++)
		count += is_update(job, &job->pending.rows[i]) && (!security || job->pending.rows[i].security);
	return count;
}

static void emit_update(struct sink *out, const struct package_job *job, const struct package *row)
{
	const struct package *installed = package_list_find(&job->installed, row->name, row->architecture);

	sink_object_begin(out, NULL);
	sink_str(out, "package_name", row->name);
	sink_str(out, "current_version", row->version ? row->version : installed ? installed->version : NULL);
	sink_str(out, "available_version", row->candidate);
	sink_str(out, "repository", row->repository);
	sink_bool(out, "is_security", row->security);
	emit_known(out, "size_kb", row->download_bytes < 0 ? -1 : (row->download_bytes + 1023) / 1024);
	sink_str(out, "architecture", row->architecture);
	sink_object_end(out);
}

static void emit_event(struct sink *out, const struct package_event *event)
{
	sink_object_begin(out, NULL);
	sink_str(out, "package_name", event->name);
	sink_str(out, "action", event->action);
	sink_str(out, "previous_version", event->before);
	sink_str(out, "version", event->after);
	sink_str(out, "architecture", event->architecture);
	emit_time(out, "date", event->time_s);
	sink_object_end(out);
}

/* The newest first, since a list that is cut is cut at its end. */
static void emit_history(struct sink *out, const struct package_job *job)
{
	const struct package_history *history = &job->history;
	size_t written = 0;

	sink_uint(out, "days", job->days);
	sink_uint(out, "history_count", history->count);
	sink_bool(out, "history_available", job->history_known);
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

static void emit_updates_keys(struct sink *out, const struct package_job *job)
{
	sink_uint(out, "security_updates_count", count_updates(job, true));
	sink_uint(out, "total_pending_count", count_updates(job, false));
	emit_time(out, "last_check", job->refreshed_s);
	sink_str(out, "package_manager", job->manager->name);
	if (job->manager->reboot_path)
		sink_bool(out, "reboot_required", job->reboot_required);
	else
		sink_null(out, "reboot_required");
	sink_str(out, "distro", job->distro);
	emit_rows(out, "pending_updates", job, &job->pending, SIZE_MAX, is_update, emit_update, 0);
	if (job->days)
		emit_history(out, job);
}

void package_emit_updates(struct sink *out, const char *key, const void *arg)
{
	sink_object_begin(out, key);
	emit_updates_keys(out, arg);
	sink_object_end(out);
}

/* --------------------------------------------------------------------------------------------------- applications */

static const struct package *update_of(const struct package_job *job, const struct package *row)
{
	return row->name ? package_list_find(&job->pending, row->name, row->architecture) : NULL;
}

static void emit_application(struct sink *out, const char *key, const struct package_job *job, const struct package *row)
{
	const struct package *update = update_of(job, row);

	sink_object_begin(out, key);
	sink_str(out, "name", row->name);
	sink_str(out, "version", row->version);
	sink_str(out, "publisher", row->publisher);
	emit_time(out, "install_date", row->installed_s);
	if (row->installed_kb < 0)
		sink_null(out, "size_mb");
	else
		sink_real(out, "size_mb", (double)row->installed_kb / 1024, 2);
	sink_bool(out, "update_available", update != NULL);
	sink_str(out, "new_version", update ? update->candidate : NULL);
	sink_str(out, "update_source", update ? update->repository ? update->repository : job->manager->name : NULL);
	emit_known(out, "update_size_bytes", update ? update->download_bytes : -1);
	sink_bool(out, "is_security_update", update && update->security);
	sink_object_end(out);
}

static void emit_application_row(struct sink *out, const struct package_job *job, const struct package *row)
{
	emit_application(out, NULL, job, row);
}

static void emit_summary(struct sink *out, const struct package_job *job)
{
	sink_object_begin(out, "summary");
	sink_uint(out, "total_applications", job->installed.count);
	sink_uint(out, "updates_available", count_updates(job, false));
	sink_uint(out, "security_updates", count_updates(job, true));
	sink_str(out, "package_manager", job->manager->name);
	emit_time(out, "last_check", job->refreshed_s);
	sink_object_end(out);
}

void package_emit_applications(struct sink *out, const char *key, const void *arg)
{
	const struct package_job *job = arg;

	sink_object_begin(out, key);
	emit_summary(out, job);
	emit_rows(out, "applications", job, &job->installed, APPLICATIONS_MAX, NULL, emit_application_row, 0);
	sink_object_end(out);
}

static bool has_update(const struct package_job *job, const struct package *row)
{
	const struct package *update = update_of(job, row);

	return update && (!job->security_only || update->security);
}

void package_emit_updates_and_applications(struct sink *out, const char *key, const void *arg)
{
	const struct package_job *job = arg;
	uint64_t written = 0;

	sink_object_begin(out, key);
	emit_summary(out, job);
	emit_updates_keys(out, job);
	sink_array_begin(out, "applications");
	for (size_t i = 0; i < job->installed.count && written < APPLICATIONS_MAX; i++) {
		struct sink_mark mark = sink_mark(out);

		if (!has_update(job, &job->installed.rows[i]))
			continue;
		emit_application(out, NULL, job, &job->installed.rows[i]);
		if (sink_full(out)) {
			sink_rewind(out, mark);
			break;
		}
		written++;
	}
	sink_array_end(out);
	sink_object_end(out);
}

void package_emit_application(struct sink *out, const char *key, const void *arg)
{
	const struct package_job *job = arg;
	const struct package *row = package_list_find(&job->installed, job->name, NULL);

	if (row)
		emit_application(out, key, job, row);
	else
		sink_null(out, key);
}

void package_emit_details(struct sink *out, const char *key, const void *arg)
{
	const struct package_job *job = arg;
	const struct package *row = package_list_find(&job->installed, job->name, NULL);
	const struct package *record = job->found.count ? &job->found.rows[0] : NULL;

	if (!row) {
		sink_null(out, key);
		return;
	}
	sink_object_begin(out, key);
	emit_application(out, "application", job, row);
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
	sink_object_end(out);
}

static void format_size(int64_t bytes, char *out, size_t size)
{
	static const char *const units[] = { "B", "KB", "MB", "GB", "TB" };
	double value = (double)bytes;
	size_t unit = 0;

	for (; value >= 1024 && unit + 1 < sizeof(units) / sizeof(*units); unit++)
		value /= 1024;
	snprintf(out, size, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

/* What is up to date takes no download; what has an update of unknown size is null in all of its sizes. */
void package_emit_size(struct sink *out, const char *key, const void *arg)
{
	const struct package_job *job = arg;
	const struct package *row = package_list_find(&job->installed, job->name, NULL);
	const struct package *update = row ? update_of(job, row) : NULL;
	int64_t bytes = update ? update->download_bytes : 0;
	char text[32];

	if (!row) {
		sink_null(out, key);
		return;
	}
	sink_object_begin(out, key);
	sink_str(out, "app_id", job->name);
	emit_known(out, "size_bytes", bytes);
	if (bytes < 0) {
		sink_null(out, "size_mb");
		sink_null(out, "formatted_size");
	} else {
		format_size(bytes, text, sizeof(text));
		sink_real(out, "size_mb", (double)bytes / MIB, 2);
		sink_str(out, "formatted_size", text);
	}
	sink_object_end(out);
}

/* -------------------------------------------------------------------------------------------------- after an update */

static bool changed(const struct package_job *job, const struct package *row)
{
	const struct package *before = package_list_find(&job->installed, row->name, row->architecture);

	return before && before->version && row->version && strcmp(before->version, row->version) != 0;
}

static void emit_name(struct sink *out, const struct package_job *job, const struct package *row)
{
	(void)job;
	sink_str(out, NULL, row->name);
}

void package_emit_updated(struct sink *out, const char *key, const void *arg)
{
	const struct package_job *job = arg;

	sink_object_begin(out, key);
	if (job->manager->reboot_path)
		sink_bool(out, "reboot_required", job->reboot_required);
	else
		sink_null(out, "reboot_required");
	if (job->incomparable)
		sink_null(out, "updated");
	else
		emit_rows(out, "updated", job, &job->after, SIZE_MAX, changed, emit_name, 0);
	sink_object_end(out);
}
