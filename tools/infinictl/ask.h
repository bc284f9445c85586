/* SPDX-License-Identifier: MIT */
/*
 * Asks the running agent for its Status: the subcommands that show some part of it.
 */
#ifndef TOOLS_INFINICTL_ASK_H
#define TOOLS_INFINICTL_ASK_H

#include <stdbool.h>

struct json_object;

/* A subcommand with --socket and --json: `print` gets the agent's data and gives the exit status. */
int ask_main(int argc, char **argv, const char *help, int (*print)(struct json_object *data, bool json));

#endif
