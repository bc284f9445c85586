/* SPDX-License-Identifier: MIT */
/*
 * Whether what needs rights can be done, and by whom: every action that changes something asks here and nowhere else.
 */
#ifndef AGENT_PRIVILEGE_H
#define AGENT_PRIVILEGE_H

#include <stdbool.h>

struct agent;
struct command;

/* True when D-Bus calls that change the system, and signals to processes of others, may be made by this process itself. */
bool privilege_available(const struct agent *agent);

/* The same for a command: false with the command answered PERMISSION_DENIED (it must not be touched any more). */
bool privilege_require(struct command *command);

#endif
