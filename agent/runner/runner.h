/* SPDX-License-Identifier: MIT */
/*
 * The runner: takes requests from one agent on one socket, hands each command to an idle supervisor (started when there
 * is none) and kills the trees of supervisors that die. It parses only the fixed head of a request. The caller provides
 * the socket (today an inherited one); when the socket ends, every command started through it is killed.
 */
#ifndef AGENT_RUNNER_RUNNER_H
#define AGENT_RUNNER_RUNNER_H

/* Serves `agent_fd` until its end or STOP. Returns the exit status. One per process. */
int runner_serve(int agent_fd);

#endif
