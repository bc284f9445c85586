/* SPDX-License-Identifier: MIT */
/* ServiceList: every service of the guest, loaded or not, from the service manager. */
#include "agent/action.h"

#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/agent.h"
#include "agent/bus_work.h"
#include "agent/service_table.h"
#include "agent/unit_name.h"

struct list {
	struct bus_work bus; /* first: see bus_work.h */
	struct service_table table;
	struct response response;
};

static void emit_row(struct sink *out, const struct service_row *row)
{
	const char *shown = row->description && *row->description ? row->description : row->name;
	bool usable = service_row_usable(row);

	sink_object_begin(out, NULL);
	sink_str(out, "name", row->name);
	sink_text(out, "display_name", shown, strlen(shown), 256);
	sink_str(out, "status", service_row_status(row));
	sink_str(out, "description", row->description);
	sink_str(out, "startup_type", row->file_state);
	sink_bool(out, "can_start", usable);
	sink_bool(out, "can_stop", usable);
	sink_bool(out, "can_restart", usable);
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

		emit_row(out, &list->table.rows[i]);
		if (!sink_full(out))
			continue;
		sink_rewind(out, mark);
		list->response.data_truncated = true;
		list->response.total_count = list->table.count;
		break;
	}
	sink_array_end(out);
}

static void on_files(struct command *command, const struct bus_reply *reply)
{
	struct list *list = command->work;
	int r;

	if (bus_work_failed(command, reply))
		return;
	r = service_table_add_files(&list->table, reply->message);
	if (r < 0) {
		bus_work_fail(command, r);
		return;
	}
	list->response = (struct response){ .success = true, .data = emit_rows, .arg = &list };
	command_answer(command, &list->response);
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

enum action_result action_run_service_list(struct command *command)
{
	struct list *list = bus_work_new(command, sizeof(*list));

	if (!list)
		return ACTION_TAKEN;
	list->bus.done = list_done;
	return bus_call_manager(command, on_units, "ListUnits", NULL) ? ACTION_ASYNC : ACTION_TAKEN;
}
