/* SPDX-License-Identifier: MIT */
/* /proc/diskstats, parsed, and what its devices are. */
#ifndef COLLECTORS_DISK_H
#define COLLECTORS_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "procfs.h"

/* Devices kept (partitions included) and devices listed, at most. */
#define DISK_DEVICES_MAX 4096
#define DISK_LISTED_MAX	 256
#define DISK_NAME_MAX	 32 /* DISK_NAME_LEN of the kernel */

/* One line of /proc/diskstats; cumulative since the device appeared. */
struct diskstats_line {
	uint64_t device; /* major << 32 | minor */
	struct scan name;
	uint64_t read_ops, read_bytes, write_ops, write_bytes;
	bool has_in_flight;
	uint64_t in_flight;	    /* now */
	uint64_t busy_ms;	    /* with at least one request in flight */
	uint64_t read_ms, write_ms; /* summed over the requests */
};

/*
 * Parses one line (no '\n'); further columns are skipped. The name may hold blanks: it ends where numbers alone follow.
 * 0 or -EBADMSG (*out untouched).
 */
int diskstats_parse_line(const char *text, size_t len, struct diskstats_line *out);

enum disk_kind {
	DISK_WHOLE,	/* counted in the totals */
	DISK_STACKED,	/* dm, md: made of other disks, which are counted instead; listed */
	DISK_PARTITION, /* part of a disk that is counted; not listed */
	DISK_MEMORY,	/* ram, zram, loop: no disk of their own; not listed */
};

/*
 * What sysfs says: a partition has dev/block/M:N/partition, a stacked device has something in dev/block/M:N/slaves.
 * Loop devices are known by their major number, ram and zram disks by theirs and by name.
 */
enum disk_kind disk_kind_of(int sys_fd, uint64_t device, const char *name);

#endif
