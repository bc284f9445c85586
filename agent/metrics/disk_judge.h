/* SPDX-License-Identifier: MIT */
/*
 * How full the guest is, by one rule for all that ask: CheckDiskSpace and the health check disk_space. Which file
 * systems are judged at all is the collector's matter (filesystem_is_judged): not what is read-only, and not images,
 * which are full by nature.
 */
#ifndef AGENT_METRICS_DISK_JUDGE_H
#define AGENT_METRICS_DISK_JUDGE_H

#include <stdbool.h>

#include "collectors/filesystem.h"

#define DISK_WARNING	     80 /* percent used, */
#define DISK_CRITICAL	     90
#define DISK_INODES_CRITICAL 95 /* percent of inodes, where they can run out */

enum disk_level { DISK_OK, DISK_TIGHT, DISK_FULL };

struct disk_verdict {
	unsigned judged, not_judged;
	unsigned unknown; /* to be judged, but their numbers were never read */
	unsigned silent;  /* of the unknown ones: those that do not answer; the rest is forbidden (EACCES, EPERM) */
	const char *silent_at;	     /* the first silent one, valid as its row is; NULL: none */
	struct filesystem_row worst; /* of the judged ones, by use */
	double used;		     /* percent, of that one */
	double inodes;		     /* percent, the highest; -1: there are none that can run out */
	char inodes_at[256];	     /* the mount point of those */
};

/* The numbers of a row are there, if only those of the collect before while new ones are on their way. */
bool disk_is_known(const struct filesystem_row *row);

/* As df(1) counts: used of what an ordinary user could use. */
double disk_used_percent(const struct filesystem_row *row);

/* Percent of its inodes in use; -1 where they are no stock that could run out. */
double disk_inodes_percent(const struct filesystem_row *row);

/* One before the first row. */
#define DISK_VERDICT ((struct disk_verdict){ .inodes = -1 })
void disk_judge_row(struct disk_verdict *verdict, const struct filesystem_row *row);

/* All rows of `state`, of collector_filesystem. */
void disk_judge(const void *state, struct disk_verdict *ret);

enum disk_level disk_level(const struct disk_verdict *verdict, double warning, double critical);

#endif
