/* SPDX-License-Identifier: MIT */
/*
 * The users of etc/passwd, one line after the other; a pure parser. NSS is not asked: it may wait for a directory
 * server.
 */
#ifndef AGENT_BASE_USERS_H
#define AGENT_BASE_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct user_text {
	const char *at;
	size_t len;
};

/* Parts of the text it was read from. */
struct user {
	struct user_text name, full_name, home, shell;
	uint32_t uid, gid;
};

/* The next user, moving on; lines that make no sense are skipped. False at the end. See passwd(5). */
bool users_next(const char **text, size_t *len, struct user *out);

/* True unless the shell only says that nobody logs in. */
bool user_can_login(const struct user *user);

#endif
