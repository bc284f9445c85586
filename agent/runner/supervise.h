/* SPDX-License-Identifier: MIT */
/*
 * The supervisor: one process per slot, parent of one command at a time and subreaper of all it leaves behind, so
 * that every process belongs to exactly one command and none outlives it. Used again once its tree is empty.
 *
 *	idle ─RUN─► running ─exit─► (EXITED) draining: SIGKILL to the rest ─ECHILD─► idle
 *	               └─ term_ns: SIGTERM ─ kill_ns: SIGKILL ─ 80 ms: (EXITED, stuck) ─► draining
 *
 * It answers the agent itself; end of file from the runner kills the tree and ends it.
 */
#ifndef AGENT_RUNNER_SUPERVISE_H
#define AGENT_RUNNER_SUPERVISE_H

#include <stdatomic.h>

struct supervise_args {
	int agent_fd;	   /* replies go here */
	int control_fd;	   /* requests come from here, checked by runner_request_parse only */
	atomic_uint *busy; /* shared memory: set by the runner with a RUN, cleared here when the next may come */
};

/* Serves until told to stop; all signals are blocked. Returns the exit status. */
int supervise(const struct supervise_args *args);

#endif
