/* SPDX-License-Identifier: MIT */
/*
 * What a block device is, so that a request counts once whatever stack of devices it passes. Most of it never changes;
 * what may change is looked at again by its owner, see disk_look_again_is_due.
 */
#ifndef COLLECTORS_DISKKIND_H
#define COLLECTORS_DISKKIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum disk_kind {
	DISK_WHOLE,	/* counted in the totals */
	DISK_STACKED,	/* dm, md, zvol, NVMe head: made of other disks, which are counted instead; listed */
	DISK_PARTITION, /* part of a disk that is counted; not listed */
	DISK_MEMORY,	/* ram, zram, loop: no disk of their own; not listed */
};

/*
 * What sysfs says: a partition has dev/block/M:N/partition, a stacked device has something in dev/block/M:N/slaves.
 * Loop devices are known by their major number, ram and zram disks by theirs and by name; the volumes of ZFS and of
 * multipath drivers outside the kernel, which do not tell what they are made of, by name. `device` is major << 32 |
 * minor.
 */
enum disk_kind disk_kind_of(int sys_fd, uint64_t device, const char *name);

/*
 * True for hardware: below /sys/devices but not in its folder "virtual". It is made of nothing else now, and never will
 * be. False where sysfs does not say.
 */
bool disk_is_hardware(int sys_fd, uint64_t device);

/*
 * If `name` is that of a path to an NVMe disk (nvme0c1n2), writes the name of the disk it leads to (nvme0n2) and
 * returns true. Both count the same request: Documentation/admin-guide/nvme-multipath.rst.
 */
bool disk_nvme_head(const char *name, char *head, size_t size);

#endif
