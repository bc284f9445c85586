/* SPDX-License-Identifier: MIT */
/*
 * The supervisor: a process that is the parent of one command at a time and the subreaper of all its descendants, so
 * that every process belongs to exactly one command and none outlives it. A supervisor is reused once its tree is
 * empty.
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
	int agent_fd;	   /* where replies are sent */
	int control_fd;	   /* source of requests, checked by runner_request_parse only */
	atomic_uint *busy; /* shared memory: set by the runner with a RUN, cleared by the supervisor when it is ready
			      for the next */
};

/* Serves until STOP or the end of control_fd; all signals are blocked. Returns the exit status. */
int supervise(const struct supervise_args *args);

#endif
