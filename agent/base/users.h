/* SPDX-License-Identifier: MIT */
/*
 * Users and groups from files like /etc/passwd and /etc/group. The name service is not used: it may query a network and
 * block the loop.
 */
#ifndef AGENT_BASE_USERS_H
#define AGENT_BASE_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct user_text {
	const char *at;
	size_t len;
};

/* Fields point into the parsed text. */
struct user {
	struct user_text name, full_name, home, shell;
	uint32_t uid, gid;
};

/* Parses the next user and advances *text; malformed lines are skipped. False at the end. Pure. See passwd(5). */
bool users_next(const char **text, size_t *len, struct user *out);

/* True unless the shell only refuses logins. */
bool user_can_login(const struct user *user);

#define PASSWD_NAME_SIZE 64 /* bytes with NUL; no user has a longer name, see useradd(8) */

/* Stores the names of `uid` in the file at `path`, up to `count`; the rest of `out` is "", all if it is unreadable. */
void passwd_names_of(const char *path, uid_t uid, char out[][PASSWD_NAME_SIZE], size_t count);

/* Finds the uid of `name`, or the gid of the group `name` in a file like /etc/group: 0, -ENOENT or -errno. */
int passwd_uid_of(const char *path, const char *name, uid_t *ret);
int passwd_gid_of(const char *path, const char *name, gid_t *ret);

#endif
