/* SPDX-License-Identifier: MIT */
/*
 * `infiniservice-exec launch`: the first thing in the unit of a privileged command. The request comes as a memory file
 * on stdin, so that neither its environment nor its arguments stand in a unit file for all to read, and nothing expands
 * them; it then becomes the command. When it cannot, it writes why behind the request, where the executor looks.
 *
 * The request of a detached run comes as one packet on stdin, with the file for its end and the permit that it holds
 * while it runs. Its launcher stays the program's parent.
 */
#ifndef AGENT_EXECUTOR_LAUNCH_H
#define AGENT_EXECUTOR_LAUNCH_H

#include <signal.h>
#include <stddef.h>

#include "agent/runner/protocol.h"
#include "agent/runner/spawn.h"

/* Where in the memory file a failure is; before it is the RUN. */
#define LAUNCH_FAILURE_OFFSET RUNNER_MESSAGE_MAX
/* And where, behind it, the input of the command, up to the end of the file. */
#define LAUNCH_INPUT_OFFSET (RUNNER_MESSAGE_MAX + 4096)

/* The descriptors that come with the packet of a detached run. */
#define LAUNCH_FD_RESULT 0
#define LAUNCH_FD_PERMIT 1

/* To the launcher of a detached run: SIGTERM to the program's tree now, SIGKILL after the grace time. */
#define LAUNCH_CANCEL_SIGNAL   SIGUSR1
#define LAUNCH_CANCEL_GRACE_MS 2000

/* By the shell's convention for a command that could not be executed. */
#define LAUNCH_EXIT_NOT_EXECUTED 127

/*
 * The stdin of the launcher of a detached run, holding the RUN with the two descriptors (they stay open here). A
 * descriptor, or -errno.
 */
int launch_packet(void *run, size_t len, int result, int permit);

/* The launcher of a detached run, its packet at `socket_fd`. Returns the exit status when the program has ended. */
int launch_detached(int socket_fd);

/* A memory file that holds the RUN, or -errno. */
int launch_file(const void *run, size_t len);

/* The failure written to it; error is 0 when there is none. */
struct spawn_failure launch_failure(int fd);

/* The verb. */
int launch_main(int argc, char *argv[]);

#endif
