/* SPDX-License-Identifier: MIT */
#include "agent/broker/sweep.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include <infiniservice/cleanup.h>

#include "agent/broker/manager_call.h"
#include "agent/broker/unit.h"
#include "agent/broker/unit_state.h"

static char *find_spared(struct broker *broker, const char *unit)
{
	for (size_t i = 0; i < ARRAY_SIZE(broker->spared); i++)
		if (strcmp(broker->spared[i], unit) == 0)
			return broker->spared[i];
	return NULL;
}

static bool is_spared(struct broker *broker, const char *name)
{
	char unit[UNIT_NAME_MAX];

	snprintf(unit, sizeof(unit), "%s", name + strlen(UNIT_KEEP_PREFIX));
	unit[strcspn(unit, ".")] = '\0';
	return find_spared(broker, unit) != NULL;
}

/*
 * What ended well is active until it is stopped, what did not is failed until that is reset. Processes it left go with
 * it.
 */
void sweep_let_go(struct broker *broker, const char *name)
{
	manager_tell(broker, "StopUnit", "ss", name, "replace");
	manager_tell(broker, "ResetFailedUnit", "s", name);
}

static void judge(struct broker *broker, const char *name, const char *state, const char *sub)
{
	if (unit_find(broker, name))
		return;
	if (strncmp(name, UNIT_PREFIX, strlen(UNIT_PREFIX)) == 0) {
		broker_log(LOG_NOTICE, "%s was left by an executor that is gone: killed", name);
		manager_tell(broker, "StopUnit", "ss", name, "replace");
	} else if (unit_state_over(state, sub) && !is_spared(broker, name)) {
		sweep_let_go(broker, name);
	}
}

static int on_list(sd_bus_message *message, void *data, sd_bus_error *error)
{
	const char *name, *text, *path, *state, *sub;
	uint32_t job;
	int r = sd_bus_message_is_method_error(message, NULL)
			? -EIO
			: sd_bus_message_enter_container(message, 'a', "(ssssssouso)");

	(void)error;
	while (r >= 0 && (r = sd_bus_message_read(message, "(ssssssouso)", &name, &text, &text, &state, &sub, &text,
						  &path, &job, &text, &path)) > 0)
		judge(data, name, state, sub);
	return 1;
}

static void list(struct broker *broker, const char *pattern)
{
	if (broker_manager(broker) >= 0)
		sd_bus_call_method_async(broker->manager, NULL, MANAGER_NAME, MANAGER_PATH, MANAGER_INTERFACE,
					 "ListUnitsByPatterns", on_list, broker, "asas", 0, 1, pattern);
}

/* So that those that run count, whoever has started them. */
static int on_kept(sd_bus_message *message, void *data, sd_bus_error *error)
{
	const char *name, *text, *path, *state, *sub;
	struct broker *broker = data;
	uint32_t job;
	int r = sd_bus_message_is_method_error(message, NULL)
			? -EIO
			: sd_bus_message_enter_container(message, 'a', "(ssssssouso)");

	(void)error;
	while (r >= 0 && (r = sd_bus_message_read(message, "(ssssssouso)", &name, &text, &text, &state, &sub, &text,
						  &path, &job, &text, &path)) > 0)
		if (!unit_state_over(state, sub) && strcmp(state, "inactive") != 0)
			unit_adopt(broker, name);
	broker->kept_known = r >= 0;
	if (r < 0) /* nobody is let in yet: the next of us asks anew */
		return sd_event_exit(broker->event, EXIT_FAILURE);
	broker_ready(broker);
	return 1;
}

void sweep_begin(struct broker *broker)
{
	list(broker, UNIT_PREFIX "*");
	if (broker_manager(broker) < 0 ||
	    sd_bus_call_method_async(broker->manager, NULL, MANAGER_NAME, MANAGER_PATH, MANAGER_INTERFACE,
				     "ListUnitsByPatterns", on_kept, broker, "asas", 0, 1, UNIT_KEEP_PREFIX "*") < 0)
		broker_ready(broker);
}

void sweep_kept(struct broker *broker)
{
	list(broker, UNIT_KEEP_PREFIX "*");
}

int sweep_spare(struct broker *broker, const char *unit)
{
	char *place = find_spared(broker, unit);

	if (!place)
		place = find_spared(broker, "");
	if (!place)
		return -EBUSY;
	snprintf(place, sizeof(broker->spared[0]), "%s", unit);
	return 0;
}

void sweep_release(struct broker *broker, const char *unit)
{
	char *place = find_spared(broker, unit), name[UNIT_NAME_MAX];
	struct unit *running;

	if (place)
		*place = '\0';
	unit_kept_name(unit, name);
	running = unit_find(broker, name);
	if (running)
		unit_release(running);
	else
		list(broker, name);
}

void sweep_forget(struct broker *broker)
{
	memset(broker->spared, 0, sizeof(broker->spared));
}
