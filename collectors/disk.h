/* SPDX-License-Identifier: MIT */
/* /proc/diskstats, parsed. The kinds of its devices: diskkind.h. */
#ifndef COLLECTORS_DISK_H
#define COLLECTORS_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "procfs.h"

/* Devices kept at most, partitions included. */
#define DISK_DEVICES_MAX 4096
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
	uint64_t queued_ms;	    /* summed over the requests in flight: the kernel's "weighted" time */
	uint64_t read_merges, write_merges;
	bool has_discards; /* since Linux 4.18 */
	uint64_t discard_ops, discard_merges, discard_bytes, discard_ms;
	bool has_flushes; /* since Linux 5.5 */
	uint64_t flush_ops, flush_ms;
};

/*
 * Parses one line (no '\n'); further columns are skipped. The name may hold blanks: it ends where numbers alone follow.
 * 0 or -EBADMSG (*out untouched).
 */
int diskstats_parse_line(const char *text, size_t len, struct diskstats_line *out);

#endif
