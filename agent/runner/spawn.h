/* SPDX-License-Identifier: MIT */
/*
 * Starts one command like posix_spawn (the child shares the parent's memory until it executes, so that no page tables
 * are copied), and with another user and a death signal, which posix_spawn cannot do.
 */
#ifndef AGENT_RUNNER_SPAWN_H
#define AGENT_RUNNER_SPAWN_H

#include <sys/types.h>

#include "agent/runner/protocol.h"

struct spawn_io {
	int in, out, err; /* become 0, 1 and 2; the child closes all others */
	int input;	  /* becomes RUNNER_INPUT_FD; -1: none */
};

struct spawn_failure {
	int error; /* positive errno */
	int stage; /* enum runner_stage */
};

/*
 * Starts the command as a child. Returns the pid, or -1 with *ret_failure filled: there is no child, or it found that
 * it could not execute and has been reaped. The child leads its own session, has default signal dispositions if the
 * caller has, an empty signal mask and the command's environment only, and is killed when the calling thread dies. The
 * caller blocks all signals.
 */
pid_t spawn_command(const struct runner_command *command, const struct spawn_io *io, struct spawn_failure *ret_failure);

/*
 * Replaces the calling process by the command. Its stdout and stderr are in place already; `input` (-1: none) becomes
 * RUNNER_INPUT_FD. Returns only on failure, with *ret_failure filled; then `keep_fd`, which differs from those four, is
 * still open. The command does not get it.
 */
void spawn_replace(const struct runner_command *command, int input, int keep_fd, struct spawn_failure *ret_failure);

/*
 * Resets every signal disposition to its default, also those of signals 32 and 33, which sigaction(3) reserves: the
 * parent may have left them ignored, and a command could not undo that.
 */
void spawn_signals_default(void);

#endif
