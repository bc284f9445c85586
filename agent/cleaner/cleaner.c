/* SPDX-License-Identifier: MIT */
/*
 * Walks the places; see cleaner.h. An entry is examined (fstatat without following), judged, and removed by unlinkat in
 * the same directory, which follows no link either: when another process swaps the entry in between, the swapped entry
 * is removed, and nothing that it links to.
 */
#include "agent/cleaner/cleaner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/libc.h>

#define PATH_SIZE 4096

struct walk {
	struct cleaner *cleaner;
	const struct cleaner_place *place;
	int64_t age_s;
	bool leave_files;
	char path[PATH_SIZE]; /* of the directory being read, for the report */
};

static void closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

int cleaner_open(int dir_fd, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | resolve,
	};
	long fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/* Judges by the newest timestamp: a file that any process reads or changes is in use. */
static bool old_enough(const struct walk *walk, const struct stat *st)
{
	int64_t newest = st->st_mtim.tv_sec;

	if (st->st_atim.tv_sec > newest &&
	    !S_ISDIR(st->st_mode)) /* reading a directory, as the cleaner does, is not use */
		newest = st->st_atim.tv_sec;
	if (st->st_ctim.tv_sec > newest)
		newest = st->st_ctim.tv_sec;
	return walk->age_s == 0 || walk->cleaner->now_s - newest >= walk->age_s;
}

bool cleaner_matches(const char *const *globs, const char *name)
{
	for (; globs && *globs; globs++)
		if (fnmatch(*globs, name, 0) == 0)
			return true;
	return false;
}

static void count(struct walk *walk, const char *name, uint64_t bytes)
{
	struct cleaner *cleaner = walk->cleaner;
	char path[PATH_SIZE + 256 + 2];

	cleaner->freed_bytes += bytes;
	cleaner->items++;
	snprintf(path, sizeof(path), "%s/%s", walk->path, name);
	if (cleaner->removed)
		cleaner->removed(cleaner->data, path, bytes);
}

static int empty_file(int dir_fd, const char *name)
{
	_cleanup_(closep) int fd = cleaner_open(dir_fd, name, O_WRONLY, RESOLVE_NO_XDEV);
	struct stat st;

	if (fd < 0)
		return fd;
	/* A file with another hard link elsewhere must not be emptied. */
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1)
		return -EPERM;
	return ftruncate(fd, 0) < 0 ? -errno : 0;
}

static void clean_file(struct walk *walk, int dir_fd, const char *name, const struct stat *st)
{
	struct cleaner *cleaner = walk->cleaner;
	bool wanted = S_ISREG(st->st_mode) || S_ISLNK(st->st_mode);
	int r = 0;

	if (!wanted || (walk->place->globs && !cleaner_matches(walk->place->globs, name)) || !old_enough(walk, st) ||
	    (walk->leave_files && st->st_size == 0)) {
		cleaner->kept++;
		return;
	}
	if (!cleaner->dry_run && walk->leave_files)
		r = empty_file(dir_fd, name);
	else if (!cleaner->dry_run)
		r = unlinkat(dir_fd, name, 0) < 0 ? -errno : 0;
	if (r < 0 && r != -ENOENT)
		cleaner->errors++;
	else if (r == 0) /* removing a file frees nothing while it has another hard link */
		count(walk, name, S_ISREG(st->st_mode) && st->st_nlink > 1 ? 0 : (uint64_t)st->st_blocks * 512);
}

static void clean_directory(struct walk *walk, int fd, unsigned depth);

/*
 * Cleans a directory within one, then removes it if it is empty and old. A place restricted to certain files (globs)
 * keeps its directories.
 */
static void clean_subdirectory(struct walk *walk, int dir_fd, const char *name, const struct stat *st, unsigned depth)
{
	struct cleaner *cleaner = walk->cleaner;
	size_t len = strlen(walk->path), more = strlen(name);
	int fd;

	if (depth >= walk->place->depth || len + more + 2 > sizeof(walk->path)) {
		cleaner->kept++;
		return;
	}
	fd = cleaner_open(dir_fd, name, O_RDONLY | O_DIRECTORY, RESOLVE_NO_XDEV);
	if (fd < 0) {
		/* EXDEV: a mount point, ELOOP: swapped for a link; both are skipped on purpose */
		if (fd == -EXDEV || fd == -ELOOP || fd == -ENOTDIR || fd == -ENOENT)
			cleaner->kept++;
		else
			cleaner->errors++;
		return;
	}
	walk->path[len] = '/';
	memcpy(walk->path + len + 1, name, more + 1);
	clean_directory(walk, fd, depth + 1);
	walk->path[len] = '\0';
	if (walk->place->globs || walk->leave_files || cleaner->dry_run || !old_enough(walk, st) ||
	    unlinkat(dir_fd, name, AT_REMOVEDIR) < 0)
		return;
	count(walk, name, (uint64_t)st->st_blocks * 512);
	cleaner->directories++;
}

/* Cleans everything in the directory; takes over `fd`. */
static void clean_directory(struct walk *walk, int fd, unsigned depth)
{
	_cleanup_(closedirp) DIR *dir = fdopendir(fd);
	struct cleaner *cleaner = walk->cleaner;
	struct dirent *entry;
	struct stat st;

	if (!dir) {
		close(fd);
		cleaner->errors++;
		return;
	}
	while ((entry = readdir(dir))) {
		const char *name = entry->d_name;

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		if (depth == 1 && cleaner_matches(walk->place->keep, name))
			cleaner->kept++;
		else if (fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			cleaner->errors += errno != ENOENT;
		else if (S_ISDIR(st.st_mode))
			clean_subdirectory(walk, dirfd(dir), name, &st, depth);
		else
			clean_file(walk, dirfd(dir), name, &st);
	}
}

int cleaner_place(struct cleaner *cleaner, const struct cleaner_place *place, int64_t age_s, bool leave_files)
{
	struct walk walk = { .cleaner = cleaner, .place = place, .age_s = age_s, .leave_files = leave_files };
	int fd = cleaner_open(cleaner->root_fd, place->path, O_RDONLY | O_DIRECTORY, 0);

	if (fd == -ENOSYS)
		return fd;
	if (fd < 0) {
		cleaner->errors += fd != -ENOENT && fd != -ENOTDIR;
		return 0;
	}
	snprintf(walk.path, sizeof(walk.path), "/%s", place->path);
	clean_directory(&walk, fd, 1);
	return 0;
}

int cleaner_file(struct cleaner *cleaner, const char *path, bool leave_file)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	struct cleaner_place place = { .path = "", .depth = 1 };
	struct walk walk = { .cleaner = cleaner, .place = &place, .leave_files = leave_file };
	_cleanup_(closep) int fd = -1;
	char folder[PATH_SIZE - 2];
	struct stat st;

	if (snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".") >=
	    (int)sizeof(folder))
		return -ENAMETOOLONG;
	fd = cleaner_open(cleaner->root_fd, folder, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (slash)
		snprintf(walk.path, sizeof(walk.path), "/%s", folder);
	clean_file(&walk, fd, name, &st);
	return 0;
}
