/* SPDX-License-Identifier: MIT */
/*
 * The runner: takes requests from one agent on one socket, hands each command to an idle supervisor (started when
 * there is none) and looks after supervisors that die. It parses no more than the fixed head of a request. How the
 * socket came to be (inherited today) is the caller's business; when it ends, everything started through it ends.
 */
#ifndef AGENT_RUNNER_RUNNER_H
#define AGENT_RUNNER_RUNNER_H

/* Serves `agent_fd` until its end or STOP. Returns the exit status. One per process. */
int runner_serve(int agent_fd);

#endif
