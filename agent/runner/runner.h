/* SPDX-License-Identifier: MIT */
/*
 * The runner: takes requests from one agent on one socket, hands each command to an idle supervisor (started when there
 * is none) and kills the trees of supervisors that die. It parses only the fixed head of a request. The caller provides
 * the socket (today an inherited one); when the socket ends, every command started through it is killed.
 *
 * A supervisor is a process that is the parent of one command at a time and the subreaper of all its descendants, so
 * that every process belongs to exactly one command and none outlives it. A supervisor is reused once its tree is
 * empty.
 *
 *	idle ─RUN─► running ─exit─► (EXITED) draining: SIGKILL to the rest ─ECHILD─► idle
 *	               └─ term_ns: SIGTERM ─ kill_ns: SIGKILL ─ 80 ms: (EXITED, stuck) ─► draining
 *
 * It answers the agent itself; end of file from the runner kills the tree and ends it.
 */
#ifndef AGENT_RUNNER_RUNNER_H
#define AGENT_RUNNER_RUNNER_H

/* Serves `agent_fd` until its end or STOP. Returns the exit status. One per process. */
int runner_serve(int agent_fd);

#endif
