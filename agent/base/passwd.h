/* SPDX-License-Identifier: MIT */
/*
 * Users and groups as files like /etc/passwd and /etc/group have them: the name service may ask a network, which
 * nothing that others wait for may do.
 */
#ifndef AGENT_BASE_PASSWD_H
#define AGENT_BASE_PASSWD_H

#include <stddef.h>
#include <sys/types.h>

#define PASSWD_NAME_SIZE 64 /* longer ones are nobody's, see useradd(8) */

/* The names of `uid`, up to `count`; the rest of `out` is "". A file that cannot be read has none. */
void passwd_names_of(const char *path, uid_t uid, char out[][PASSWD_NAME_SIZE], size_t count);

/* The uid of `name`: 0, -ENOENT or -errno. */
int passwd_uid_of(const char *path, const char *name, uid_t *ret);

/* The gid of the group `name` in a file like /etc/group: 0, -ENOENT or -errno. */
int passwd_gid_of(const char *path, const char *name, gid_t *ret);

#endif
