/* SPDX-License-Identifier: MIT */
/*
 * The services of the guest together. ServiceList: every service, from the two lists of the service manager, see
 * org.freedesktop.systemd1(5): loaded units, and unit files on the disk that may never have been loaded.
 * RestartServices: one service by its name, or without a name those that have failed. Jobs run side by side; data says
 * which of them came up, which did not, and which are not to be controlled (unit_rules.h).
 */
#include "agent/actions/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/env.h"
#include "agent/actions/bus_work.h"
#include "agent/actions/run.h"
#include "agent/actions/unit_jobs.h"

#define TABLE_MAX 20000

struct row {
	const char *name;			       /* "ssh.service" */
	const char *description, *load, *active, *sub; /* NULL: not loaded */
	const char *file_state; /* "enabled", "disabled", "static", "masked", …; NULL: it has no file */
};

/* Zeroed is empty. Rows point into the replies, which the table holds references to. */
struct table {
	sd_bus_message *units, *files;
	struct row *rows;
	size_t count, size;
};

/* ------------------------------------------------------------------------------------------------------- the table */

static void table_done(struct table *table)
{
	sd_bus_message_unref(table->units);
	sd_bus_message_unref(table->files);
	free(table->rows);
}

static int compare_rows(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

static int table_add(struct table *table, const struct row *row)
{
	if (table->count == TABLE_MAX)
		return 0;
	if (table->count == table->size) {
		size_t size = table->size ? table->size * 2 : 256;
		struct row *rows = realloc(table->rows, size * sizeof(*rows));

		if (!rows)
			return -ENOMEM;
		table->rows = rows;
		table->size = size;
	}
	table->rows[table->count++] = *row;
	return 0;
}

static void table_sort(struct table *table)
{
	if (table->count)
		qsort(table->rows, table->count, sizeof(*table->rows), compare_rows);
}

static bool is_service(const char *name)
{
	return strcmp(unit_name_suffix(name), ".service") == 0;
}

/*
 * Adds the reply of ListUnits, a(ssssssouso). Services that exist only as a reference in other units are left out. 0 or
 * -errno.
 */
static int table_add_units(struct table *table, sd_bus_message *reply)
{
	const char *followed, *path, *job_type, *job_path;
	struct row row = { .file_state = NULL };
	uint32_t job;
	int r = sd_bus_message_enter_container(reply, 'a', "(ssssssouso)");

	table->units = sd_bus_message_ref(reply);
	while (r >= 0 &&
	       (r = sd_bus_message_read(reply, "(ssssssouso)", &row.name, &row.description, &row.load, &row.active,
					&row.sub, &followed, &path, &job, &job_type, &job_path)) > 0)
		if (is_service(row.name) && strcmp(row.load, "not-found") != 0)
			r = table_add(table, &row);
	table_sort(table);
	return r < 0 ? r : 0;
}

/* The state of a unit file goes to the row of the loaded unit of that name, one of the first `units`, or to a new row.
 */
static int add_file(struct table *table, size_t units, const char *path, const char *state)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *at = strchr(name, '@');
	struct row key = { .name = name, .file_state = state }, *row = NULL;

	/* Not of a template. */
	if (!is_service(name) || (at && at[1] == '.'))
		return 0;
	if (units)
		row = bsearch(&key, table->rows, units, sizeof(key), compare_rows);
	if (row) {
		row->file_state = state;
		return 0;
	}
	/* Before systemd 246 the state of an alias is that of its target; those of the bus are known by their names. */
	if (strcmp(state, "alias") == 0 || strncmp(name, "dbus-org.", strlen("dbus-org.")) == 0)
		return 0;
	return table_add(table, &key);
}

/*
 * Adds the reply of ListUnitFiles, a(ss), after the units. Templates are left out, and so are aliases, as their targets
 * are listed. 0 or -errno.
 */
static int table_add_files(struct table *table, sd_bus_message *reply)
{
	const char *path, *state;
	size_t units = table->count;
	int r = sd_bus_message_enter_container(reply, 'a', "(ss)");

	table->files = sd_bus_message_ref(reply);
	while (r >= 0 && (r = sd_bus_message_read(reply, "(ss)", &path, &state)) > 0)
		r = add_file(table, units, path, state);
	table_sort(table);
	return r < 0 ? r : 0;
}

/* ----------------------------------------------------------------------------------------------------- ServiceList */

struct list {
	struct bus_work bus; /* first: see bus_work.h */
	struct table table;
	struct response response;
	void (*expired)(struct command *command); /* nothing is known yet */
};

