/* SPDX-License-Identifier: MIT */
/* Names are parsed strictly, by formatting them again: a name with any difference is no segment of this log. */
#include "agent/log/names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/log/scan.h"

static const char prefix[] = "metrics-";
#define STAMP_LEN 20 /* 20260102T030405.678Z */

size_t names_format(const struct segment_name *name, char out[NAMES_SIZE])
{
	char t[RFC3339_SIZE];

	rfc3339_format(name->wall_ms, t);
	return (size_t)snprintf(out, NAMES_SIZE, "%s%.4s%.2s%.2sT%.2s%.2s%.6sZ-%06" PRIu64 ".ndjson%s", prefix, t,
				t + 5, t + 8, t + 11, t + 14, t + 17, name->number, name->compressed ? ".zst" : "");
}

bool names_parse(const char *file, struct segment_name *ret)
{
	size_t len = strlen(file);
	struct segment_name name;
	char again[NAMES_SIZE], time[RFC3339_SIZE];
	const char *at;
	int time_len;

	if (len >= NAMES_SIZE || len < sizeof(prefix) + STAMP_LEN || strncmp(file, prefix, strlen(prefix)) != 0)
		return false;
	at = file + strlen(prefix);
	/* The time, with the punctuation of RFC 3339 put back. */
	time_len = snprintf(time, sizeof(time), "%.4s-%.2s-%.2s%c%.2s:%.2s:%.*s", at, at + 4, at + 6, at[8], at + 9,
			    at + 11, STAMP_LEN - 13, at + 13);
	if (!stamp_parse(time, (size_t)time_len, &name.wall_ms) || at[STAMP_LEN] != '-')
		return false;
	if (sscanf(at + STAMP_LEN + 1, "%20" SCNu64, &name.number) != 1)
		return false;
	name.compressed = len > 4 && !strcmp(file + len - 4, ".zst");
	names_format(&name, again);
	if (strcmp(again, file) != 0)
		return false;
	*ret = name;
	return true;
}

int names_compare(const struct segment_name *a, const struct segment_name *b)
{
	if (a->wall_ms != b->wall_ms)
		return a->wall_ms < b->wall_ms ? -1 : 1;
	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	return 0;
}

/* Inserts into the sorted, bounded list of the oldest segments. */
static void oldest_insert(struct names_scan *scan, const struct segment_name *name, uint64_t bytes)
{
	const unsigned max = ARRAY_SIZE(scan->oldest);
	unsigned at = scan->oldest_count;

	while (at > 0 && names_compare(name, &scan->oldest[at - 1]) < 0)
		at--;
	if (at == max)
		return;
	if (scan->oldest_count == max)
		scan->oldest_count--;
	memmove(&scan->oldest[at + 1], &scan->oldest[at], (scan->oldest_count - at) * sizeof(scan->oldest[0]));
	memmove(&scan->oldest_bytes[at + 1], &scan->oldest_bytes[at],
		(scan->oldest_count - at) * sizeof(scan->oldest_bytes[0]));
	scan->oldest[at] = *name;
	scan->oldest_bytes[at] = bytes;
	scan->oldest_count++;
}

static void closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

int names_open(int dir_fd, const struct segment_name *name, int flags)
{
	_cleanup_(closep) int fd = -1;
	char file[NAMES_SIZE];
	struct stat st;

	names_format(name, file);
	fd = openat(dir_fd, file, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1 || (st.st_mode & (S_IWGRP | S_IWOTH)) ||
	    (st.st_uid != 0 && st.st_uid != geteuid()))
		return -EPERM;
	return TAKE_FD(fd);
}

static int directory_list(int dir_fd, DIR **ret)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), error;

	*ret = fd < 0 ? NULL : fdopendir(fd);
	if (*ret)
		return 0;
	error = -errno;
	closep(&fd);
	return error;
}

int names_next_plain(int dir_fd, const struct segment_name *after, struct segment_name *ret)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	int found = 0, r = directory_list(dir_fd, &dir);
	struct segment_name name, first = { 0 };
	struct dirent *entry;

	if (r < 0)
		return r;
	while (errno = 0, (entry = readdir(dir))) {
		if (!names_parse(entry->d_name, &name) || name.compressed ||
		    (after->number && names_compare(&name, after) <= 0) || (found && names_compare(&name, &first) >= 0))
			continue;
		first = name;
		found = 1;
	}
	if (errno)
		return -errno;
	if (found)
		*ret = first;
	return found;
}

int names_scan_dir(int dir_fd, struct names_scan *ret)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	struct names_scan scan = { 0 };
	struct segment_name name;
	struct dirent *entry;
	struct stat st;
	int r = directory_list(dir_fd, &dir);

	if (r < 0)
		return r;
	while (errno = 0, (entry = readdir(dir))) {
		if (!names_parse(entry->d_name, &name) ||
		    fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(st.st_mode))
			continue;
		if (!scan.files || names_compare(&name, &scan.newest) > 0)
			scan.newest = name;
		scan.files++;
		scan.bytes += (uint64_t)st.st_size;
		oldest_insert(&scan, &name, (uint64_t)st.st_size);
	}
	if (errno)
		return -errno;
	*ret = scan;
	return 0;
}
