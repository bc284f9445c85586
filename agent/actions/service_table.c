/* SPDX-License-Identifier: MIT */
/* Merging of the manager's two lists; see service_table.h and org.freedesktop.systemd1(5). */
#include "agent/actions/service_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/unit_name.h"

void service_table_done(struct service_table *table)
{
	sd_bus_message_unref(table->units);
	sd_bus_message_unref(table->files);
	free(table->rows);
	*table = (struct service_table){ .count = 0 };
}

static struct service_row *row_add(struct service_table *table)
{
	if (table->count == table->size) {
		size_t size = table->size ? table->size * 2 : 256;
		struct service_row *rows =
			size > SERVICE_TABLE_MAX * 2 ? NULL : realloc(table->rows, size * sizeof(*rows));

		if (!rows)
			return NULL;
		table->rows = rows;
		table->size = size;
	}
	table->rows[table->count] = (struct service_row){ .name = NULL };
	return &table->rows[table->count++];
}

static int compare_rows(const void *a, const void *b)
{
	return strcmp(((const struct service_row *)a)->name, ((const struct service_row *)b)->name);
}

static bool is_service(const char *name)
{
	return strcmp(unit_name_suffix(name), ".service") == 0;
}

int service_table_add_units(struct service_table *table, sd_bus_message *reply)
{
	const char *name, *description, *load, *active, *sub, *followed, *path, *job_type, *job_path;
	uint32_t job;
	int r = sd_bus_message_enter_container(reply, 'a', "(ssssssouso)");

	table->units = sd_bus_message_ref(reply);
	while (r >= 0 && (r = sd_bus_message_read(reply, "(ssssssouso)", &name, &description, &load, &active, &sub,
						  &followed, &path, &job, &job_type, &job_path)) > 0) {
		struct service_row *row;

		if (!is_service(name) || strcmp(load, "not-found") == 0 || table->count >= SERVICE_TABLE_MAX)
			continue;
		row = row_add(table);
		if (!row)
			return -ENOMEM;
		*row = (struct service_row){
			.name = name, .description = description, .load = load, .active = active, .sub = sub
		};
	}
	if (table->count)
		qsort(table->rows, table->count, sizeof(*table->rows), compare_rows);
	return r < 0 ? r : 0;
}

static bool is_template(const char *name)
{
	const char *at = strchr(name, '@');

	return at && at[1] == '.';
}

/* Adds one unit file: its state goes to the row of the loaded unit of that name, or to a new row. */
/* Before systemd 246 the state of an alias is that of its target; those of the bus are known by their names. */
static bool is_alias(const char *name, const char *state)
{
	return strcmp(state, "alias") == 0 || strncmp(name, "dbus-org.", strlen("dbus-org.")) == 0;
}

static int add_file(struct service_table *table, size_t units, const char *path, const char *state)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	struct service_row key = { .name = name }, *row = NULL;

	if (!is_service(name) || is_template(name))
		return 0;
	if (units)
		row = bsearch(&key, table->rows, units, sizeof(key), compare_rows);
	if (!row && is_alias(name, state))
		return 0;
	if (!row && table->count < SERVICE_TABLE_MAX) {
		row = row_add(table);
		if (!row)
			return -ENOMEM;
		row->name = name;
	}
	if (row)
		row->file_state = state;
	return 0;
}

int service_table_add_files(struct service_table *table, sd_bus_message *reply)
{
	const char *path, *state;
	size_t units = table->count;
	int r = sd_bus_message_enter_container(reply, 'a', "(ss)");

	table->files = sd_bus_message_ref(reply);
	while (r >= 0 && (r = sd_bus_message_read(reply, "(ss)", &path, &state)) > 0) {
		int added = add_file(table, units, path, state);

		if (added < 0)
			return added;
	}
	if (table->count)
		qsort(table->rows, table->count, sizeof(*table->rows), compare_rows);
	return r < 0 ? r : 0;
}

const char *service_row_status(const struct service_row *row)
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
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i].active, row->active) == 0)
			return words[i].status;
	return "stopped";
}

bool service_row_usable(const struct service_row *row)
{
	if (row->load && strcmp(row->load, "loaded") != 0)
		return false;
	return !row->file_state || (strncmp(row->file_state, "masked", 6) != 0 && strcmp(row->file_state, "bad") != 0);
}
