/* SPDX-License-Identifier: MIT */
/*
 * What every command finds around it, the same whoever starts it: nothing of the agent's own environment, and programs
 * from fixed directories only.
 */
#ifndef AGENT_RULES_SURROUNDINGS_H
#define AGENT_RULES_SURROUNDINGS_H

/* "NAME=value", NULL at the end; a command of the host's own choice may be given more, or others. */
extern const char *const runner_environment[];

/* Where programs are looked for, in this order; NULL at the end. */
extern const char *const runner_directories[];

#endif
