/* SPDX-License-Identifier: MIT */
/*
 * Root's work before the start of the agent; see verbs.h. Every directory is opened by openat2 without symbolic
 * links, entries of the agent's own directories are touched only to be removed, and ownership is changed through
 * descriptors, never by name.
 */
#include "agent/executor/verbs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/libc.h>

#define USER	    "infiniservice"
#define UUID_SOURCE "sys/class/dmi/id/product_uuid"
#define UUID_NEW    ".product_uuid.new"
/* Depth limit of a removed tree. Deeper entries stay: systemd searches no units there. */
#define TREE_DEPTH 64

static const struct {
	const char *parent, *name;
	mode_t mode;
} directories[] = {
	{ "var/lib", "infiniservice", 0750 },
	{ "var/log", "infiniservice", 0750 },
	{ "run", "infiniservice", 0755 },
};

static int say(int error, const char *what, const char *why)
{
	fprintf(stderr, "infiniservice-exec prepare: %s: %s\n", what, why ? why : strerror(-error));
	return error;
}

/* Opens `path` component by component, for kernels before 5.6 without openat2. */
static int open_in_steps(int dir_fd, const char *path, int flags)
{
	_cleanup_(closep) int fd = -1;
	const char *slash;
	char name[64];

	while ((slash = strchr(path, '/'))) {
		int next;

		snprintf(name, sizeof(name), "%.*s", (int)(slash - path), path);
		next = openat(fd < 0 ? dir_fd : fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return -errno;
		close_fd(&fd);
		fd = next;
		path = slash + 1;
	}
	dir_fd = openat(fd < 0 ? dir_fd : fd, path, flags);
	return dir_fd < 0 ? -errno : dir_fd;
}

/* Opens `path` below `dir_fd`. A symbolic link anywhere in it is -ELOOP. */
static int open_plainly(int dir_fd, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));

	if (fd < 0 && errno == ENOSYS)
		return open_in_steps(dir_fd, path, (int)how.flags);
	return fd < 0 ? -errno : (int)fd;
}

/* Whether only root can create and rename entries of the directory. */
static bool is_roots(const struct stat *st)
{
	return st->st_uid == 0 && (st->st_mode & 022) == 0;
}

/* -------------------------------------------------------------------------------------------------------- identity */

