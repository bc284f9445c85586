/* SPDX-License-Identifier: MIT */
/*
 * The portable program is both: the executor when it is called by that name, else the agent, which starts itself as
 * one. Whoever starts it by its true path, as PID 1 does for a command's unit, says with a verb which it is to be; the
 * agent takes options alone.
 */
#include <string.h>

#include "agent/cli.h"
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