static const char *status_of(const struct row *row)
{
	static const struct {
		const char *active, *status;
	} words[] = {
		{ "active", "running" },	{ "reloading", "reloading" }, { "activating", "starting" },
		{ "deactivating", "stopping" }, { "failed", "failed" },	      { "refreshing", "reloading" },
	};

	if (!row->active)
		return "stopped";
	if (strcmp(row->active, "active") == 0 && strcmp(row->sub, "exited") == 0)
		return "exited";
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(words[i].active, row->active) == 0)
			return words[i].status;
	return "stopped";
}

/* True if the manager would accept a job for the service: it is loaded and not masked. */
static bool is_usable(const struct row *row)
{
	if (row->load && strcmp(row->load, "loaded") != 0)
		return false;
	return !row->file_state || (strncmp(row->file_state, "masked", 6) != 0 && strcmp(row->file_state, "bad") != 0);
}

/*
 * The verbs are those that make sense now: a running service cannot be started, and a service that must not be
 * controlled (unit_rules.h) has none.
 */
static void emit_row(struct sink *out, const struct row *row, char *const *deny_units)
{
	const char *shown = row->description && *row->description ? row->description : row->name;
	const char *active = row->active ? row->active : "inactive";
	bool usable = is_usable(row) && !unit_rules_deny(row->name, deny_units);
	bool down = strcmp(active, "inactive") == 0 || strcmp(active, "failed") == 0;

	sink_object_begin(out, NULL);
	sink_str(out, "name", row->name);
	sink_text(out, "display_name", shown, strlen(shown), 256);
	sink_str(out, "status", status_of(row));
	sink_str(out, "description", row->description);
	sink_str(out, "startup_type", row->file_state);
	sink_bool(out, "can_start", usable && down);
	sink_bool(out, "can_stop", usable && !down);
	sink_bool(out, "can_restart", usable && !down);
	sink_str(out, "active_state", active);
	sink_str(out, "sub_state", row->sub ? row->sub : "dead");
	sink_object_end(out);
}

static void emit_rows(struct sink *out, const char *key, const void *arg)
{
	/* The response says whether its data was cut, which turns out only here. */
	struct list *list = *(struct list *const *)arg;

	sink_array_begin(out, key);
	for (size_t i = 0; i < list->table.count; i++) {
		struct sink_mark mark = sink_mark(out);

		emit_row(out, &list->table.rows[i], command_env(list->bus.command)->config->commands.deny_units);
		if (!sink_full(out))
			continue;
		sink_rewind(out, mark);
		list->response.data_truncated = true;
		list->response.total_count = list->table.count;
		break;
	}
	sink_array_end(out);
}

/* `partial`: without the units that exist only as files, and without the file states of the others. */
static void answer_list(struct command *command, bool partial)
{
	struct list *list = command->work;

	list->response = (struct response){ .success = true, .data = emit_rows, .arg = &list, .partial = partial };
	command_answer(command, &list->response);
}

/* If the manager has no answer about the unit files in time, the loaded units are answered (partial). */
static void on_files(struct command *command, const struct bus_reply *reply)
{
	struct list *list = command->work;

	answer_list(command, reply->error || table_add_files(&list->table, reply->message) < 0);
}

static void on_list_expired(struct command *command)
{
	struct list *list = command->work;

	if (list->table.units)
		answer_list(command, true);
	else
		list->expired(command);
}

static void on_units(struct command *command, const struct bus_reply *reply)
{
	struct list *list = command->work;
	int r;

	if (bus_work_failed(command, reply))
		return;
	r = table_add_units(&list->table, reply->message);
	if (r < 0)
		bus_work_fail(command, r);
	else
		bus_call_manager(command, on_files, "ListUnitFiles", NULL);
}

static void list_done(struct bus_work *work)
{
	table_done(&container_of(work, struct list, bus)->table);
}

static void run_service_list(struct command *command)
{
	struct list *list = bus_work_new(command, sizeof(*list));

	if (!list)
		return;
	list->bus.done = list_done;
	list->expired = command->on_expired;
	command->on_expired = on_list_expired;
	bus_call_manager(command, on_units, "ListUnits", NULL);
}

const struct action action_service_list = {
	.name = "ServiceList", .group = GROUP_OBSERVE, .bus = true, .run = run_service_list
};

/* ------------------------------------------------------------------------------------------------- RestartServices */

struct restart {
	struct bus_work bus; /* first: see bus_work.h */
	char units[UNIT_JOBS_MAX][UNIT_NAME_SIZE];
	size_t count, left_out;
	bool named; /* by the host: else those that have failed */
	struct unit_jobs jobs;
};

