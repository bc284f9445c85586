/* SPDX-License-Identifier: MIT */
/* Opens first, checks the descriptor, then reads: the file that was checked is the file that is read. */
#include "agent/config/safe_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

static int judge(const char *path, const struct stat *st, struct err *err)
{
	if (!S_ISREG(st->st_mode))
		return err_set(err, -EMEDIUMTYPE, "%s: not a regular file", path);
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return err_set(err, -EPERM, "%s: belongs to uid %u, which may change it; cure: chown root '%s'", path,
			       (unsigned)st->st_uid, path);
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return err_set(err, -EPERM, "%s: can be written by others (mode %04o); cure: chmod go-w '%s'", path,
			       (unsigned)(st->st_mode & 07777), path);
	return 0;
}

static int read_all(int fd, size_t max, char **ret_text, size_t *ret_len)
{
	_cleanup_(freep) char *text = NULL;
	size_t len = 0, room = 0;
	/*
	 * A small file is read into one buffer: a growing one would leave a copy, maybe of a secret, in freed memory.
	 */
	const size_t first = max < 8192 ? max + 1 : 4096;

	for (;;) {
		ssize_t got;

		if (len == room) {
			char *more = realloc(text, (room = room ? 2 * room : first) + 1);

			if (!more)
				return -ENOMEM;
			text = more;
		}
		got = read(fd, text + len, room - len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		len += (size_t)got;
		if (len > max)
			return -EFBIG;
	}
	text[len] = '\0';
	*ret_text = TAKE_PTR(text);
	*ret_len = len;
	return 0;
}

int safe_file_read_stat(const char *path, size_t max, char **ret_text, size_t *ret_len, struct stat *ret_st,
			struct err *err)
{
	/* O_NONBLOCK: opening a FIFO in its place must not block before the check. */
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	int rc;

	if (fd < 0 && errno == ENXIO) /* ENXIO: a socket */
		return err_set(err, -EMEDIUMTYPE, "%s: not a regular file", path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	*ret_st = st;
	rc = judge(path, &st, err);
	if (rc)
		return rc;
	rc = read_all(fd, max, ret_text, ret_len);
	if (rc == -EFBIG)
		return err_set(err, rc, "%s: longer than %zu bytes", path, max);
	return rc ? err_set(err, rc, "%s: %s", path, strerror(-rc)) : 0;
}

int safe_file_read(const char *path, size_t max, char **ret_text, size_t *ret_len, struct err *err)
{
	struct stat st;

	return safe_file_read_stat(path, max, ret_text, ret_len, &st, err);
}
