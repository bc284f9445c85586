/* SPDX-License-Identifier: MIT */
/* Users from etc/passwd, line by line; a pure parser. NSS is not used: it may block on a directory server. */
#ifndef AGENT_BASE_USERS_H
#define AGENT_BASE_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct user_text {
	const char *at;
	size_t len;
};

/* Fields point into the parsed text. */
struct user {
	struct user_text name, full_name, home, shell;
	uint32_t uid, gid;
};

/* Parses the next user and advances *text; malformed lines are skipped. False at the end. See passwd(5). */
bool users_next(const char **text, size_t *len, struct user *out);

/* True unless the shell only refuses logins. */
bool user_can_login(const struct user *user);

#endif
