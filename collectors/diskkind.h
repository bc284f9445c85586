/* SPDX-License-Identifier: MIT */
/*
 * The kind of a block device, so that a request through a stack of devices counts once. The collector disk reads again
 * the kinds that may change (device_look_again in disk.c).
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
 * The kind by sysfs: a partition has dev/block/M:N/partition, a stacked device has something in dev/block/M:N/slaves.
 * Loop devices are known by their major number, ram and zram disks by theirs and by name; the volumes of ZFS and of
 * out-of-tree multipath drivers, which do not list their members, by name. `device` is major << 32 | minor.
 */
enum disk_kind disk_kind_of(int sys_fd, uint64_t device, const char *name);

/*
 * True for hardware: below /sys/devices but not in its folder "virtual". Such a device is never stacked. False if sysfs
 * does not tell.
 */
bool disk_is_hardware(int sys_fd, uint64_t device);

/*
 * If `name` is that of a path to an NVMe disk (nvme0c1n2), writes the name of the disk it leads to (nvme0n2) and
 * returns true. Both count the same request: Documentation/admin-guide/nvme-multipath.rst.
 */
bool disk_nvme_head(const char *name, char *head, size_t size);

#endif
