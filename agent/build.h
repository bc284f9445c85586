/* SPDX-License-Identifier: MIT */
/* Making the parts of the agent; for agent_init alone. */
#ifndef AGENT_BUILD_H
#define AGENT_BUILD_H

#include <infiniservice/err.h>

struct agent;

/*
 * Takes the state directory, finds identity and first sample number, and makes everything but the local socket. 0 or
 * -errno with words; what was made stays for agent_done.
 */
int build_agent(struct agent *agent, struct err *e);

#endif