static void emit_restart(struct sink *out, const char *key, const void *arg)
{
	const struct restart *restart = arg;

	sink_object_begin(out, key);
	sink_array_begin(out, "restarted");
	for (size_t i = 0; i < restart->jobs.count; i++)
		if (unit_job_succeeded(&restart->jobs.list[i]))
			sink_str(out, NULL, restart->jobs.list[i].unit);
	sink_array_end(out);
	sink_array_begin(out, "failed");
	for (size_t i = 0; i < restart->jobs.count; i++) {
		const struct unit_job *job = &restart->jobs.list[i];

		if (unit_job_succeeded(job) || unit_job_denied(job))
			continue;
		sink_object_begin(out, NULL);
		sink_str(out, "name", job->unit);
		sink_str(out, "result", job->refused ? "refused" : job->result);
		if (job->refused)
			sink_str(out, "error", job->error);
		sink_object_end(out);
	}
	sink_array_end(out);
	sink_array_begin(out, "denied");
	for (size_t i = 0; i < restart->jobs.count; i++)
		if (unit_job_denied(&restart->jobs.list[i]))
			sink_str(out, NULL, restart->jobs.list[i].unit);
	sink_array_end(out);
	if (restart->left_out) {
		sink_bool(out, "truncated", true);
		sink_uint(out, "total_count", restart->count + restart->left_out);
	}
	sink_object_end(out);
}

static void answer_restart(struct command *command)
{
	struct restart *restart = command->work;
	struct response response = { .success = true, .data = emit_restart, .arg = restart };
	size_t failed = 0;
	char text[512];

	if (restart->named && unit_job_denied(restart->jobs.list)) {
		command_fail(command, CODE_POLICY_DENIED, "unit_denied", "%s", restart->jobs.list->error);
		return;
	}
	/* Without a name, failed services that must not be controlled are left out. */
	for (size_t i = 0; i < restart->jobs.count; i++)
		failed += !unit_job_succeeded(&restart->jobs.list[i]) && !unit_job_denied(&restart->jobs.list[i]);
	if (failed) {
		const struct unit_job *job = restart->jobs.list;

		response.success = false;
		response.code = strstr(job->name, "NoSuchUnit") && restart->jobs.count == 1 ? CODE_NOT_FOUND
											    : CODE_COMMAND_FAILED;
		snprintf(text, sizeof(text), "%zu of %zu services could not be restarted%s%s", failed,
			 restart->jobs.count, restart->jobs.count == 1 && job->refused ? ": " : "",
			 restart->jobs.count == 1 && job->refused ? job->error : "");
		response.error = text;
	}
	command_answer(command, &response);
}

static void start_restart(struct command *command)
{
	struct restart *restart = command->work;
	int r = unit_jobs_start(&restart->jobs, command, RUNNER_OPERATION_RESTART, restart->units, restart->count,
				answer_restart);

	if (r < 0)
		bus_work_fail(command, r);
}

static void on_units_to_restart(struct command *command, const struct bus_reply *reply)
{
	struct restart *restart = command->work;
	_cleanup_(table_done) struct table table = { .count = 0 };
	int r;

	if (bus_work_failed(command, reply))
		return;
	r = table_add_units(&table, reply->message);
	for (size_t i = 0; i < table.count && r >= 0; i++) {
		if (strcmp(table.rows[i].active, "failed") != 0)
			continue;
		if (restart->count == UNIT_JOBS_MAX || strlen(table.rows[i].name) > UNIT_NAME_MAX)
			restart->left_out++;
		else
			snprintf(restart->units[restart->count++], UNIT_NAME_SIZE, "%s", table.rows[i].name);
	}
	if (r < 0)
		bus_work_fail(command, r);
	else if (restart->count == 0)
		answer_restart(command);
	else
		start_restart(command);
}

static void restart_done(struct bus_work *work)
{
	unit_jobs_done(&container_of(work, struct restart, bus)->jobs);
}

static void run_restart_services(struct command *command)
{
	char unit[UNIT_NAME_SIZE];
	struct restart *restart;

	if (!unit_jobs_parameter(command, "service_name", false, unit) ||
	    (*unit && unit_jobs_denied_by_name(command, unit)) || !privilege_require(command))
		return;
	restart = bus_work_new(command, sizeof(*restart));
	if (!restart)
		return;
	restart->bus.done = restart_done;
	if (!*unit) {
		bus_call_manager(command, on_units_to_restart, "ListUnits", NULL);
		return;
	}
	restart->named = true;
	memcpy(restart->units[restart->count++], unit, sizeof(unit));
	start_restart(command);
}

const struct action action_restart_services = { .name = "RestartServices",
						.group = GROUP_CONTROL,
						.bus = true,
						.slot = true,
						.timeout_s = 300,
						.run = run_restart_services };
