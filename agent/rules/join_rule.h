/* SPDX-License-Identifier: MIT */
/*
 * The input of a request to join a domain, checked by one rule in the agent that writes it and the executor that reads
 * it: five texts, each ended by NUL: domain, user, password, organizational unit and computer name (the last two may be
 * empty).
 */
#ifndef AGENT_RULES_JOIN_RULE_H
#define AGENT_RULES_JOIN_RULE_H

#include <stdbool.h>
#include <stddef.h>

#define JOIN_INPUT_MAX	  4096
#define JOIN_DOMAIN_MAX	  253 /* JOIN_…_MAX are bytes without the NUL */
#define JOIN_USER_MAX	  256
#define JOIN_PASSWORD_MAX 1024
#define JOIN_UNIT_MAX	  1024
#define JOIN_COMPUTER_MAX 63

enum join_part { JOIN_DOMAIN, JOIN_USER, JOIN_PASSWORD, JOIN_UNIT, JOIN_COMPUTER, JOIN_PARTS };

struct join_request {
	const char *parts[JOIN_PARTS]; /* point into the parsed text */
};

/* Parses the input. False for anything but these five texts, each valid for its part. `text` ends with a NUL. */
bool join_parse(const char *text, size_t len, struct join_request *ret);

/* Whether `text` is valid for `part`. */
bool join_part_valid(enum join_part part, const char *text);

#endif
