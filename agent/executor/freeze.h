/* SPDX-License-Identifier: MIT */
/*
 * The executor's part of a freeze: it has PID 1 start the freeze helper and, before it, the owner's hooks, each as a
 * unit of its own, and holds one end of a socket as long as the helper runs. It is not needed to thaw: the helper waits
 * for the agent's word, and thaws when the executor is gone (agent/freeze/freezer.h).
 *
 *	OPERATION FREEZE ─► rules ─► infiniservice-freeze-hooks (hooks freeze) ─► infiniservice-freeze ─► ANSWERED
 *	the helper has ended ─► its unit is not needed any more, so PID 1 stops the hooks' unit too: hooks thaw
 */
#ifndef AGENT_EXECUTOR_FREEZE_H
#define AGENT_EXECUTOR_FREEZE_H

#include "agent/executor/executor.h"

#define FREEZE_UNIT	  "infiniservice-freeze.service"
#define FREEZE_HOOKS_UNIT "infiniservice-freeze-hooks.service"

/*
 * Starts it. `agent_fd`, the helper's end of the agent's socket, stays the caller's. ANSWERED is sent when the helper
 * runs, with the result of its job ("done"), or when it cannot ("dependency": a hook failed); every failure is
 * answered. 0, or -EBADMSG: the agent violates the protocol.
 */
int freeze_start(struct executor *executor, const struct runner_call *call, int agent_fd);

/* A job has ended, signal JobRemoved: the object path of the job, and its result. */
void freeze_job_removed(struct executor *executor, const char *path, const char *result);

/* The connection to PID 1 is lost: what waits for an answer of it is answered. */
void freeze_manager_lost(struct executor *executor);

/* The agent is gone: nothing is answered any more. */
void freeze_orphan(struct executor *executor);

/* At the executor's exit: the helper, if one runs, thaws. */
void freeze_free(struct executor *executor);

/*
 * `infiniservice-exec hooks freeze|thaw FOLDER…`: runs each program in the folders with that word, in the order of
 * their names; for a thaw in the reverse order. As qemu-ga's fsfreeze-hook it leaves out names that editors and
 * packages give to copies, and what is not executable. A folder, or a program in it, that others than root can write
 * is refused, and so is the freeze. Returns the exit status: 1 when a program failed or was refused; a freeze ends
 * there, a thaw runs the others nevertheless.
 */
int hooks_main(int argc, char *argv[]);

/* Whether a file of this name is a hook. */
bool hook_name_counts(const char *name);

#endif
