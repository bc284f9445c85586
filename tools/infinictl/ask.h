/* SPDX-License-Identifier: MIT */
/*
 * Asks the running agent for its Status: the subcommands that show some part of it.
 */
#ifndef TOOLS_INFINICTL_ASK_H
#define TOOLS_INFINICTL_ASK_H

#include <stdbool.h>

#include <infiniservice/err.h>

struct json_object;

/* Connects to the agent's socket. The descriptor (close-on-exec), or -errno with words. */
int ask_connect(const char *path, struct err *err);

/*
 * A subcommand with --socket and --json, and with the long option `flag` if that is not NULL: `print` gets the agent's
 * data, and whether that option was there, and gives the exit status.
 */
struct ask_way {
	const char *help, *flag;
	int (*print)(struct json_object *data, bool json, bool flagged);
};

int ask_main(int argc, char **argv, const struct ask_way *way);

#endif
