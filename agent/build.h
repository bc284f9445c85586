/* SPDX-License-Identifier: MIT */
/* Makes and wires the parts of the agent; for agent_init alone. */
#ifndef AGENT_BUILD_H
#define AGENT_BUILD_H

#include <infiniservice/err.h>

struct agent;

/*
 * Locks the state directory, determines identity and first sample number, and makes every part but the local socket. 0,
 * or -errno with a text in `e`; agent_done frees the parts made.
 */
int build_agent(struct agent *agent, struct err *e);

#endif
