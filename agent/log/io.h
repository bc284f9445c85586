/* SPDX-License-Identifier: MIT */
/* Reading and writing all of something with a descriptor that may block. */
#ifndef AGENT_LOG_IO_H
#define AGENT_LOG_IO_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

/* Writes all bytes to a file or a socket. 0, or -errno after any part of them. */
static inline int write_whole(int fd, const void *from, size_t len)
{
	const char *at = from;

	while (len > 0) {
		ssize_t wrote = write(fd, at, len);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return wrote ? -errno : -EIO;
		at += wrote;
		len -= (size_t)wrote;
	}
	return 0;
}

/* Reads at an offset up to `len` bytes, fewer only at the end of the file. Returns their number or -errno. */
static inline ssize_t pread_whole(int fd, void *to, size_t len, uint64_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t got = pread(fd, (char *)to + done, len - done, (off_t)(offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

#endif
