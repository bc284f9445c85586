/* SPDX-License-Identifier: MIT */
/*
 * Judges how full the file systems are, by one rule for CheckDiskSpace and the health check disk_space. The collector
 * decides which file systems are judged (filesystem_is_judged): not read-only ones, and not images, which are full by
 * nature.
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
	unsigned unknown; /* judged file systems whose numbers were never read */
	unsigned silent;  /* unknown ones that do not answer; the other unknown ones are forbidden (EACCES, EPERM) */
	const char *silent_at;	     /* the first silent one, valid as its row is; NULL: none */
	struct filesystem_row worst; /* of the judged ones, by use */
	double used;		     /* percent used, of the worst one */
	double inodes;		     /* highest percentage of inodes used; -1: none can run out */
	char inodes_at[256];	     /* its mount point */
};

/* True if the numbers of a row are known; they may be those of the previous collect while a probe is outstanding. */
bool disk_is_known(const struct filesystem_row *row);

/* Percent used as df(1) counts: of the space that an ordinary user can use. */
double disk_used_percent(const struct filesystem_row *row);

/* Percent of the inodes in use; -1 if the file system has no fixed number of inodes. */
double disk_inodes_percent(const struct filesystem_row *row);

/* The initial value, before the first row. */
#define DISK_VERDICT ((struct disk_verdict){ .inodes = -1 })
void disk_judge_row(struct disk_verdict *verdict, const struct filesystem_row *row);

/* All rows of `state`, of collector_filesystem. */
void disk_judge(const void *state, struct disk_verdict *ret);

enum disk_level disk_level(const struct disk_verdict *verdict, double warning, double critical);

#endif
