/* SPDX-License-Identifier: MIT */
/*
 * How full the file systems are: the rows of the last collect, for actions such as CheckDiskSpace. The parser is
 * mountinfo.h.
 */
#ifndef COLLECTORS_FILESYSTEM_H
#define COLLECTORS_FILESYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One mounted device, as of the last collect. Texts are NUL-terminated, any bytes, and valid until the next collect. */
struct filesystem_row {
	const char *mount_point;
	const char *device; /* the source: "/dev/vda1", "server:/export" */
	const char *type;
	uint64_t device_number; /* major << 32 | minor */
	bool known;		/* the numbers below belong to the last collect */
	int error;		/* if not known: 0 (not answered yet: stale) or the -errno of statvfs */
	bool read_only;		/* as PID 1 sees it; where that may not be read, the file system as a whole */
	uint64_t age_s;		/* of the numbers, where autofs forbids to look at every collect; else 0 */
	bool full_by_make;	/* an image: nothing can ever be written to it, or freed */
	uint64_t free_bytes;	/* bfree: what root may fill, too */
	uint64_t total_bytes, used_bytes, available_bytes; /* used = blocks - bfree, available = bavail, as df counts */
	uint64_t inodes_total, inodes_free;		   /* 0 and 0 where the type has none */
};

/*
 * The one rule for all that judge file systems (CheckDiskSpace, RunHealthCheck, alerts): true if a full file system is
 * a problem that can be solved. False for file systems that cannot be written or are full by nature: read-only mounts,
 * images (squashfs, iso9660, an archive shown by FUSE). The numbers must be known, or be those of the collect before.
 */
bool filesystem_is_judged(const struct filesystem_row *row);

/*
 * The same for its inodes: true only where they are a stock that can run out (ext4, xfs and their like), and not where
 * the number is made up from free space, unbounded or fixed (btrfs, zfs, vfat, most FUSE).
 */
bool filesystem_inodes_are_judged(const struct filesystem_row *row);

/* The number of rows shown by the state of collector_filesystem (NULL: 0). File systems without a block are not. */
size_t filesystem_count(const void *state);

/* Row `index` into *ret. False when there is none. */
bool filesystem_get(const void *state, size_t index, struct filesystem_row *ret);

#endif
