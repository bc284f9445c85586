/* SPDX-License-Identifier: MIT */
/* /proc/diskstats, parsed. The kinds of its devices: diskkind.h. */
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

#endif
