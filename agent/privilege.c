/* SPDX-License-Identifier: MIT */
/* Rights of the agent's own process; see privilege.h. */
#include "agent/privilege.h"

#include <unistd.h>

#include "agent/command.h"

bool privilege_available(const struct agent *agent)
{
	(void)agent;
	return geteuid() == 0;
}

bool privilege_require(struct command *command)
{
	if (privilege_available(command->agent))
		return true;
	command_fail(command, CODE_PERMISSION_DENIED, "no_privilege", "the agent runs without the rights for this");
	return false;
}
