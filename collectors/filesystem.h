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
	bool read_only;
	uint64_t total_bytes, used_bytes, available_bytes; /* used = blocks - bfree, available = bavail, as df counts */
	uint64_t inodes_total, inodes_free;		   /* 0 and 0 where the type has none */
};

/* The number of rows held by the state of collector_filesystem (NULL: 0). */
size_t filesystem_count(const void *state);

/* Row `index` into *ret. False when there is none. */
bool filesystem_get(const void *state, size_t index, struct filesystem_row *ret);

#endif
