/* SPDX-License-Identifier: MIT */
/* Calls to the service manager without waiting for a reply. */
#ifndef AGENT_EXECUTOR_MANAGER_CALL_H
#define AGENT_EXECUTOR_MANAGER_CALL_H

#include "agent/executor/executor.h"

#define MANAGER_NAME	  "org.freedesktop.systemd1"
#define MANAGER_PATH	  "/org/freedesktop/systemd1"
#define MANAGER_INTERFACE "org.freedesktop.systemd1.Manager"

/* Calls `member`; `types` and the rest as for sd_bus_message_append. Without a connection it does nothing. */
void manager_tell(struct executor *executor, const char *member, const char *types, ...);

#endif
