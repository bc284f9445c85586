/* SPDX-License-Identifier: MIT */
#include "agent/executor/manager_call.h"

#include <stdarg.h>

void manager_tell(struct executor *executor, const char *member, const char *types, ...)
{
	sd_bus_message *message = NULL;
	va_list args;
	int r;

	if (!executor->manager)
		return;
	va_start(args, types);
	r = sd_bus_message_new_method_call(executor->manager, &message, MANAGER_NAME, MANAGER_PATH, MANAGER_INTERFACE,
					   member);
	if (r >= 0)
		r = sd_bus_message_appendv(message, types, args);
	va_end(args);
	if (r >= 0)
		r = sd_bus_message_set_expect_reply(message, 0);
	if (r >= 0)
		sd_bus_send(executor->manager, message, NULL);
	sd_bus_message_unref(message);
}