/* Opens /run/infiniservice-root, created if missing. A descriptor or -errno. */
static int open_own_directory(int root_fd)
{
	_cleanup_(closep) int run = open_plainly(root_fd, "run", O_RDONLY | O_DIRECTORY);
	_cleanup_(closep) int fd = -1;
	struct stat st;

	if (run < 0)
		return say(run, "/run", NULL);
	if (mkdirat(run, PREPARE_DIR, 0755) < 0 && errno != EEXIST)
		return say(-errno, "/run/" PREPARE_DIR, NULL);
	fd = open_plainly(run, PREPARE_DIR, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return say(fd, "/run/" PREPARE_DIR, NULL);
	if (fstat(fd, &st) < 0 || !is_roots(&st))
		return say(-EPERM, "/run/" PREPARE_DIR, "can be changed by others than root; cure: rm -r it");
	/* Independent of the umask: the agent has to traverse it. */
	if (fchmod(fd, 0755) < 0)
		return say(-errno, "/run/" PREPARE_DIR, NULL);
	return TAKE_FD(fd);
}

int prepare_identity(int root_fd, unsigned gid)
{
	_cleanup_(closep) int dir_fd = open_own_directory(root_fd), old_fd = -1, fd = -1;
	/* Symbolic links are followed here: this path in sysfs leads through the kernel's own. */
	_cleanup_(closep) int source = openat(root_fd, UUID_SOURCE, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char text[128], old[sizeof(text)];
	struct stat st;
	ssize_t len;

	if (dir_fd < 0)
		return dir_fd;
	len = source < 0 ? 0 : read(source, text, sizeof(text));
	if (len <= 0) {
		/* A machine without a UUID must not keep that of another machine it was copied from. */
		if (unlinkat(dir_fd, PREPARE_UUID, 0) < 0 && errno != ENOENT)
			return say(-errno, "/run/" PREPARE_DIR "/" PREPARE_UUID, NULL);
		return 0;
	}
	old_fd = open_plainly(dir_fd, PREPARE_UUID, O_RDONLY);
	if (old_fd >= 0 && fstat(old_fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_gid == gid &&
	    (st.st_mode & 07777) == 0440 && read(old_fd, old, sizeof(old)) == len &&
	    memcmp(old, text, (size_t)len) == 0)
		return 0; /* up to date */
	unlinkat(dir_fd, UUID_NEW, 0);
	errno = 0;
	fd = openat(dir_fd, UUID_NEW, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
	if (fd < 0 || write(fd, text, (size_t)len) != len || fchown(fd, 0, gid) < 0 || fchmod(fd, 0440) < 0 ||
	    renameat(dir_fd, UUID_NEW, dir_fd, PREPARE_UUID) < 0)
		return say(errno ? -errno : -EIO, "/run/" PREPARE_DIR "/" PREPARE_UUID, NULL);
	return 0;
}

/* ----------------------------------------------------------------------------------------------------- directories */

static int make_directory(int root_fd, size_t i, unsigned uid, unsigned gid)
{
	_cleanup_(closep) int parent_fd = open_plainly(root_fd, directories[i].parent, O_RDONLY | O_DIRECTORY);
	_cleanup_(closep) int fd = -1;
	struct stat st, parent;
	char path[64];
	bool made;

	snprintf(path, sizeof(path), "/%s/%s", directories[i].parent, directories[i].name);
	if (parent_fd < 0)
		return say(parent_fd, path, NULL);
	made = mkdirat(parent_fd, directories[i].name, 0700) == 0;
	if (!made && errno != EEXIST)
		return say(-errno, path, NULL);
	fd = open_plainly(parent_fd, directories[i].name, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return say(fd, path,
			   fd == -ELOOP || fd == -ENOTDIR ? "is no directory of its own; cure: remove it" : NULL);
	if (fstat(fd, &st) < 0 || fstat(parent_fd, &parent) < 0)
		return say(-errno, path, NULL);
	/*
	 * A directory of the agent's own stays so. A directory of root's is given away only if it was just made, or if
	 * only root can write to its parent: in a parent with other writers (a group of /var/log) it may be a directory
	 * that another user moved there.
	 */
	if (st.st_uid != uid && st.st_uid != 0)
		return say(-EPERM, path, "belongs to another user; cure: chown it to " USER ", or remove it");
	if (st.st_uid != uid && !made && !is_roots(&parent))
		return say(-EPERM, path,
			   "was there before, in a directory that others can write; cure: chown it to " USER
			   ", or remove it");
	if (fchown(fd, uid, gid) < 0 || fchmod(fd, directories[i].mode) < 0)
		return say(-errno, path, NULL);
	return 0;
}

int prepare_directories(int root_fd, unsigned uid, unsigned gid)
{
	int result = 0;

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		int r = make_directory(root_fd, i, uid, gid);

		if (r < 0)
			result = r;
	}
	return result;
}

/* ------------------------------------------------------------------------------------------------------------ home */

static void remove_tree(int dir_fd, const char *name, unsigned depth)
{
	int fd = depth < TREE_DEPTH ? open_plainly(dir_fd, name, O_RDONLY | O_DIRECTORY) : -ELOOP;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(fd, entry->d_name, 0) < 0 && (errno == EISDIR || errno == EPERM))
			remove_tree(fd, entry->d_name, depth + 1);
	}
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
	unlinkat(dir_fd, name, AT_REMOVEDIR);
}

int prepare_home(int root_fd)
{
	static const char *const names[] = { ".config", ".local" };
	int fd = open_plainly(root_fd, "var/lib/infiniservice", O_RDONLY | O_DIRECTORY), result = 0;

	if (fd < 0)
		return fd == -ENOENT ? 0 : say(fd, "/var/lib/infiniservice", NULL);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (unlinkat(fd, names[i], 0) < 0 && (errno == EISDIR || errno == EPERM))
			remove_tree(fd, names[i], 0);
		if (faccessat(fd, names[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			result = say(-ENOTEMPTY, "/var/lib/infiniservice", "its .config or .local cannot be removed");
	}
	close(fd);
	return result;
}

/* ----------------------------------------------------------------------------------------------------------- ports */

int prepare_ports(int root_fd, const struct config *config, unsigned uid, unsigned gid)
{
	_cleanup_(closep) int fd = openat(root_fd, "sys/class/virtio-ports", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int result = 0;

	if (!dir)
		return 0; /* a machine without such ports */
	fd = -1;
	while ((entry = readdir(dir))) {
		int r = port_is_wanted(root_fd, entry->d_name, config)
				? port_give(root_fd, entry->d_name, (uid_t)uid, (gid_t)gid)
				: 0;

		if (r < 0)
			result = say(r, entry->d_name, NULL);
	}
	closedir(dir);
	return result;
}

static int configured_ports(int root_fd, unsigned uid, unsigned gid)
{
	struct config config;
	struct err e = { 0 };
	int r = config_init(&config);

	if (r < 0)
		return say(r, "ports", NULL);
	r = config_load(&config, NULL, NULL, NULL, &e);
	r = r < 0 ? say(r, "ports", e.text) : prepare_ports(root_fd, &config, uid, gid);
	config_free(&config);
	return r;
}

/* ------------------------------------------------------------------------------------------------------------ verb */

int prepare_main(int argc, char *argv[])
{
	_cleanup_(closep) int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(fclosep) FILE *users = NULL;
	const struct passwd *user = NULL;
	bool known = argc > 1, failed = false;

	for (int i = 1; i < argc; i++)
		known = known && (strcmp(argv[i], "identity") == 0 || strcmp(argv[i], "directories") == 0 ||
				  strcmp(argv[i], "home") == 0 || strcmp(argv[i], "ports") == 0);
	if (!known) {
		fputs("usage: infiniservice-exec prepare [identity] [directories] [home] [ports]\n", stderr);
		return 2;
	}
	/* From /etc/passwd: the name service may query a network that is not up yet. */
	users = fopen("/etc/passwd", "re");
	while (users && (user = fgetpwent(users)) && strcmp(user->pw_name, USER) != 0)
		;
	if (!user || user->pw_uid == 0) {
		say(-ENOENT, "/etc/passwd", "there is no user " USER);
		return 1;
	}
	for (int i = 1; i < argc; i++) {
		int r = *argv[i] == 'i'	  ? prepare_identity(root_fd, user->pw_gid)
			: *argv[i] == 'h' ? prepare_home(root_fd)
			: *argv[i] == 'p' ? configured_ports(root_fd, user->pw_uid, user->pw_gid)
					  : prepare_directories(root_fd, user->pw_uid, user->pw_gid);

		failed = failed || r < 0;
	}
	return failed ? 1 : 0;
}
