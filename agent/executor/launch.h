/* SPDX-License-Identifier: MIT */
/*
 * `infiniservice-exec launch`: the first thing in the unit of a privileged command. The request comes as a memory file
 * on stdin, so that neither its environment nor its arguments stand in a unit file for all to read, and nothing expands
 * them; it then becomes the command. When it cannot, it writes why behind the request, where the executor looks.
 */
#ifndef AGENT_EXECUTOR_LAUNCH_H
#define AGENT_EXECUTOR_LAUNCH_H

#include <stddef.h>

#include "agent/runner/protocol.h"
#include "agent/runner/spawn.h"

/* Where in the memory file a failure is; before it is the RUN. */
#define LAUNCH_FAILURE_OFFSET RUNNER_MESSAGE_MAX
/* And where, behind it, the input of the command, up to the end of the file. */
#define LAUNCH_INPUT_OFFSET (RUNNER_MESSAGE_MAX + 4096)

/* A memory file that holds the RUN, or -errno. */
int launch_file(const void *run, size_t len);

/* The failure written to it; error is 0 when there is none. */
struct spawn_failure launch_failure(int fd);

/* The verb. */
int launch_main(int argc, char *argv[]);

#endif
