/* SPDX-License-Identifier: MIT */
/* The group to join is that of the nearest visible file or directory on the path, unless it is root's. */
#include "tools/infinictl/access.h"

#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/infinictl/cli.h"

void access_hint(const char *path, const char *fallback_group)
{
	const struct passwd *user = getpwuid(getuid());
	const struct group *group = NULL;
	char at[PATH_MAX], *slash;
	struct stat st;

	snprintf(at, sizeof(at), "%s", path);
	while (stat(at, &st) < 0 && (slash = strrchr(at, '/')) && slash != at)
		*slash = '\0';
	if (stat(at, &st) == 0 && st.st_gid != 0)
		group = getgrgid(st.st_gid);
	cli_fail("members of the group %s may: `sudo usermod -aG %s %s`, then log in again; or use sudo",
		 group ? group->gr_name : fallback_group, group ? group->gr_name : fallback_group,
		 user ? user->pw_name : "USER");
}
