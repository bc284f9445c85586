/* SPDX-License-Identifier: MIT */
/* Questions to sysfs about one block device; each costs one or two system calls and allocates nothing. */
#include "diskkind.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

static bool directory_has_entries(int dir_fd, const char *path)
{
	_cleanup_(closep) int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_Alignas(struct dirent64) char entries[512];
	ssize_t n;

	if (fd < 0)
		return false;
	while ((n = getdents64(fd, entries, sizeof(entries))) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *entry = (const struct dirent64 *)(const void *)(entries + at);

			if (entry->d_name[0] != '.')
				return true;
			at += entry->d_reclen;
		}
	}
	return false;
}

/* True for the prefix with nothing but digits, or nothing but letters, behind it. */
static bool is_numbered(const char *name, const char *prefix, int (*is_kind)(int))
{
	size_t len = strlen(prefix);

	if (strncmp(name, prefix, len) != 0 || name[len] == '\0')
		return false;
	for (name += len; *name; name++)
		if (!is_kind((unsigned char)*name))
			return false;
	return true;
}

/* Stacked devices of out-of-tree drivers, which have no links to their slaves in sysfs. */
static bool is_stacked_by_name(const char *name)
{
	return is_numbered(name, "zd", isdigit) || is_numbered(name, "emcpower", isalpha) ||
	       strncmp(name, "VxDMP", 5) == 0 || strncmp(name, "VxVM", 4) == 0;
}

/* A path to a disk that is not to be used by itself has no number in sysfs, but a name. */
static bool folder_of(int sys_fd, uint64_t device, const char *name, char *out, size_t size)
{
	struct stat st;
	int n = snprintf(out, size, "dev/block/%u:%u", (unsigned)(device >> 32), (unsigned)device);

	if (fstatat(sys_fd, out, &st, 0) == 0)
		return true;
	if (name[0] == '.' || strchr(name, '/'))
		return false;
	n = snprintf(out, size, "block/%s", name);
	return n > 0 && (size_t)n < size && fstatat(sys_fd, out, &st, 0) == 0;
}

enum disk_kind disk_kind_of(int sys_fd, uint64_t device, const char *name)
{
	unsigned major = (unsigned)(device >> 32);
	char folder[64], path[80];
	struct stat st;
	bool known;

	/* Documentation/admin-guide/devices.txt: 1 ram, 7 loop. zram takes a dynamic number. */
	if (major == 1 || major == 7 || strncmp(name, "zram", 4) == 0)
		return DISK_MEMORY;
	known = folder_of(sys_fd, device, name, folder, sizeof(folder));
	snprintf(path, sizeof(path), "%s/partition", folder);
	if (known && fstatat(sys_fd, path, &st, 0) == 0)
		return DISK_PARTITION;
	if (is_stacked_by_name(name))
		return DISK_STACKED;
	snprintf(path, sizeof(path), "%s/slaves", folder);
	return known && directory_has_entries(sys_fd, path) ? DISK_STACKED : DISK_WHOLE;
}

bool disk_is_hardware(int sys_fd, uint64_t device)
{
	char path[64], target[512];
	ssize_t n;

	snprintf(path, sizeof(path), "dev/block/%u:%u", (unsigned)(device >> 32), (unsigned)device);
	n = readlinkat(sys_fd, path, target, sizeof(target) - 1);
	if (n <= 0 || n >= (ssize_t)sizeof(target) - 1)
		return false;
	target[n] = '\0';
	return strstr(target, "/devices/") && !strstr(target, "/virtual/");
}

/* Moves past `letter` and the digits behind it. */
static bool number_skip(const char **at, char letter)
{
	if (**at != letter || !isdigit((unsigned char)(*at)[1]))
		return false;
	do
		++*at;
	while (isdigit((unsigned char)**at));
	return true;
}

bool disk_nvme_head(const char *name, char *head, size_t size)
{
	const char *at = name + 3, *controller, *space;
	int n;

	if (strncmp(name, "nvme", 4) != 0 || !number_skip(&at, 'e'))
		return false;
	controller = at;
	if (!number_skip(&at, 'c'))
		return false;
	space = at;
	if (!number_skip(&at, 'n') || *at != '\0')
		return false;
	n = snprintf(head, size, "%.*s%s", (int)(controller - name), name, space);
	return n > 0 && (size_t)n < size;
}
