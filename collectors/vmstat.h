/* SPDX-License-Identifier: MIT */
/* /proc/vmstat, parsed. */
#ifndef COLLECTORS_VMSTAT_H
#define COLLECTORS_VMSTAT_H

#include <stddef.h>
#include <stdint.h>

/* The counters that are used, since boot, in the order of the sample. */
enum vmstat_counter {
	VMSTAT_PGPGIN,	      /* KiB read from block devices */
	VMSTAT_PGPGOUT,	      /* KiB written to them */
	VMSTAT_PSWPIN,	      /* pages */
	VMSTAT_PSWPOUT,	      /* pages */
	VMSTAT_PGMAJFAULT,    /* page faults that waited for a device */
	VMSTAT_OOM_KILL,      /* processes; since Linux 4.13 */
	VMSTAT_COMPACT_STALL, /* allocations that had to compact memory first; with CONFIG_COMPACTION */
	VMSTAT_ALLOCSTALL,    /* allocations that had to reclaim memory first: the sum over the zones */
	VMSTAT_COUNTERS,
};

/* A line that the text does not have. */
#define VMSTAT_ABSENT UINT64_MAX

struct vmstat {
	uint64_t counters[VMSTAT_COUNTERS];
	uint64_t skipped; /* invalid or duplicate lines of these */
};

/*
 * 0, or -EBADMSG without one valid line of these (*out untouched). Absent lines and lines with an invalid number give
 * VMSTAT_ABSENT.
 */
int vmstat_parse(const char *text, size_t len, struct vmstat *out);

#endif
