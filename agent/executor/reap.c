/* SPDX-License-Identifier: MIT */
#include "agent/executor/reap.h"

#include <errno.h>
#include <syslog.h>

#include "agent/executor/manager_call.h"
#include "agent/executor/unit.h"

static int on_list(sd_bus_message *message, void *data, sd_bus_error *error)
{
	const char *name, *text, *path;
	struct executor *executor = data;
	uint32_t job;
	int r = sd_bus_message_is_method_error(message, NULL)
			? -EIO
			: sd_bus_message_enter_container(message, 'a', "(ssssssouso)");

	(void)error;
	while (r >= 0 && (r = sd_bus_message_read(message, "(ssssssouso)", &name, &text, &text, &text, &text, &text,
						  &path, &job, &text, &path)) > 0) {
		if (unit_find(executor, name))
			continue;
		executor_log(LOG_NOTICE, "%s was left by an executor that is gone: killed", name);
		manager_tell(executor, "StopUnit", "ss", name, "replace");
	}
	return 1;
}

void reap_begin(struct executor *executor)
{
	if (executor_manager(executor) >= 0)
		sd_bus_call_method_async(executor->manager, NULL, MANAGER_NAME, MANAGER_PATH, MANAGER_INTERFACE,
					 "ListUnitsByPatterns", on_list, executor, "asas", 0, 1, UNIT_PREFIX "*");
}
