/* SPDX-License-Identifier: MIT */
/*
 * `infiniservice-exec join`: becomes realm(8), which joins this machine to a domain. What it is about comes in the
 * command's input (executor/input.h), never in an argument: five texts, each ended by a NUL, domain, user, password,
 * organizational unit and the computer's name (the last two may be empty). The password goes on to realm's stdin, which
 * is a pipe of nobody else's.
 */
#ifndef INFINISERVICE_EXECUTOR_JOIN_H
#define INFINISERVICE_EXECUTOR_JOIN_H

#include <stdbool.h>
#include <stddef.h>

#define JOIN_INPUT_MAX 4096

enum join_part { JOIN_DOMAIN, JOIN_USER, JOIN_PASSWORD, JOIN_UNIT, JOIN_COMPUTER, JOIN_PARTS };

struct join_request {
	const char *parts[JOIN_PARTS]; /* in the bytes it was read from */
};

/* False for anything but these five texts, each of its grammar. `text` ends with a NUL. */
bool join_parse(const char *text, size_t len, struct join_request *ret);

/* Whether this is a text that may stand in its place; agent and executor both look. */
bool join_part_valid(enum join_part part, const char *text);

int join_main(int argc, char *argv[]);

#endif
