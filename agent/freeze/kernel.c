/* SPDX-License-Identifier: MIT */
#include "agent/freeze/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* In this order: both define MS_RDONLY, which glibc up to 2.36 bears only so. */
#include <sys/mount.h>
#include <linux/fs.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/libc.h>

#ifndef MS_LAZYTIME
#define MS_LAZYTIME (1 << 25)
#endif

#define STACK_TOUCHED (12 << 10)

/* The id of the mount that the descriptor was opened on, as proc(5) has it in fdinfo. 0: unknown. */
static uint64_t mount_id_of(int fd)
{
	_cleanup_(closep) int info = -1;
	char path[64], text[512];
	const char *at;
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	len = info < 0 ? -1 : read(info, text, sizeof(text) - 1);
	if (len <= 0)
		return 0;
	text[len] = '\0';
	at = strstr(text, "mnt_id:");
	return at ? strtoull(at + strlen("mnt_id:"), NULL, 10) : 0;
}

/* A path in mountinfo has no symbolic links; another user could put one into it only to mislead. */
static int real_open(void *data, const struct freeze_mount *mount)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
				.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	_cleanup_(closep) int fd = (int)syscall(SYS_openat2, AT_FDCWD, mount->path, &how, sizeof(how));

	(void)data;
	if (fd < 0 && errno == ENOSYS)
		fd = open(mount->path, (int)how.flags);
	if (fd < 0)
		return -errno;
	return mount_id_of(fd) == mount->id ? TAKE_FD(fd) : -ESTALE;
}

static int real_freeze(void *data, int fd)
{
	(void)data;
	return ioctl(fd, FIFREEZE, 0) < 0 ? -errno : 0;
}

static int real_thaw(void *data, int fd)
{
	(void)data;
	return ioctl(fd, FITHAW, 0) < 0 ? -errno : 0;
}

/* The flags of mount(2) that are in force. statfs(2) numbers most of them as mount(2) does. */
static unsigned long present_flags(int fd, const struct freeze_mount *mount)
{
	struct statfs st;
	unsigned long told = fstatfs(fd, &st) < 0 ? 0 : (unsigned long)st.f_flags;
	unsigned long same = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_SYNCHRONOUS | MS_MANDLOCK | MS_NOATIME |
			     MS_NODIRATIME;

	return (told & same) | (told & ST_RELATIME ? MS_RELATIME : 0) | (mount->lazytime ? MS_LAZYTIME : 0) |
	       (mount->dirsync ? MS_DIRSYNC : 0);
}

static bool real_is_frozen(void *data, int fd, const struct freeze_mount *at)
{
	char path[64];

	(void)data;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return mount(NULL, path, NULL, MS_REMOUNT | present_flags(fd, at), NULL) < 0 && errno == EBUSY;
}

/* The stack that is needed from now on is there, too. */
static int real_lock(void *data)
{
	volatile char stack[STACK_TOUCHED];

	(void)data;
	for (size_t i = 0; i < sizeof(stack); i += 1024)
		stack[i] = 0;
	return mlockall(MCL_CURRENT | MCL_FUTURE) < 0 ? -errno : 0;
}

const struct freeze_kernel freeze_kernel_real = {
	.lock = real_lock,
	.open = real_open,
	.freeze = real_freeze,
	.thaw = real_thaw,
	.is_frozen = real_is_frozen,
};
