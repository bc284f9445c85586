/* SPDX-License-Identifier: MIT */
/* get-disks and get-diskstats. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/qga/disk_address.h"
#include "agent/qga/table.h"
#include "agent/qga/texts.h"
#include "collectors/procfs.h"

#define DISKS_MAX 1024

struct names {
	char (*rows)[QGA_NAME_MAX];
	size_t count;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* The entries of a folder that begin with `prefix`, sorted. */
static void names_read(struct names *names, int dir_fd, const char *path, const char *prefix)
{
	int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	*names = (struct names){ .rows = dir ? calloc(DISKS_MAX, sizeof(*names->rows)) : NULL };
	if (!dir)
		closep(&fd);
	while (names->rows && names->count < DISKS_MAX && (entry = readdir(dir)))
		if (entry->d_name[0] != '.' && strlen(entry->d_name) < QGA_NAME_MAX &&
		    strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
			strcpy(names->rows[names->count++], entry->d_name);
	if (dir)
		closedir(dir);
	if (names->count)
		qsort(names->rows, names->count, sizeof(*names->rows), by_name);
}

static void emit_device(struct sink *out, const char *key, const char *name)
{
	char text[QGA_NAME_MAX + 5];

	snprintf(text, sizeof(text), "/dev/%s", name);
	sink_str(out, key, text);
}

static void emit_members(struct sink *out, int sys_fd, const char *name)
{
	char path[QGA_SYS_PATH_MAX];
	struct names names;

	snprintf(path, sizeof(path), "block/%s/slaves", name);
	names_read(&names, sys_fd, path, "");
	sink_array_begin(out, "dependencies");
	for (size_t i = 0; i < names.count; i++)
		emit_device(out, NULL, names.rows[i]);
	sink_array_end(out);
	free(names.rows);
}

/* Only of a disk that is not made of others. */
static void emit_address(struct sink *out, const struct qga_env *env, const char *path)
{
	struct qga_disk_addresses *found;
	char text[64], number[QGA_SYS_PATH_MAX];
	unsigned major, minor;

	snprintf(number, sizeof(number), "%.200s/dev", path);
	if (qga_read(env->sys_fd, number, text, sizeof(text)) <= 0 || sscanf(text, "%u:%u", &major, &minor) != 2)
		return;
	found = malloc(sizeof(*found));
	if (!found)
		return;
	qga_disk_addresses_find(env->sys_fd, env->root_fd, major, minor, found);
	if (found->count == 1)
		qga_disk_address_emit(out, "address", &found->rows[0]);
	free(found);
}

static bool is_virtual(const struct qga_env *env, const char *path)
{
	char target[QGA_SYS_PATH_MAX];
	ssize_t n = readlinkat(env->sys_fd, path, target, sizeof(target) - 1);

	if (n <= 0)
		return true;
	target[n] = '\0';
	return strstr(target, "devices/virtual/") != NULL;
}

static void emit_partitions(struct sink *out, const struct qga_env *env, const char *disk)
{
	char path[QGA_SYS_PATH_MAX];
	struct names names;

	snprintf(path, sizeof(path), "block/%s", disk);
	names_read(&names, env->sys_fd, path, disk);
	for (size_t i = 0; i < names.count; i++) {
		uint64_t number;

		snprintf(path, sizeof(path), "block/%s/%s/partition", disk, names.rows[i]);
		if (!qga_read_number(env->sys_fd, path, 10, &number))
			continue;
		sink_object_begin(out, NULL);
		emit_device(out, "name", names.rows[i]);
		sink_bool(out, "partition", true);
		sink_array_begin(out, "dependencies");
		emit_device(out, NULL, disk);
		sink_array_end(out);
		sink_object_end(out);
	}
	free(names.rows);
}

static void emit_disk(struct sink *out, const struct qga_env *env, const char *name)
{
	char path[QGA_SYS_PATH_MAX], alias[256];
	uint64_t size;

	snprintf(path, sizeof(path), "block/%s/size", name);
	if (!qga_read_number(env->sys_fd, path, 10, &size) || size == 0)
		return; /* no medium, or a loop device that is not used */
	sink_object_begin(out, NULL);
	emit_device(out, "name", name);
	sink_bool(out, "partition", false);
	emit_members(out, env->sys_fd, name);
	snprintf(path, sizeof(path), "block/%s", name);
	if (!is_virtual(env, path))
		emit_address(out, env, path);
	snprintf(path, sizeof(path), "block/%s/dm/name", name);
	if (qga_read(env->sys_fd, path, alias, sizeof(alias)) > 0) {
		alias[strcspn(alias, "\n")] = '\0';
		sink_str(out, "alias", alias);
	}
	sink_object_end(out);
	emit_partitions(out, env, name);
}

static void emit_disks(struct sink *out, const char *key, const void *arg)
{
	const struct qga_env *env = arg;
	struct names names;

	names_read(&names, env->sys_fd, "block", "");
	sink_array_begin(out, key);
	for (size_t i = 0; i < names.count; i++)
		emit_disk(out, env, names.rows[i]);
	sink_array_end(out);
	free(names.rows);
}

static void run_get_disks(struct qga_call *call)
{
	qga_return(call, emit_disks, call->env);
}

/* ------------------------------------------------------------------------------------------------------- diskstats */

static void emit_stats(struct sink *out, const struct qga_diskstats *disk)
{
	static const char *const keys[QGA_DISK_COLUMNS] = {
		"read-ios",	  "read-merges",     "read-sectors",  "read-ticks",  "write-ios",    "write-merges",
		"write-sectors",  "write-ticks",     "ios-pgr",	      "total-ticks", "weight-ticks", "discard-ios",
		"discard-merges", "discard-sectors", "discard-ticks", "flush-ios",   "flush-ticks",
	};

	sink_object_begin(out, NULL);
	sink_text(out, "name", disk->name.at, scan_len(&disk->name), QGA_NAME_MAX);
	sink_uint(out, "major", disk->major);
	sink_uint(out, "minor", disk->minor);
	sink_object_begin(out, "stats");
	for (unsigned i = 0; i < disk->count; i++)
		sink_uint(out, keys[i], disk->columns[i]);
	sink_object_end(out);
	sink_object_end(out);
}

static void emit_diskstats(struct sink *out, const char *key, const void *arg)
{
	const struct procfs_buffer *buffer = arg;
	struct scan text = scan_text(buffer->text, buffer->len), line;
	struct qga_diskstats disk;

	sink_array_begin(out, key);
	while (scan_line(&text, &line))
		if (qga_diskstats_parse(line, &disk) == 0)
			emit_stats(out, &disk);
	sink_array_end(out);
}

static void run_get_diskstats(struct qga_call *call)
{
	struct procfs_buffer buffer = { .max = 1u << 20 };
	struct procfs_file file = PROCFS_FILE;
	int r = procfs_read(&file, call->env->proc_fd, "diskstats", &buffer);

	procfs_close(&file);
	if (r < 0)
		qga_fail(call, "/proc/diskstats: %s", strerror(-r));
	else
		qga_return(call, emit_diskstats, &buffer);
	procfs_buffer_free(&buffer);
}

const struct qga_command qga_command_get_disks = { .name = "guest-get-disks", .run = run_get_disks };
const struct qga_command qga_command_get_diskstats = { .name = "guest-get-diskstats", .run = run_get_diskstats };
