/* SPDX-License-Identifier: MIT */
/*
 * Where a fuzz target keeps files: a folder of its process, in memory where there is such a file system. A run that
 * crashed could not remove it: the next one of the same target does.
 */
#ifndef TESTS_FUZZ_SCRATCH_H
#define TESTS_FUZZ_SCRATCH_H

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "require.h"

static char scratch[64];

static inline int scratch_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void scratch_remove(void)
{
	nftw(scratch, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Ours, and of a process that is no more (or of this very number, which it is not). */
static inline bool scratch_is_stale(const char *path, const char *number)
{
	struct stat st;
	char *end;
	long pid = strtol(number, &end, 10);

	return pid > 0 && !*end && lstat(path, &st) == 0 && st.st_uid == geteuid() &&
	       (pid == getpid() || (kill((pid_t)pid, 0) < 0 && errno == ESRCH));
}

/* Makes `scratch`, "…/fuzz-TARGET-PID", which goes at the exit. */
static inline void scratch_make(const char *target)
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	DIR *dir = opendir(base);
	char prefix[32], path[320];
	int len = snprintf(prefix, sizeof(prefix), "fuzz-%s-", target);

	REQUIRE(dir);
	for (const struct dirent *entry; (entry = readdir(dir));) {
		snprintf(path, sizeof(path), "%s/%s", base, entry->d_name);
		if (strncmp(entry->d_name, prefix, (size_t)len) == 0 && scratch_is_stale(path, entry->d_name + len))
			nftw(path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	}
	closedir(dir);
	snprintf(scratch, sizeof(scratch), "%s/%s%d", base, prefix, (int)getpid());
	REQUIRE(mkdir(scratch, 0700) == 0);
	atexit(scratch_remove);
}

#endif
