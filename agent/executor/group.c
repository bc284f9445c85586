/* SPDX-License-Identifier: MIT */
#include "agent/executor/group.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#define PREFIX "infiniservice-exec-"

/* The path after "0::" (the unified hierarchy), up to its newline. */
static const char *own_path(const char *cgroup, size_t *len)
{
	for (const char *line = cgroup; *line;) {
		size_t width = strcspn(line, "\n");

		if (strncmp(line, "0::/", 4) == 0) {
			*len = width - 3;
			return line + 3;
		}
		line += width + (line[width] == '\n');
	}
	return NULL;
}

/* One line of mountinfo: "36 35 0:26 ROOT MOUNTPOINT options … - cgroup2 …"; a space in a path would be escaped. */
static int line_locate(const char *line, size_t width, const char *own, size_t own_len, char *out, size_t size)
{
	char text[1024], root[512], point[512];
	size_t skip;
	int n;

	if (width >= sizeof(text))
		return -ENOENT;
	memcpy(text, line, width);
	text[width] = '\0';
	if (!strstr(text, " - cgroup2 ") || sscanf(text, "%*s %*s %*s %511s %511s", root, point) != 2 ||
	    strchr(point, '\\'))
		return -ENOENT;
	skip = strcmp(root, "/") == 0 ? 0 : strlen(root);
	if (skip > own_len || strncmp(own, root, skip) != 0 || (skip < own_len && own[skip] != '/'))
		return -ENOENT;
	n = snprintf(out, size, "%s%.*s", point, (int)(own_len - skip), own + skip);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int group_locate(const char *cgroup, const char *mountinfo, char *out, size_t size)
{
	size_t own_len;
	const char *own = own_path(cgroup, &own_len);

	for (const char *line = mountinfo; own && *line;) {
		size_t width = strcspn(line, "\n");
		int error = line_locate(line, width, own, own_len, out, size);

		if (error != -ENOENT)
			return error;
		line += width + (line[width] == '\n');
	}
	return -ENOENT;
}

/*
 * A whole file, NUL-terminated and cut at `size`; mountinfo of a machine with very many mounts has cgroup2 near its
 * head.
 */
static int text_read(const char *path, char *out, size_t size)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t got;

	if (fd < 0)
		return -errno;
	while (len < size - 1 && (got = read(fd, out + len, size - 1 - len)) > 0)
		len += (size_t)got;
	out[len] = '\0';
	return 0;
}

/* Removes the empty groups in one; rmdir takes only such. */
static void groups_sweep(int parent_fd, const char *name)
{
	int fd = openat(parent_fd, name, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			unlinkat(fd, entry->d_name, AT_REMOVEDIR);
	if (dir)
		closedir(dir);
	else
		closep(&fd);
}

/* An executor killed together with its supervisors leaves groups behind. */
static void stale_remove(const char *parent)
{
	DIR *dir = opendir(parent);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		pid_t pid = (pid_t)atoi(
			strncmp(entry->d_name, PREFIX, strlen(PREFIX)) ? "" : entry->d_name + strlen(PREFIX));

		if (pid <= 0 || kill(pid, 0) == 0 || errno != ESRCH)
			continue;
		groups_sweep(dirfd(dir), entry->d_name);
		unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
	}
	if (dir)
		closedir(dir);
}

struct group_base group_base_open(void)
{
	static char cgroup[8192], mountinfo[131072];
	struct group_base base = { .fd = -1 };
	size_t len;

	if (text_read("/proc/self/cgroup", cgroup, sizeof(cgroup)) < 0 ||
	    text_read("/proc/self/mountinfo", mountinfo, sizeof(mountinfo)) < 0 ||
	    group_locate(cgroup, mountinfo, base.path, sizeof(base.path) - 32) < 0 || access(base.path, W_OK) < 0)
		return base;
	stale_remove(base.path);
	len = strlen(base.path);
	snprintf(base.path + len, sizeof(base.path) - len, "/" PREFIX "%d", getpid());
	if (mkdir(base.path, 0755) < 0 && errno != EEXIST)
		return base;
	base.fd = open(base.path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	return base;
}

void group_base_close(struct group_base *base)
{
	if (base->fd < 0)
		return;
	groups_sweep(base->fd, ".");
	close_fd(&base->fd);
	rmdir(base->path);
}

struct group group_open(const struct group_base *base, pid_t supervisor)
{
	struct group group = { .fd = -1, .kill_fd = -1 };
	char path[32];

	if (base->fd < 0)
		return group;
	snprintf(group.name, sizeof(group.name), "%d", supervisor);
	snprintf(path, sizeof(path), "%s/cgroup.kill", group.name);
	if (mkdirat(base->fd, group.name, 0755) < 0 && errno != EEXIST)
		return group;
	group.kill_fd = openat(base->fd, path, O_WRONLY | O_CLOEXEC);
	if (group.kill_fd >= 0)
		group.fd = openat(base->fd, group.name, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (group.fd < 0)
		group_close(&group, base);
	return group;
}

void group_close(struct group *group, const struct group_base *base)
{
	close_fd(&group->fd);
	close_fd(&group->kill_fd);
	if (base->fd >= 0)
		unlinkat(base->fd, group->name, AT_REMOVEDIR);
}

void group_kill(struct group *group)
{
	/* A failure is made good by the tree walk, which follows anyway. */
	if (group->kill_fd >= 0 && pwrite(group->kill_fd, "1", 1, 0) == 1)
		group->killed = true;
}

void group_renew(struct group *group, const struct group_base *base, pid_t supervisor)
{
	if (!group->killed)
		return;
	group_close(group, base);
	if (faccessat(base->fd, group->name, F_OK, 0) < 0)
		*group = group_open(base, supervisor);
}
