/* SPDX-License-Identifier: MIT */
/*
 * Users and groups from files like /etc/passwd and /etc/group. The name service is not used: it may query a network and
 * block the loop.
 */
#ifndef AGENT_BASE_PASSWD_H
#define AGENT_BASE_PASSWD_H

#include <stddef.h>
#include <sys/types.h>

#define PASSWD_NAME_SIZE 64 /* bytes with NUL; no user has a longer name, see useradd(8) */

/* Stores the names of `uid`, up to `count`; the rest of `out` is "". A file that cannot be read has none. */
void passwd_names_of(const char *path, uid_t uid, char out[][PASSWD_NAME_SIZE], size_t count);

/* Finds the uid of `name`: 0, -ENOENT or -errno. */
int passwd_uid_of(const char *path, const char *name, uid_t *ret);

/* Finds the gid of the group `name` in a file like /etc/group: 0, -ENOENT or -errno. */
int passwd_gid_of(const char *path, const char *name, gid_t *ret);

#endif
