/* SPDX-License-Identifier: MIT */
/* Files of scripts of an earlier version; see script_files.h. */
#include "agent/actions/script_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#define SCRIPT_DIR "scripts"

void script_files_remove(const char *runtime_dir)
{
	_cleanup_(closep) int base = open(runtime_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = base < 0 ? -1 : openat(base, SCRIPT_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(dir)))
		if (strlen(entry->d_name) == 32 && strspn(entry->d_name, "0123456789abcdef") == 32)
			unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	unlinkat(base, SCRIPT_DIR, AT_REMOVEDIR);
}
