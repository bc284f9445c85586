/* SPDX-License-Identifier: MIT */
/* The viewing group of files; see readers.h. */
#include "agent/log/readers.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

int log_readers_try(gid_t gid)
{
	_cleanup_(closep) int fd = memfd_create("infiniservice-readers", MFD_CLOEXEC);

	return fd < 0 || fchown(fd, (uid_t)-1, gid) < 0 ? -errno : 0;
}

/* Whether the file has the group: a setgid directory may pass its own group on to it. */
static bool is_of(int fd, gid_t gid)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (st.st_gid == gid || fchown(fd, (uid_t)-1, gid) == 0);
}

int log_readers_give(const struct log_readers *readers, int fd, mode_t mode)
{
	bool group =
		readers->kind == LOG_READERS_OWN || (readers->kind == LOG_READERS_GROUP && is_of(fd, readers->gid));

	return fchmod(fd, group ? mode : mode & 0700) < 0 ? -errno : 0;
}
