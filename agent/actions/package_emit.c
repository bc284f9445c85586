/* SPDX-License-Identifier: MIT */
/*
 * The data of the package actions; see package_emit.h. Counts stand before their lists, so that a list that is cut
 * leaves them whole.
 */
#include "agent/actions/package_emit.h"

#include <string.h>

#include "agent/actions/package_emit_parts.h"

/* ------------------------------------------------------------------------------------------------------- packages */

static void emit_package(struct sink *out, const struct package_job *job, const struct package *row)
{
	const struct package *there = row->state  ? row
				      : row->name ? package_list_find(&job->installed, row->name, NULL)
						  : NULL;

	sink_object_begin(out, NULL);
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
	sink_object_end(out);
}

void package_emit_installed(struct sink *out, const char *key, const void *arg)
{
	const struct package_job *job = arg;

	sink_object_begin(out, key);
	package_rows_emit(out, job,
			  &(struct package_rows){ .key = "packages", .list = &job->installed, .emit = emit_package });
	sink_object_end(out);
}

void package_emit_found(struct sink *out, const char *key, const void *arg)
{
	const struct package_job *job = arg;

	sink_object_begin(out, key);
	package_rows_emit(
		out, job,
		&(struct package_rows){
			.key = "packages", .list = &job->found, .emit = emit_package, .known_total = job->total });
	sink_object_end(out);
}

/* -------------------------------------------------------------------------------------------------------- updates */

static void emit_update(struct sink *out, const struct package_job *job, const struct package *row)
{
	const struct package *installed = package_list_counterpart(&job->installed, &job->pending, row);

	sink_object_begin(out, NULL);
	sink_str(out, "package_name", row->name);
	sink_str(out, "current_version", row->version ? row->version : installed ? installed->version : NULL);
	sink_str(out, "available_version", row->candidate);
	sink_str(out, "repository", row->repository);
	sink_bool(out, "is_security", row->security);
	package_emit_known(out, "size_kb", row->download_bytes < 0 ? -1 : (row->download_bytes + 1023) / 1024);
	sink_str(out, "architecture", row->architecture);
	sink_object_end(out);
}

void package_emit_updates_keys(struct sink *out, const struct package_job *job)
{
	sink_uint(out, "security_updates_count", package_count_updates(job, true));
	sink_uint(out, "total_pending_count", package_count_updates(job, false));
	package_emit_time(out, "last_check", job->refreshed_s);
	sink_str(out, "package_manager", job->manager->name);
	if (job->manager->reboot_path)
		sink_bool(out, "reboot_required", job->reboot_required);
	else
		sink_null(out, "reboot_required");
	sink_str(out, "distro", job->distro);
	package_emit_warnings(out, job);
	package_rows_emit(out, job,
			  &(struct package_rows){ .key = "pending_updates",
						  .list = &job->pending,
						  .wanted = package_is_update,
						  .emit = emit_update });
	if (job->days)
		package_emit_history_keys(out, job);
}

void package_emit_updates(struct sink *out, const char *key, const void *arg)
{
	sink_object_begin(out, key);
	package_emit_updates_keys(out, arg);
	sink_object_end(out);
}

/* -------------------------------------------------------------------------------------------------- after an update */

static bool changed(const struct package_job *job, const struct package *row)
{
	const struct package *before = package_list_counterpart(&job->installed, &job->after, row);

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
	package_emit_warnings(out, job);
	if (job->incomparable)
		sink_null(out, "updated");
	else
		package_rows_emit(
			out, job,
			&(struct package_rows){
				.key = "updated", .list = &job->after, .wanted = changed, .emit = emit_name });
	sink_object_end(out);
}
