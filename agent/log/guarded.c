/* SPDX-License-Identifier: MIT */
/*
 * A path is walked component by component, each opened with O_PATH, so that the checked directory is the one traversed.
 * openat2(RESOLVE_NO_SYMLINKS) would also refuse root's own links (/var/log elsewhere), and is missing before Linux
 * 5.6.
 */
#include "agent/log/guarded.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#define LINKS_MAX 40 /* limit of the kernel, path_resolution(7) */

struct walk {
	const char *path;    /* for error messages */
	char rest[PATH_MAX]; /* path components not traversed yet */
	unsigned links;
	int parent; /* directory of the last component traversed */
	int at;
	char name[NAME_MAX + 1]; /* of the last component */
};

static void walk_done(struct walk *w)
{
	closep(&w->parent);
	closep(&w->at);
}

static bool is_ours(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

static int fail(const char *path, int error, struct err *err)
{
	return err_set(err, error, "%s: %s", path, strerror(-error));
}

/* Replaces the link `fd` by its target, in front of the remaining path. */
static int follow(struct walk *w, int fd, const struct stat *st, struct err *err)
{
	char target[PATH_MAX], joined[2 * PATH_MAX];
	ssize_t len;

	if (!is_ours(st->st_uid))
		return err_set(err, -ELOOP, "%s: \"%s\" on it is a symbolic link of uid %u, which is not followed",
			       w->path, w->name, (unsigned)st->st_uid);
	if (++w->links > LINKS_MAX)
		return fail(w->path, -ELOOP, err);
	len = readlinkat(fd, "", target, sizeof(target) - 1);
	if (len < 0)
		return fail(w->path, -errno, err);
	target[len] = '\0';
	snprintf(joined, sizeof(joined), "%s/%s", target, w->rest);
	if (strlen(joined) >= sizeof(w->rest))
		return fail(w->path, -ENAMETOOLONG, err);
	memcpy(w->rest, joined, strlen(joined) + 1);
	if (target[0] != '/')
		return 0;
	close_fd(&w->at);
	w->at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return w->at < 0 ? fail(w->path, -errno, err) : 0;
}

/* Traverses one component; w->rest is the path that remains. */
static int step(struct walk *w, struct err *err)
{
	_cleanup_(closep) int next = -1;
	size_t len = strcspn(w->rest, "/"), skip = len;
	struct stat st;

	if (len > NAME_MAX)
		return fail(w->path, -ENAMETOOLONG, err);
	memcpy(w->name, w->rest, len);
	w->name[len] = '\0';
	while (w->rest[skip] == '/')
		skip++;
	memmove(w->rest, w->rest + skip, strlen(w->rest + skip) + 1);
	if (!len)
		return 0;
	next = openat(w->at, w->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (next < 0 || fstat(next, &st) < 0)
		return fail(w->path, -errno, err);
	if (S_ISLNK(st.st_mode))
		return follow(w, next, &st, err);
	if (w->rest[0] && !S_ISDIR(st.st_mode))
		return fail(w->path, -ENOTDIR, err);
	closep(&w->parent);
	w->parent = TAKE_FD(w->at);
	w->at = TAKE_FD(next);
	return 0;
}

static int walk(struct walk *w, const char *path, struct err *err)
{
	int r = 0;

	*w = (struct walk){ .path = path, .parent = -1, .at = -1 };
	if (!*path)
		return fail(path, -ENOENT, err);
	if (strlen(path) >= sizeof(w->rest))
		return fail(path, -ENAMETOOLONG, err);
	memcpy(w->rest, path, strlen(path) + 1);
	w->at = open(*path == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (w->at < 0)
		return fail(path, -errno, err);
	while (r == 0 && w->rest[0])
		r = step(w, err);
	return r;
}

static const char *kind_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "a directory";
	case S_IFIFO:
		return "a FIFO";
	case S_IFSOCK:
		return "a socket";
	case S_IFLNK:
		return "a symbolic link";
	default:
		return "a device";
	}
}

/*
 * Another user who can write to the directory could have placed the file: then it must have no further hard links and,
 * where only the directory's owner can write, belong to that owner, to root or to this user.
 */
static int judge(const char *path, const struct stat *dir, const struct stat *st, uint64_t max_bytes, struct err *err)
{
	bool shared = dir->st_mode & (S_IWGRP | S_IWOTH);

	if (!S_ISREG(st->st_mode))
		return err_set(err,
			       S_ISDIR(st->st_mode)   ? -EISDIR
			       : S_ISLNK(st->st_mode) ? -ELOOP
						      : -EINVAL,
			       "%s: is %s, not a file", path, kind_of(st->st_mode));
	if (st->st_size < 0 || (uint64_t)st->st_size > max_bytes)
		return err_set(err, -EFBIG, "%s: has %lld bytes, more than the %llu that are read", path,
			       (long long)st->st_size, (unsigned long long)max_bytes);
	if (is_ours(dir->st_uid) && !shared)
		return 0;
	if (st->st_nlink > 1)
		return err_set(err, -EPERM,
			       "%s: has further names (hard links), and another user may write its directory", path);
	if (!shared && !is_ours(st->st_uid) && st->st_uid != dir->st_uid)
		return err_set(err, -EPERM, "%s: belongs to uid %u, its directory to uid %u", path,
			       (unsigned)st->st_uid, (unsigned)dir->st_uid);
	return 0;
}

/*
 * Opens `name` in `dir_fd`, reported as `path`. The file is checked before it is opened, since opening a device may
 * have effects, and again after.
 */
static int open_file(int dir_fd, const char *name, const char *path, uint64_t max_bytes, struct err *err)
{
	_cleanup_(closep) int fd = -1;
	struct stat dir, st;
	int r;

	if (fstat(dir_fd, &dir) < 0 || fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(path, -errno, err);
	r = judge(path, &dir, &st, max_bytes, err);
	if (r < 0)
		return r;
	fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(path, -errno, err);
	r = judge(path, &dir, &st, max_bytes, err);
	return r < 0 ? r : TAKE_FD(fd);
}

int guarded_open_at(int dir_fd, const char *name, uint64_t max_bytes, struct err *err)
{
	return open_file(dir_fd, name, name, max_bytes, err);
}

int guarded_open(const char *path, uint64_t max_bytes, struct err *err)
{
	_cleanup_(walk_done) struct walk w;
	int r = walk(&w, path, err);

	if (r < 0)
		return r;
	if (w.parent < 0)
		return err_set(err, -EISDIR, "%s: is a directory, not a file", path);
	return open_file(w.parent, w.name, path, max_bytes, err);
}

int guarded_open_dir(const char *path, struct err *err)
{
	_cleanup_(walk_done) struct walk w;
	int r = walk(&w, path, err), fd;

	if (r < 0)
		return r;
	fd = openat(w.at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? fail(path, -errno, err) : fd;
}

int guarded_find_socket(const char *path, struct err *err)
{
	_cleanup_(walk_done) struct walk w;
	int r = walk(&w, path, err);
	struct stat st;

	if (r < 0)
		return r;
	if (fstat(w.at, &st) < 0)
		return fail(path, -errno, err);
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, -ENOTSOCK, "%s: is %s, not a socket", path,
			       S_ISREG(st.st_mode) ? "a file" : kind_of(st.st_mode));
	return TAKE_FD(w.at);
}
