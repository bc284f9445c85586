/* SPDX-License-Identifier: MIT */
/* ServiceList: every service of the guest, loaded or not, from the service manager. */
#include "agent/actions/table.h"

#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/env.h"
#include "agent/actions/bus_work.h"
#include "agent/actions/service_table.h"
#include "agent/base/unit_name.h"
#include "agent/rules/unit_rules.h"

struct list {
	struct bus_work bus; /* first: see bus_work.h */
	struct service_table table;
	struct response response;
	void (*expired)(struct command *command); /* nothing is known yet */
};

/*
 * The verbs that make sense now: a running service cannot be started, and a service that must not be controlled
 * (unit_rules.h) has none.
 */
static void emit_verbs(struct sink *out, const struct service_row *row, char *const *deny_units)
{
	const char *active = row->active ? row->active : "inactive";
	bool usable = service_row_usable(row) && !unit_rules_deny(row->name, deny_units);
	bool down = strcmp(active, "inactive") == 0 || strcmp(active, "failed") == 0;

	sink_bool(out, "can_start", usable && down);
	sink_bool(out, "can_stop", usable && !down);
	sink_bool(out, "can_restart", usable && !down);
}

static void emit_row(struct sink *out, const struct service_row *row, char *const *deny_units)
{
	const char *shown = row->description && *row->description ? row->description : row->name;

	sink_object_begin(out, NULL);
	sink_str(out, "name", row->name);
	sink_text(out, "display_name", shown, strlen(shown), 256);
	sink_str(out, "status", service_row_status(row));
	sink_str(out, "description", row->description);
	sink_str(out, "startup_type", row->file_state);
	emit_verbs(out, row, deny_units);
	sink_str(out, "active_state", row->active ? row->active : "inactive");
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
static void answer(struct command *command, bool partial)
{
	struct list *list = command->work;

	list->response = (struct response){ .success = true, .data = emit_rows, .arg = &list, .partial = partial };
	command_answer(command, &list->response);
}

/* If the manager has no answer about the unit files in time, the loaded units are answered (partial). */
static void on_files(struct command *command, const struct bus_reply *reply)
{
	struct list *list = command->work;
	int r = reply->error ? reply->error : service_table_add_files(&list->table, reply->message);

	answer(command, r < 0);
}

static void on_expired(struct command *command)
{
	struct list *list = command->work;

	if (list->table.units)
		answer(command, true);
	else
		list->expired(command);
}

static void on_units(struct command *command, const struct bus_reply *reply)
{
	struct list *list = command->work;
	int r;

	if (bus_work_failed(command, reply))
		return;
	r = service_table_add_units(&list->table, reply->message);
	if (r < 0)
		bus_work_fail(command, r);
	else
		bus_call_manager(command, on_files, "ListUnitFiles", NULL);
}

static void list_done(struct bus_work *work)
{
	service_table_done(&container_of(work, struct list, bus)->table);
}

static void run_service_list(struct command *command)
{
	struct list *list = bus_work_new(command, sizeof(*list));

	if (!list)
		return;
	list->bus.done = list_done;
	list->expired = command->on_expired;
	command->on_expired = on_expired;
	bus_call_manager(command, on_units, "ListUnits", NULL);
}

const struct action action_service_list = {
	.name = "ServiceList", .group = GROUP_OBSERVE, .bus = true, .run = run_service_list
};
