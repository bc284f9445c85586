/* SPDX-License-Identifier: MIT */
/* The connection to PID 1: opened on demand, and again after PID 1 has re-executed itself; see executor.h. */
#include "agent/executor/executor.h"

#include <stdlib.h>
#include <syslog.h>

#include <infiniservice/moment.h>

#include "agent/executor/operation.h"
#include "agent/executor/unit.h"

#define RECONNECT_MS   50
#define RECONNECTS_MAX 200 /* PID 1 is unreachable for a second or two while it re-executes itself */

int executor_reconnect_soon(struct executor *executor)
{
	sd_event_source_set_time_relative(executor->reconnect, RECONNECT_MS * NS_PER_MS / NS_PER_US);
	return sd_event_source_set_enabled(executor->reconnect, SD_EVENT_ONESHOT);
}

int executor_reconnect(sd_event_source *source, uint64_t usec, void *data)
{
	struct executor *executor = data;

	(void)source;
	(void)usec;
	if (executor->unit_count == 0)
		return 0;
	if (executor_manager(executor) >= 0) {
		unit_query_all(executor);
		return 0;
	}
	if (++executor->reconnects > RECONNECTS_MAX) {
		executor_log(LOG_ERR, "the service manager cannot be reached any more");
		return sd_event_exit(executor->event, EXIT_FAILURE);
	}
	return executor_reconnect_soon(executor);
}

void executor_manager_close(struct executor *executor)
{
	executor->lost_slot = sd_bus_slot_unref(executor->lost_slot);
	if (!executor->manager)
		return;
	sd_bus_detach_event(executor->manager);
	executor->manager = sd_bus_close_unref(executor->manager);
}

static int on_disconnected(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct executor *executor = data;

	(void)message;
	(void)error;
	executor_manager_close(executor);
	operation_forget_all(executor, true);
	return executor_reconnect_soon(executor);
}

/* On a direct connection PID 1 sends its signals without a subscription. */
int executor_manager(struct executor *executor)
{
	const char *address =
		executor->options.manager_address ? executor->options.manager_address : EXECUTOR_MANAGER_ADDRESS;
	sd_bus *bus = NULL;
	int r;

	if (executor->manager)
		return 0;
	r = sd_bus_new(&bus);
	if (r >= 0)
		r = sd_bus_set_address(bus, address);
	if (r >= 0)
		r = sd_bus_negotiate_fds(bus, true);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r >= 0)
		r = sd_bus_match_signal(bus, &executor->lost_slot, NULL, NULL, "org.freedesktop.DBus.Local",
					"Disconnected", on_disconnected, executor);
	if (r >= 0)
		r = sd_bus_match_signal(bus, NULL, NULL, MANAGER_PATH, MANAGER_INTERFACE, "JobRemoved",
					operation_job_removed, executor);
	if (r >= 0)
		r = sd_bus_match_signal(bus, NULL, NULL, MANAGER_PATH, MANAGER_INTERFACE, "UnitRemoved", unit_removed,
					executor);
	if (r >= 0)
		r = sd_bus_attach_event(bus, executor->event, SD_EVENT_PRIORITY_NORMAL);
	if (r < 0) {
		executor->lost_slot = sd_bus_slot_unref(executor->lost_slot);
		sd_bus_close_unref(bus);
		return r;
	}
	executor->manager = bus;
	executor->generation++;
	executor->reconnects = 0;
	return 0;
}
