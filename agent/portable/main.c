/* SPDX-License-Identifier: MIT */
/*
 * The portable program is agent and executor in one: called as infiniservice-exec it is the executor, otherwise the
 * agent, which starts itself under that name. PID 1 starts it by its real path for a command's unit; then a verb as
 * first argument selects the executor, since the agent has options only.
 */
#include <string.h>

#include "agent/agent.h"
#include "agent/run/exec.h"
#include "agent/executor/verbs.h"
#include "agent/portable/portable.h"

int main(int argc, char *argv[])
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *name = argc > 0 ? (slash ? slash + 1 : argv[0]) : "";

	if (strcmp(name, "infiniservice-exec") == 0 || (argc > 1 && executor_has_verb(argv[1])))
		return executor_main(argc, argv);
	exec_own_program = true;
	return service_main(argc, argv);
}
