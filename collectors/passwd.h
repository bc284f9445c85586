/* SPDX-License-Identifier: MIT */
/*
 * User names from etc/passwd: getpwuid would ask NSS, which may wait for a directory server, and the loop does not
 * wait. Users of such a directory, and those beyond the bound, are asked of the prober (usernames.h). See passwd(5).
 */
#ifndef COLLECTORS_PASSWD_H
#define COLLECTORS_PASSWD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct passwd_user {
	uint32_t uid;
	uint32_t name; /* offset in text, NUL-terminated */
};

/* Zeroed is empty. */
struct passwd {
	struct passwd_user *users; /* by uid; of two with one uid, the first in the file comes first */
	size_t count;
	char *text;
	struct stat seen; /* of the file as it was read */
};

/* Replaces the users by those in `text`. Lines that make no sense are skipped. 0 or -ENOMEM (as it was). */
int passwd_parse(struct passwd *passwd, const char *text, size_t len);

/* Reads etc/passwd below root_fd again if it has changed. 0 or -errno: the users stay as they were. */
int passwd_refresh(struct passwd *passwd, int root_fd);

/* The name, valid until the next refresh; NULL when there is none. */
const char *passwd_find(const struct passwd *passwd, uint32_t uid);

void passwd_free(struct passwd *passwd);

#endif
