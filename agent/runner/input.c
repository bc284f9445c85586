/* SPDX-License-Identifier: MIT */
#include "agent/runner/input.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int write_at(int fd, const char *bytes, size_t len, off_t offset)
{
	while (len > 0) {
		ssize_t put = pwrite(fd, bytes, len, offset);

		if (put < 0 && errno != EINTR)
			return -errno;
		bytes += put > 0 ? put : 0;
		len -= put > 0 ? (size_t)put : 0;
		offset += put > 0 ? put : 0;
	}
	return 0;
}

static int copy(int from, off_t from_offset, size_t len, int to, off_t to_offset)
{
	char buffer[8192];

	while (len > 0) {
		ssize_t got = pread(from, buffer, len < sizeof(buffer) ? len : sizeof(buffer), from_offset);
		int r = got < 0 ? -errno : got == 0 ? -EBADMSG : write_at(to, buffer, (size_t)got, to_offset);

		if (r == -EINTR)
			continue;
		if (r < 0)
			return r;
		len -= (size_t)got;
		from_offset += got;
		to_offset += got;
	}
	return 0;
}

static int memory_file(void)
{
	int fd = memfd_create("infiniservice-input", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return fd < 0 ? -errno : fd;
}

/*
 * A command with another user reopens the file by /proc/self/fd, where the file's mode is checked; there is no other
 * name of the file.
 */
static int seal(int fd)
{
	return fchmod(fd, 0444) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0 ? -errno : 0;
}

int input_new(const char *bytes, size_t len)
{
	_cleanup_(closep) int fd = len > INPUT_MAX ? -E2BIG : memory_file();
	int r = fd < 0 ? fd : write_at(fd, bytes, len, 0);

	if (r >= 0)
		r = seal(fd);
	return r < 0 ? r : TAKE_FD(fd);
}

ssize_t input_check(int fd)
{
	struct stat st;

	int seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);

	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_size > INPUT_MAX)
		return -EBADMSG;
	return (ssize_t)st.st_size;
}

int input_copy(int fd, size_t len, int to, off_t offset)
{
	return copy(fd, 0, len, to, offset);
}

int input_take(int from, off_t offset, size_t len)
{
	_cleanup_(closep) int fd = memory_file();
	int r = fd < 0 ? fd : copy(from, offset, len, fd, 0);

	if (r >= 0)
		r = seal(fd);
	return r < 0 ? r : TAKE_FD(fd);
}
