/* SPDX-License-Identifier: MIT */
/*
 * `infiniservice-exec launch`: the first program in the unit of a privileged command. The request comes as a memory
 * file on stdin, so that neither its environment nor its arguments stand in a unit file for all to read, and systemd
 * expands nothing in them; the launcher then becomes the command. When it cannot, it writes the failure behind the
 * request, where the executor reads it.
 *
 * The request of a detached run comes as one packet on stdin, with the file for its end record and the permit, which
 * the launcher holds while the command runs. This launcher stays the program's parent.
 */
#ifndef AGENT_EXECUTOR_LAUNCH_H
#define AGENT_EXECUTOR_LAUNCH_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "agent/runner/protocol.h"
#include "agent/runner/spawn.h"

/* Offset in the memory file of the launcher's failure; the RUN stands before it. */
#define LAUNCH_FAILURE_OFFSET RUNNER_MESSAGE_MAX
/* Offset of the byte that the launcher writes before it becomes the command. */
#define LAUNCH_BEGUN_OFFSET (RUNNER_MESSAGE_MAX + 2048)
/* Offset of the command's input, which reaches to the end of the file. */
#define LAUNCH_INPUT_OFFSET (RUNNER_MESSAGE_MAX + 4096)

/* The descriptors that come with the packet of a detached run. */
#define LAUNCH_FD_RESULT 0
#define LAUNCH_FD_PERMIT 1

/* To the launcher of a detached run: SIGTERM to the program's tree now, SIGKILL after the grace time. */
#define LAUNCH_CANCEL_SIGNAL   SIGUSR1
#define LAUNCH_CANCEL_GRACE_MS 2000

/* The shell's exit status for a command that could not be executed. */
#define LAUNCH_EXIT_NOT_EXECUTED 127

/*
 * Makes the stdin of a detached run's launcher: a socket holding the RUN with the two descriptors (they stay open
 * here). A descriptor, or -errno.
 */
int launch_packet(void *run, size_t len, int result, int permit);

/* Makes a memory file that holds the RUN. A descriptor, or -errno. */
int launch_file(const void *run, size_t len);

/* The failure that the launcher wrote to the memory file; error is 0 when there is none. */
struct spawn_failure launch_failure(int fd);

/* Whether a launcher has begun with this stdin, made by launch_file or launch_packet. */
bool launch_begun(int fd);

/* The verb `launch`. Returns the exit status. */
int launch_main(int argc, char *argv[]);

#endif
