/* SPDX-License-Identifier: MIT */
#include "agent/actions/table.h"

#include <infiniservice/cleanup.h>

#define ACTION_ADDRESS(name) &action_##name,

static const struct action *const rows[] = { ACTIONS(ACTION_ADDRESS) };

/* What names of actions that only Windows has contain. GetInstalledApplicationsWMI is asked of Linux guests too. */
static const char *const foreign[] = {
	"Windows", "Defender", "PowerShell", "GetThreatHistory", "AutoOptimizeDisk", NULL
};

const struct action_table actions = { .rows = rows, .count = ARRAY_SIZE(rows), .foreign = foreign };
