/* SPDX-License-Identifier: MIT */
#include "agent/actions/table.h"

#include <infiniservice/cleanup.h>

#define ACTION_ADDRESS(name) &action_##name,

static const struct action *const rows[] = { ACTIONS(ACTION_ADDRESS) };

/* Words in the names of Windows actions. GetInstalledApplicationsWMI is also sent to Linux guests. */
static const char *const foreign[] = {
	"Windows", "Defender", "PowerShell", "GetThreatHistory", "AutoOptimizeDisk", NULL
};

const struct action_table actions = { .rows = rows, .count = ARRAY_SIZE(rows), .foreign = foreign };
