/* SPDX-License-Identifier: MIT */
/*
 * Users and groups of the portable build, from /etc/passwd and /etc/group alone. The C library's own functions would
 * load the name service's modules of whatever system the program has come to, which a static program must not do.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

/* By name, or by uid when there is no name. */
static int find(const char *name, uid_t uid, struct passwd *entry, char *text, size_t size, struct passwd **ret)
{
	_cleanup_(fclosep) FILE *file = fopen("/etc/passwd", "re");
	int error = file ? 0 : errno;

	*ret = NULL;
	while (file && (error = fgetpwent_r(file, entry, text, size, ret)) == 0)
		if (name ? strcmp(entry->pw_name, name) == 0 : entry->pw_uid == uid)
			return 0;
	*ret = NULL;
	return error == ENOENT ? 0 : error;
}

int getpwnam_r(const char *name, struct passwd *entry, char *text, size_t size, struct passwd **ret)
{
	return find(name, 0, entry, text, size, ret);
}

int getpwuid_r(uid_t uid, struct passwd *entry, char *text, size_t size, struct passwd **ret)
{
	return find(NULL, uid, entry, text, size, ret);
}

struct passwd *getpwnam(const char *name)
{
	static struct passwd entry;
	static char text[16384];
	struct passwd *found;

	errno = find(name, 0, &entry, text, sizeof(text), &found);
	return found;
}

static bool is_member(const struct group *group, const char *user)
{
	for (char **member = group->gr_mem; *member; member++)
		if (strcmp(*member, user) == 0)
			return true;
	return false;
}

int getgrouplist(const char *user, gid_t first, gid_t *groups, int *count)
{
	_cleanup_(fclosep) FILE *file = fopen("/etc/group", "re");
	int room = *count, n = 0;
	struct group entry, *found;
	static char text[65536];

	if (n++ < room)
		groups[0] = first;
	while (file && fgetgrent_r(file, &entry, text, sizeof(text), &found) == 0) {
		if (entry.gr_gid == first || !is_member(&entry, user))
			continue;
		if (n++ < room)
			groups[n - 1] = entry.gr_gid;
	}
	*count = n;
	return n > room ? -1 : n;
}
