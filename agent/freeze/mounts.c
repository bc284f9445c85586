/* SPDX-License-Identifier: MIT */
#include "agent/freeze/mounts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "collectors/mountinfo.h"

/* How deep devices may stand on each other. */
#define STACK_MAX 8

static bool starts(const struct scan *field, const char *with)
{
	size_t len = strlen(with);

	return (size_t)(field->end - field->at) >= len && memcmp(field->at, with, len) == 0;
}

/* True if `option` is one of those that commas part. */
static bool has_option(struct scan options, const char *option)
{
	struct scan one;

	while (scan_until(&options, ',', &one))
		if (scan_equals(&one, option))
			return true;
	return scan_equals(&options, option);
}

/*
 * The others would answer EOPNOTSUPP, but opening what lives in user space or on a network may hang. btrfs has a major
 * number of 0 and names its device.
 */
static bool is_eligible(const struct mountinfo_line *line)
{
	if (line->super_read_only || starts(&line->type, "fuse"))
		return false;
	return line->device >> 32 != 0 || starts(&line->source, "/dev/");
}

static bool is_wanted(const char *path, const char *const *wanted)
{
	for (; wanted && *wanted; wanted++)
		if (strcmp(path, *wanted) == 0)
			return true;
	return !wanted;
}

static bool is_target(const struct freeze_mounts *mounts, uint64_t device)
{
	for (size_t i = 0; i < mounts->target_count; i++)
		if (mounts->mounts[mounts->targets[i]].device == device)
			return true;
	return false;
}

/* A file system is as old as its first mount; the newest come first. */
static int choose(struct freeze_mounts *mounts, const char *const *wanted)
{
	size_t n = 0;

	for (size_t i = 0; i < mounts->count; i++) {
		const struct freeze_mount *mount = &mounts->mounts[i];

		if (!mount->eligible || !is_wanted(mount->path, wanted) || is_target(mounts, mount->device))
			continue;
		if (n == FREEZE_TARGETS_MAX)
			return -E2BIG;
		mounts->targets[n++] = freeze_mounts_next(mounts, mount->device, 0);
		mounts->target_count = n;
	}
	/* Asked for by a later mount, one is older than its place says: by insertion, the newest first. */
	for (size_t i = 1; i < n; i++)
		for (size_t at = i; at > 0 && mounts->targets[at - 1] < mounts->targets[at]; at--) {
			size_t other = mounts->targets[at - 1];

			mounts->targets[at - 1] = mounts->targets[at];
			mounts->targets[at] = other;
		}
	return 0;
}

int freeze_mounts_read(struct freeze_mounts *out, const char *text, size_t len, const char *const *wanted)
{
	struct freeze_mounts mounts = { .count = 0 };
	size_t lines = 1, used = 0;
	int r = 0;

	for (const char *at = text; (at = memchr(at, '\n', (size_t)(text + len - at))); at++)
		lines++;
	if (lines > FREEZE_MOUNTS_MAX)
		return -E2BIG;
	mounts.mounts = calloc(lines, sizeof(*mounts.mounts));
	mounts.arena = malloc(len + lines); /* unescaping only shortens */
	if (!mounts.mounts || !mounts.arena)
		r = -ENOMEM;
	for (const char *at = text, *end; r == 0 && at < text + len; at = end + 1) {
		struct freeze_mount *mount = &mounts.mounts[mounts.count];
		struct mountinfo_line line;
		ssize_t path;

		end = memchr(at, '\n', (size_t)(text + len - at));
		if (!end)
			end = text + len;
		if (mountinfo_parse_line(at, (size_t)(end - at), &line) < 0)
			continue;
		path = mountinfo_unescape(&line.mount_point, mounts.arena + used, len + lines - used);
		if (path <= 0)
			continue;
		*mount = (struct freeze_mount){ .id = line.id,
						.device = line.device,
						.path = mounts.arena + used,
						.eligible = is_eligible(&line),
						.lazytime = has_option(line.options, "lazytime"),
						.dirsync = has_option(line.options, "dirsync") };
		used += (size_t)path + 1;
		mounts.count++;
	}
	if (r == 0)
		r = mounts.count ? choose(&mounts, wanted) : -EBADMSG;
	if (r < 0) {
		freeze_mounts_free(&mounts);
		return r;
	}
	*out = mounts;
	return 0;
}

void freeze_mounts_free(struct freeze_mounts *mounts)
{
	free(mounts->mounts);
	free(mounts->arena);
	*mounts = (struct freeze_mounts){ .count = 0 };
}

