/* SPDX-License-Identifier: MIT */
/* The installed packages as applications, with their updates; see package_emit.h. */
#include "agent/actions/package_emit.h"

#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/package_emit_parts.h"

#define APPLICATIONS_MAX 5000
#define MIB		 (1024.0 * 1024)

static const struct package *update_of(const struct package_job *job, const struct package *row)
{
	return row->name ? package_list_counterpart(&job->pending, &job->installed, row) : NULL;
}

static void emit_application(struct sink *out, const char *key, const struct package_job *job,
			     const struct package *row)
{
	const struct package *update = update_of(job, row);

	sink_object_begin(out, key);
	sink_str(out, "name", row->name);
	sink_str(out, "version", row->version);
	sink_str(out, "publisher", row->publisher);
	sink_str(out, "status", row->state);
	sink_bool(out, "held", row->held);
	package_emit_time(out, "install_date", row->installed_s);
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
	package_emit_known(out, "update_size_bytes", update ? update->download_bytes : -1);
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
	sink_uint(out, "updates_available", package_count_updates(job, false));
	sink_uint(out, "security_updates", package_count_updates(job, true));
	sink_str(out, "package_manager", job->manager->name);
	package_emit_time(out, "last_check", job->refreshed_s);
	sink_object_end(out);
}

void package_emit_applications(struct sink *out, const char *key, const void *arg)
{
	const struct package_job *job = arg;

	sink_object_begin(out, key);
	emit_summary(out, job);
	package_emit_warnings(out, job);
	package_rows_emit(out, job,
			  &(struct package_rows){ .key = "applications",
						  .list = &job->installed,
						  .most = APPLICATIONS_MAX,
						  .emit = emit_application_row });
	sink_object_end(out);
}

static bool has_update(const struct package_job *job, const struct package *row)
{
	const struct package *update = update_of(job, row);

	return update && (!job->security_only || update->security);
}

/* The keys for a truncated list have names of their own, since a list of updates may stand beside it. */
static void emit_updatable(struct sink *out, const struct package_job *job)
{
	package_rows_emit(out, job,
			  &(struct package_rows){ .key = "applications",
						  .list = &job->installed,
						  .most = APPLICATIONS_MAX,
						  .wanted = has_update,
						  .emit = emit_application_row,
						  .truncated_key = "applications_truncated",
						  .total_key = "applications_total_count" });
}

void package_emit_updatable(struct sink *out, const char *key, const void *arg)
{
	const struct package_job *job = arg;

	sink_object_begin(out, key);
	emit_summary(out, job);
	package_emit_warnings(out, job);
	emit_updatable(out, job);
	sink_object_end(out);
}

void package_emit_updates_and_applications(struct sink *out, const char *key, const void *arg)
{
	const struct package_job *job = arg;

	sink_object_begin(out, key);
	emit_summary(out, job);
	package_emit_updates_keys(out, job);
	emit_updatable(out, job);
	sink_object_end(out);
}

void package_say_updatable(const struct package_job *job, char *out, size_t size)
{
	snprintf(out, size, "%llu of %zu installed packages have an update (%llu of them for security)\n",
		 (unsigned long long)package_count_updates(job, false), job->installed.count,
		 (unsigned long long)package_count_updates(job, true));
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
	package_emit_known(out, "installed_size_kb", row->installed_kb);
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

	for (; value >= 1024 && unit + 1 < ARRAY_SIZE(units); unit++)
		value /= 1024;
	snprintf(out, size, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

/* An application without an update has size 0; with an update of unknown size all its sizes are null. */
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
	package_emit_known(out, "size_bytes", bytes);
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
