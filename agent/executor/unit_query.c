/* SPDX-License-Identifier: MIT */
/* Queries units that were not watched while PID 1 was unreachable; see unit.h. */
#include "agent/executor/unit_private.h"

#include <string.h>

static int on_query(sd_bus_message *message, void *data, sd_bus_error *error)
{
	const sd_bus_error *failed = sd_bus_message_get_error(message);
	struct unit *unit = data;
	bool last = sd_bus_get_current_slot(sd_bus_message_get_bus(message)) == unit->query[1];
	bool unknown;

	(void)error;
	if (last)
		unit->query[1] = sd_bus_slot_unref(unit->query[1]);
	if (failed && unit_manager_is_away(failed))
		return 1;
	unknown = failed || unit_state_read(message, &unit->is) < 0;
	if (!last)
		return 1;
	/*
	 * Inactive without an exit code: PID 1 never had the unit, or has forgotten it and its end was missed. The
	 * query ends here: asking about an unknown unit makes PID 1 load it, find nothing and send UnitRemoved once
	 * more.
	 */
	unknown = unknown || (strcmp(unit->is.state, "inactive") == 0 && unit->is.code == 0);
	if (unknown && !(unit_start_is_lost(unit) && unit_request(unit) >= 0))
		unit_end(unit, false);
	else if (!unknown)
		unit_advance(unit);
	return 1;
}

static void query(struct unit *unit)
{
	static const char *const interfaces[2] = { SERVICE_INTERFACE, UNIT_INTERFACE };

	/*
	 * One query at a time: its reply serves requests made meanwhile, and the query itself may cause the signal that
	 * calls this again.
	 */
	if (unit->query[1])
		return;
	unit->query[0] = sd_bus_slot_unref(unit->query[0]);
	for (int i = 0; i < 2; i++)
		sd_bus_call_method_async(unit->executor->manager, &unit->query[i], NULL, unit->path,
					 PROPERTIES_INTERFACE, "GetAll", on_query, unit, "s", interfaces[i]);
}

void unit_query_all(struct executor *executor)
{
	for (struct unit *unit = executor->units; unit; unit = unit->next)
		if (unit->generation != executor->generation) {
			unit_watch(unit);
			unit->query[1] = sd_bus_slot_unref(unit->query[1]);
			query(unit);
			if (unit->stopping)
				unit_kill(unit);
		}
}

/*
 * UnitRemoved does not mean that the unit has ended: PID 1 sends it for every unit at a reload. So the state is
 * queried.
 */
void unit_removed(struct executor *executor, sd_bus_message *signal)
{
	const char *name;
	struct unit *unit;

	if (!executor->units || sd_bus_message_read(signal, "s", &name) < 0)
		return;
	unit = unit_find(executor, name);
	if (unit)
		query(unit);
}
