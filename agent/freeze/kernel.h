/* SPDX-License-Identifier: MIT */
/* What is asked of the kernel for a freeze; tests play it, because a real freeze stops the machine that it runs on. */
#ifndef AGENT_FREEZE_KERNEL_H
#define AGENT_FREEZE_KERNEL_H

#include <stdbool.h>

#include "agent/freeze/mounts.h"

struct freeze_kernel {
	/* mlockall(2). 0 or -errno. */
	int (*lock)(void *data);
	/*
	 * Opens the directory on which the mount stands. A descriptor, or -errno; -ESTALE: another mount stands there.
	 */
	int (*open)(void *data, const struct freeze_mount *mount);
	/* FIFREEZE. 0 or -errno; -EBUSY: frozen already; -EOPNOTSUPP: it cannot be frozen. */
	int (*freeze)(void *data, int fd);
	/* FITHAW. 0 or -errno; -EINVAL: it was not frozen. */
	int (*thaw)(void *data, int fd);
	/*
	 * Whether the mounted file system is frozen, asked by a remount that changes nothing (ioctl_fsfreeze has no
	 * question): EBUSY while it is frozen, whoever froze it.
	 */
	bool (*is_frozen)(void *data, int fd, const struct freeze_mount *mount);
	void *data;
};

/* The real one. */
extern const struct freeze_kernel freeze_kernel_real;

#endif
