/* SPDX-License-Identifier: MIT */
#include "agent/executor/sweep.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include <infiniservice/cleanup.h>

#include "agent/executor/manager_call.h"
#include "agent/executor/unit.h"
#include "agent/executor/unit_state.h"

static char *find_spared(struct executor *executor, const char *unit)
{
	for (size_t i = 0; i < ARRAY_SIZE(executor->spared); i++)
		if (strcmp(executor->spared[i], unit) == 0)
			return executor->spared[i];
	return NULL;
}

static bool is_spared(struct executor *executor, const char *name)
{
	char unit[UNIT_NAME_MAX];

	snprintf(unit, sizeof(unit), "%s", name + strlen(UNIT_KEEP_PREFIX));
	unit[strcspn(unit, ".")] = '\0';
	return find_spared(executor, unit) != NULL;
}

/*
 * What ended well is active until it is stopped, what did not is failed until that is reset. Processes it left go with
 * it.
 */
void sweep_let_go(struct executor *executor, const char *name)
{
	manager_tell(executor, "StopUnit", "ss", name, "replace");
	manager_tell(executor, "ResetFailedUnit", "s", name);
}

static void judge(struct executor *executor, const char *name, const char *state, const char *sub)
{
	if (unit_find(executor, name))
		return;
	if (strncmp(name, UNIT_PREFIX, strlen(UNIT_PREFIX)) == 0) {
		executor_log(LOG_NOTICE, "%s was left by an executor that is gone: killed", name);
		manager_tell(executor, "StopUnit", "ss", name, "replace");
	} else if (unit_state_over(state, sub) && !is_spared(executor, name)) {
		sweep_let_go(executor, name);
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

static void list(struct executor *executor, const char *pattern)
{
	if (executor_manager(executor) >= 0)
		sd_bus_call_method_async(executor->manager, NULL, MANAGER_NAME, MANAGER_PATH, MANAGER_INTERFACE,
					 "ListUnitsByPatterns", on_list, executor, "asas", 0, 1, pattern);
}

/* So that those that run count, whoever has started them. */
static int on_kept(sd_bus_message *message, void *data, sd_bus_error *error)
{
	const char *name, *text, *path, *state, *sub;
	struct executor *executor = data;
	uint32_t job;
	int r = sd_bus_message_is_method_error(message, NULL)
			? -EIO
			: sd_bus_message_enter_container(message, 'a', "(ssssssouso)");

	(void)error;
	while (r >= 0 && (r = sd_bus_message_read(message, "(ssssssouso)", &name, &text, &text, &state, &sub, &text,
						  &path, &job, &text, &path)) > 0)
		if (!unit_state_over(state, sub) && strcmp(state, "inactive") != 0)
			unit_adopt(executor, name);
	executor->kept_known = r >= 0;
	if (r < 0) /* nobody is let in yet: the next of us asks anew */
		return sd_event_exit(executor->event, EXIT_FAILURE);
	executor_ready(executor);
	return 1;
}

void sweep_begin(struct executor *executor)
{
	list(executor, UNIT_PREFIX "*");
	if (executor_manager(executor) < 0 ||
	    sd_bus_call_method_async(executor->manager, NULL, MANAGER_NAME, MANAGER_PATH, MANAGER_INTERFACE,
				     "ListUnitsByPatterns", on_kept, executor, "asas", 0, 1, UNIT_KEEP_PREFIX "*") < 0)
		executor_ready(executor);
}

void sweep_kept(struct executor *executor)
{
	list(executor, UNIT_KEEP_PREFIX "*");
}

int sweep_spare(struct executor *executor, const char *unit)
{
	char *place = find_spared(executor, unit);

	if (!place)
		place = find_spared(executor, "");
	if (!place)
		return -EBUSY;
	snprintf(place, sizeof(executor->spared[0]), "%s", unit);
	return 0;
}

void sweep_release(struct executor *executor, const char *unit)
{
	char *place = find_spared(executor, unit), name[UNIT_NAME_MAX];
	struct unit *running;

	if (place)
		*place = '\0';
	unit_kept_name(unit, name);
	running = unit_find(executor, name);
	if (running)
		unit_release(running);
	else
		list(executor, name);
}

void sweep_forget(struct executor *executor)
{
	memset(executor->spared, 0, sizeof(executor->spared));
}
