/* SPDX-License-Identifier: MIT */
/*
 * Starts one command the way posix_spawn does (the child borrows the parent's memory until it executes, so no page
 * tables are copied), with what posix_spawn cannot do: another user, a death signal.
 */
#ifndef AGENT_RUNNER_SPAWN_H
#define AGENT_RUNNER_SPAWN_H

#include <sys/types.h>

#include "agent/runner/protocol.h"

struct spawn_io {
	int in, out, err; /* become 0, 1 and 2; everything else is closed in the child, */
	int input;	  /* but this, which becomes RUNNER_INPUT_FD; -1: none */
};

struct spawn_failure {
	int error; /* positive errno */
	int stage; /* enum runner_stage */
};

/*
 * Returns the pid, or -1 with *ret_failure filled: the child found that it could not execute (it is reaped already)
 * or there is none. The child leads a session of its own, has default signal dispositions if the caller has, an empty
 * mask, the command's environment and nothing else, and is killed when the calling thread dies. The caller blocks all
 * signals.
 */
pid_t spawn_command(const struct runner_command *command, const struct spawn_io *io, struct spawn_failure *ret_failure);

/*
 * Becomes the command: for a process of its own, with stdout and stderr in place, whatever started it, and `input` (-1:
 * none) as RUNNER_INPUT_FD. Comes back only when that is not possible, with *ret_failure filled; `keep_fd`, which is
 * none of those four, is still open then, and is not in the command.
 */
void spawn_replace(const struct runner_command *command, int input, int keep_fd, struct spawn_failure *ret_failure);

/*
 * Every disposition back to its default: also those of 32 and 33, which sigaction(3) keeps to itself, so that nobody
 * else could undo it when whoever started us left them ignored.
 */
void spawn_signals_default(void);

#endif
