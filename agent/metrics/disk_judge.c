/* SPDX-License-Identifier: MIT */
#include "agent/metrics/disk_judge.h"

#include <errno.h>
#include <stdio.h>

bool disk_is_known(const struct filesystem_row *row)
{
	return row->known || (row->error == 0 && row->total_bytes);
}

double disk_used_percent(const struct filesystem_row *row)
{
	uint64_t usable = row->used_bytes + row->available_bytes;

	return usable ? (double)row->used_bytes * 100.0 / (double)usable : 0;
}

double disk_inodes_percent(const struct filesystem_row *row)
{
	if (!filesystem_inodes_are_judged(row) || row->inodes_total == 0 || row->inodes_free > row->inodes_total)
		return -1;
	return (double)(row->inodes_total - row->inodes_free) * 100.0 / (double)row->inodes_total;
}

void disk_judge_row(struct disk_verdict *verdict, const struct filesystem_row *row)
{
	double used = disk_used_percent(row), inodes = disk_inodes_percent(row);

	if (!disk_is_known(row)) {
		verdict->unknown++;
		if (row->error != -EACCES && row->error != -EPERM && verdict->silent++ == 0)
			verdict->silent_at = row->mount_point;
		return;
	}
	if (!filesystem_is_judged(row)) {
		verdict->not_judged++;
		return;
	}
	if (verdict->judged++ == 0 || used > verdict->used) {
		verdict->used = used;
		verdict->worst = *row;
	}
	if (inodes > verdict->inodes) {
		verdict->inodes = inodes;
		snprintf(verdict->inodes_at, sizeof(verdict->inodes_at), "%s", row->mount_point);
	}
}

void disk_judge(const void *state, struct disk_verdict *ret)
{
	struct filesystem_row row;

	*ret = DISK_VERDICT;
	for (size_t i = 0; state && filesystem_get(state, i, &row); i++)
		disk_judge_row(ret, &row);
}

enum disk_level disk_level(const struct disk_verdict *verdict, double warning, double critical)
{
	if (verdict->inodes >= DISK_INODES_CRITICAL || (verdict->judged && verdict->used >= critical))
		return DISK_FULL;
	return verdict->judged && verdict->used >= warning ? DISK_TIGHT : DISK_OK;
}
