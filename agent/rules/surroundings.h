/* SPDX-License-Identifier: MIT */
/*
 * The environment of every command, in runner and executor alike: nothing of the agent's own environment, and programs
 * from fixed directories only.
 */
#ifndef AGENT_RULES_SURROUNDINGS_H
#define AGENT_RULES_SURROUNDINGS_H

/* "NAME=value", NULL at the end; a command of the host's choice may have more or other variables. */
extern const char *const runner_environment[];

/* Directories in which programs are searched, in this order; NULL at the end. */
extern const char *const runner_directories[];

#endif
