/* SPDX-License-Identifier: MIT */
/* Units that were not watched: those of an executor before this one, and all while PID 1 was away; see unit.h. */
#include "agent/executor/unit_private.h"

#include <errno.h>
#include <string.h>

#include <infiniservice/moment.h>

#include "agent/executor/sweep.h"

static int on_look(sd_bus_message *message, void *data, sd_bus_error *error)
{
	const sd_bus_error *failed = sd_bus_message_get_error(message);
	struct unit *unit = data;
	bool last = sd_bus_get_current_slot(sd_bus_message_get_bus(message)) == unit->look[1];

	(void)error;
	if (last)
		unit->look[1] = sd_bus_slot_unref(unit->look[1]);
	if (failed && unit_manager_is_away(failed))
		return 1;
	if (failed || unit_state_read(message, &unit->is) < 0) {
		if (last)
			unit_end(unit, false);
		return 1;
	}
	/*
	 * A unit that nobody knows any more is one that is inactive and never ran: its end was missed. It must be over
	 * then: to ask for it makes PID 1 load it and, finding nothing, say once more that it is removed.
	 */
	if (last && strcmp(unit->is.state, "inactive") == 0 && unit->is.code == 0) {
		unit_end(unit, false);
	} else if (last) {
		if (unit->unseen)
			unit_deadline_arm(unit);
		unit->unseen = false;
		unit_advance(unit);
	}
	return 1;
}

static void unit_look(struct unit *unit)
{
	static const char *const interfaces[2] = { SERVICE_INTERFACE, UNIT_INTERFACE };

	/* Its answer will do for whoever asks meanwhile: to ask may be what brings the next question. */
	if (unit->look[1])
		return;
	unit->look[0] = sd_bus_slot_unref(unit->look[0]);
	for (int i = 0; i < 2; i++)
		sd_bus_call_method_async(unit->executor->manager, &unit->look[i], NULL, unit->path,
					 PROPERTIES_INTERFACE, "GetAll", on_look, unit, "s", interfaces[i]);
}

/* Its own table knows more of a unit than PID 1 does: whether it was cancelled, and what its launcher said. */
static void attach_again(struct unit *unit, const struct runner_request *head)
{
	unit->id = head->id;
	unit->started = false;
	if (unit->attached && unit->due_ns == TIME_NEVER) { /* adopted: its deadlines were not known */
		unit->term_ns = unit->due_ns = head->term_ns;
		unit->kill_ns = head->kill_ns;
		if (!unit->unseen)
			unit_deadline_arm(unit);
	}
	unit_advance(unit);
}

int unit_adopt(struct executor *executor, const char *name)
{
	struct runner_request head = { .term_ns = TIME_NEVER, .kill_ns = TIME_NEVER };
	struct unit *unit = unit_find(executor, name) ? NULL : unit_new(executor, &head, name);
	int r;

	if (!unit)
		return unit_find(executor, name) ? 0 : -ENOMEM;
	unit->keep = unit->attached = true;
	r = unit_prepare(unit);
	if (r < 0) {
		unit_free(unit);
		return r;
	}
	unit_look(unit);
	return 0;
}

void unit_attach(struct executor *executor, const struct runner_request *head, const char *unit_name)
{
	char name[UNIT_NAME_MAX];
	struct unit *unit;
	int r = executor->unit_count >= RUNNER_SLOTS ? -EBUSY : sweep_spare(executor, unit_name);

	unit_kept_name(unit_name, name);
	unit = unit_find(executor, name);
	if (r >= 0 && unit && unit->id == 0) {
		attach_again(unit, head);
		return;
	}
	if (r >= 0 && unit)
		r = -EBUSY;
	unit = r < 0 ? NULL : unit_new(executor, head, name);
	if (unit) {
		unit->keep = unit->attached = unit->unseen = true;
		r = unit_prepare(unit);
	} else if (r >= 0) {
		r = -ENOMEM;
	}
	if (r >= 0) {
		unit_look(unit);
		return;
	}
	executor_refuse(executor, head->id, -r, RUNNER_STAGE_RESOURCE, "");
	if (unit)
		unit_free(unit);
}

void unit_look_again(struct executor *executor)
{
	for (struct unit *unit = executor->units; unit; unit = unit->next)
		if (unit->generation != executor->generation) {
			unit_watch(unit);
			unit->look[1] = sd_bus_slot_unref(unit->look[1]);
			unit_look(unit);
		}
}

/* It is gone, or it is only being read anew: PID 1 says the same of every unit when it reloads. */
void unit_removed(struct executor *executor, sd_bus_message *signal)
{
	const char *name;
	struct unit *unit;

	if (!executor->units || sd_bus_message_read(signal, "s", &name) < 0)
		return;
	unit = unit_find(executor, name);
	if (unit)
		unit_look(unit);
}