size_t freeze_mounts_next(const struct freeze_mounts *mounts, uint64_t device, size_t from)
{
	while (from < mounts->count && mounts->mounts[from].device != device)
		from++;
	return from;
}

/* Of mounts at one point the last one is on top. */
uint64_t freeze_mounts_device_at(const struct freeze_mounts *mounts, const char *path)
{
	size_t longest = 0;
	uint64_t device = 0;

	for (size_t i = 0; i < mounts->count; i++) {
		const char *point = mounts->mounts[i].path;
		size_t len = strcmp(point, "/") == 0 ? 0 : strlen(point);

		if (len < longest || strncmp(path, point, len) != 0 || path[len] != '/')
			continue;
		longest = len;
		device = mounts->mounts[i].device;
	}
	return device;
}

/* ----------------------------------------------------------------------------------------------------------- order */

static size_t place_of(const struct freeze_mounts *mounts, uint64_t device)
{
	size_t i = 0;

	while (i < mounts->target_count && mounts->mounts[mounts->targets[i]].device != device)
		i++;
	return i;
}

/* Whether the target at `at` had to be moved before what holds a file of its. */
static bool move_before_holder(struct freeze_mounts *mounts, size_t at, freeze_backing_fn backing, void *data)
{
	size_t target = mounts->targets[at];
	uint64_t device = mounts->mounts[target].device;
	size_t first = at;
	char path[4096];

	for (unsigned i = 0; backing(data, device, i, path, sizeof(path)); i++) {
		size_t holder = place_of(mounts, freeze_mounts_device_at(mounts, path));

		if (holder < first)
			first = holder;
	}
	memmove(&mounts->targets[first + 1], &mounts->targets[first], (at - first) * sizeof(*mounts->targets));
	mounts->targets[first] = target;
	return first < at;
}

/* As many passes as there are files within files; a circle, which the kernel does not allow, ends with the passes. */
void freeze_mounts_order(struct freeze_mounts *mounts, freeze_backing_fn backing, void *data)
{
	bool moved = true;

	for (int pass = 0; pass < STACK_MAX && moved; pass++) {
		moved = false;
		for (size_t at = 0; at < mounts->target_count; at++)
			moved |= move_before_holder(mounts, at, backing, data);
	}
}

/* The text of the file in sysfs, without its newline. False: there is none. */
static bool sysfs_text(int sysfs_fd, const char *path, char *out, size_t size)
{
	_cleanup_(closep) int fd = openat(sysfs_fd, path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, out, size - 1);

	if (len <= 0)
		return false;
	out[len] = '\0';
	out[strcspn(out, "\n")] = '\0';
	return true;
}

/* Finds backing file number *left below the device directory `path`; counts those before it down. */
static bool backing_below(int sysfs_fd, const char *path, unsigned *left, char *out, size_t size, int depth)
{
	_cleanup_(closep) int dir_fd = -1;
	char name[1024];
	bool found = false;
	DIR *dir;

	snprintf(name, sizeof(name), "%s/loop/backing_file", path);
	if (sysfs_text(sysfs_fd, name, out, size))
		return (*left)-- == 0;
	snprintf(name, sizeof(name), "%s/partition", path);
	if (depth > 0 && faccessat(sysfs_fd, name, F_OK, 0) == 0) {
		snprintf(name, sizeof(name), "%s/..", path);
		return backing_below(sysfs_fd, name, left, out, size, depth - 1);
	}
	snprintf(name, sizeof(name), "%s/slaves", path);
	dir_fd = depth > 0 ? openat(sysfs_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	dir = dir_fd < 0 ? NULL : fdopendir(dir_fd);
	if (dir)
		dir_fd = -1; /* closed with the directory */
	for (const struct dirent *entry = dir ? readdir(dir) : NULL; entry && !found; entry = readdir(dir)) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/slaves/%s", path, entry->d_name);
		found = backing_below(sysfs_fd, name, left, out, size, depth - 1);
	}
	if (dir)
		closedir(dir);
	return found;
}

bool freeze_backing_sysfs(void *data, uint64_t device, unsigned i, char *out, size_t size)
{
	char path[64];

	snprintf(path, sizeof(path), "dev/block/%u:%u", (unsigned)(device >> 32), (unsigned)device);
	return backing_below(*(const int *)data, path, &i, out, size, STACK_MAX);
}
