/* SPDX-License-Identifier: MIT */
#include "agent/base/passwd.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

void passwd_names_of(const char *path, uid_t uid, char out[][PASSWD_NAME_SIZE], size_t count)
{
	_cleanup_(fclosep) FILE *file = fopen(path, "re");
	const struct passwd *user;
	size_t found = 0;

	memset(out, 0, count * sizeof(out[0]));
	while (file && found < count && (user = fgetpwent(file)))
		if (user->pw_uid == uid && strlen(user->pw_name) < PASSWD_NAME_SIZE)
			memcpy(out[found++], user->pw_name, strlen(user->pw_name) + 1);
}

int passwd_uid_of(const char *path, const char *name, uid_t *ret)
{
	_cleanup_(fclosep) FILE *file = fopen(path, "re");
	const struct passwd *user;

	if (!file)
		return -errno;
	while ((user = fgetpwent(file))) {
		if (strcmp(user->pw_name, name) != 0)
			continue;
		*ret = user->pw_uid;
		return 0;
	}
	return -ENOENT;
}

int passwd_gid_of(const char *path, const char *name, gid_t *ret)
{
	_cleanup_(fclosep) FILE *file = fopen(path, "re");
	const struct group *group;

	if (!file)
		return -errno;
	while ((group = fgetgrent(file))) {
		if (strcmp(group->gr_name, name) != 0)
			continue;
		*ret = group->gr_gid;
		return 0;
	}
	return -ENOENT;
}
