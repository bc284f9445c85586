/* SPDX-License-Identifier: MIT */
/* The table of actions; see action.h. */
#include "agent/action.h"

#include <string.h>

#include <infiniservice/cleanup.h>

static const struct action actions[] = {
	{ .name = "SystemInfo", .group = GROUP_OBSERVE, .run = action_run_system_info },
	{ .name = "OsInfo", .group = GROUP_OBSERVE, .run = action_run_os_info },
	{ .name = "ProcessList", .group = GROUP_OBSERVE, .run = action_run_process_list },
	{ .name = "ProcessTop", .group = GROUP_OBSERVE, .run = action_run_process_top },
	{ .name = "CheckDiskSpace", .group = GROUP_OBSERVE, .run = action_run_check_disk_space },
	{ .name = "Status", .group = GROUP_OBSERVE, .run = action_run_status },
};

const struct action action_unsafe = {
	.name = "unsafe", .group = GROUP_EXEC, .slot = true, .run = action_run_unsafe
};
const struct action action_status = { .name = "Status", .group = GROUP_OBSERVE, .run = action_run_status };

/* What names of actions that only Windows has contain. GetInstalledApplicationsWMI is asked of Linux guests too. */
static const char *const foreign[] = { "Windows", "Defender", "PowerShell", "JoinDomain" };

enum action_kind action_find(const char *name, const struct action **ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		if (strcmp(actions[i].name, name) == 0) {
			*ret = &actions[i];
			return ACTION_KNOWN;
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
		if (strstr(name, foreign[i]))
			return ACTION_FOREIGN;
	return ACTION_UNKNOWN;
}
