/* SPDX-License-Identifier: MIT */
/*
 * Written to a temporary file and renamed: a reader sees the old file or the new one. Not synced: it need not outlive a
 * reboot.
 */
#include "agent/log/latest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

static const char temporary[] = ".latest.json.new";

static int write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t wrote = write(fd, text, len);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return wrote ? -errno : -EIO;
		text += wrote;
		len -= (size_t)wrote;
	}
	return 0;
}

static int temporary_make(int dir_fd)
{
	int fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

int latest_write(const char *dir, const struct log_readers *readers, const char *text, size_t len)
{
	_cleanup_(closep) int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closep) int fd = -1;
	int rc;

	if (dir_fd < 0)
		return -errno;
	fd = temporary_make(dir_fd);
	/* A leftover of a writer that died, or another user's file: never opened, but replaced by a new one. */
	if (fd == -EEXIST)
		fd = unlinkat(dir_fd, temporary, 0) < 0 ? -errno : temporary_make(dir_fd);
	if (fd < 0)
		return fd;
	rc = log_readers_give(readers, fd, 0640);
	if (!rc)
		rc = write_all(fd, text, len);
	if (!rc && renameat(dir_fd, temporary, dir_fd, LATEST_NAME) < 0)
		rc = -errno;
	if (rc)
		unlinkat(dir_fd, temporary, 0);
	return rc;
}

bool latest_is_free(const char *dir)
{
	_cleanup_(closep) int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	return dir_fd < 0 || fstatat(dir_fd, LATEST_NAME, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISREG(st.st_mode);
}

bool latest_in_memory(const char *dir)
{
	struct statfs fs;

	return statfs(dir, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}
