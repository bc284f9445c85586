/* SPDX-License-Identifier: MIT */
/* The connection to PID 1: opened when it is needed, opened anew when PID 1 has executed itself; see broker.h. */
#include "agent/broker/broker.h"

#include <stdlib.h>
#include <syslog.h>

#include <infiniservice/moment.h>

#include "agent/broker/deed.h"
#include "agent/broker/manager_call.h"
#include "agent/broker/unit.h"

#define RECONNECT_MS   50
#define RECONNECTS_MAX 200 /* PID 1 is away while it executes itself anew, for a second or two */

static int reconnect_soon(struct broker *broker)
{
	sd_event_source_set_time_relative(broker->reconnect, RECONNECT_MS * NS_PER_MS / NS_PER_US);
	return sd_event_source_set_enabled(broker->reconnect, SD_EVENT_ONESHOT);
}

int broker_reconnect(sd_event_source *source, uint64_t usec, void *data)
{
	struct broker *broker = data;

	(void)source;
	(void)usec;
	if (broker->unit_count == 0)
		return 0;
	if (broker_manager(broker) >= 0) {
		unit_look_again(broker);
		return 0;
	}
	if (++broker->reconnects > RECONNECTS_MAX) {
		broker_log(LOG_ERR, "the service manager cannot be reached any more");
		return sd_event_exit(broker->event, EXIT_FAILURE);
	}
	return reconnect_soon(broker);
}

void broker_manager_close(struct broker *broker)
{
	broker->lost_slot = sd_bus_slot_unref(broker->lost_slot);
	if (!broker->manager)
		return;
	sd_bus_detach_event(broker->manager);
	broker->manager = sd_bus_close_unref(broker->manager);
}

static int on_disconnected(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct broker *broker = data;

	(void)message;
	(void)error;
	broker_manager_close(broker);
	deed_forget_all(broker, true);
	return reconnect_soon(broker);
}

static int on_job_removed(sd_bus_message *message, void *data, sd_bus_error *error)
{
	(void)error;
	deed_job_removed(data, message);
	return 0;
}

static int on_unit_removed(sd_bus_message *message, void *data, sd_bus_error *error)
{
	(void)error;
	unit_removed(data, message);
	return 0;
}

/* PID 1 sends its signals to whoever is connected to it directly, subscribed or not. */
static int manager_open(struct broker *broker, sd_bus *bus)
{
	const char *address =
		broker->options.manager_address ? broker->options.manager_address : BROKER_MANAGER_ADDRESS;
	int r = sd_bus_set_address(bus, address);

	if (r >= 0)
		r = sd_bus_negotiate_fds(bus, true);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r >= 0)
		r = sd_bus_match_signal(bus, &broker->lost_slot, NULL, NULL, "org.freedesktop.DBus.Local",
					"Disconnected", on_disconnected, broker);
	if (r >= 0)
		r = sd_bus_match_signal(bus, NULL, NULL, MANAGER_PATH, MANAGER_INTERFACE, "JobRemoved", on_job_removed,
					broker);
	if (r >= 0)
		r = sd_bus_match_signal(bus, NULL, NULL, MANAGER_PATH, MANAGER_INTERFACE, "UnitRemoved",
					on_unit_removed, broker);
	return r < 0 ? r : sd_bus_attach_event(bus, broker->event, SD_EVENT_PRIORITY_NORMAL);
}

int broker_manager(struct broker *broker)
{
	sd_bus *bus = NULL;
	int r;

	if (broker->manager)
		return 0;
	r = sd_bus_new(&bus);
	if (r >= 0)
		r = manager_open(broker, bus);
	if (r < 0) {
		broker->lost_slot = sd_bus_slot_unref(broker->lost_slot);
		sd_bus_close_unref(bus);
		return r;
	}
	broker->manager = bus;
	broker->generation++;
	broker->reconnects = 0;
	return 0;
}
