/* SPDX-License-Identifier: MIT */
/* Processors and memory: get-vcpus, get-cpustats, get-memory-blocks, get-memory-block-info. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/qga/table.h"
#include "agent/qga/texts.h"
#include "collectors/procfs.h"

/* Blocks and processors listed, at most: a machine of 32 TiB with blocks of 128 MiB would have 262,144. */
#define UNITS_MAX 16384

#define CPU_DIR	   "devices/system/cpu"
#define MEMORY_DIR "devices/system/memory"

struct unit {
	uint64_t number;
	bool online, can_offline;
};

struct units {
	struct unit *rows;
	size_t count, size;
	const char *number_key;
};

static int by_number(const void *a, const void *b)
{
	const struct unit *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static void emit_units(struct sink *out, const char *key, const void *arg)
{
	const struct units *units = arg;

	sink_array_begin(out, key);
	for (size_t i = 0; i < units->count; i++) {
		sink_object_begin(out, NULL);
		sink_uint(out, units->number_key, units->rows[i].number);
		sink_bool(out, "online", units->rows[i].online);
		sink_bool(out, "can-offline", units->rows[i].can_offline);
		sink_object_end(out);
	}
	sink_array_end(out);
}

static bool units_add(struct units *units, const struct unit *unit)
{
	if (units->count == units->size) {
		size_t size = units->size ? 2 * units->size : 64;
		struct unit *rows = reallocarray(units->rows, size, sizeof(*rows));

		if (!rows)
			return false;
		units->rows = rows;
		units->size = size;
	}
	units->rows[units->count++] = *unit;
	return true;
}

/* A processor without the file cannot be taken off: the first one, as a rule. */
static void look_at_cpu(int dir_fd, const char *name, struct unit *unit)
{
	char path[64];
	uint64_t online;

	snprintf(path, sizeof(path), "%.40s/online", name);
	unit->can_offline = qga_read_number(dir_fd, path, 10, &online);
	unit->online = !unit->can_offline || online != 0;
}

/* Since Linux 5.3 the file "removable" says 1 for all blocks; before, whether the block can be taken off. */
static void look_at_block(int dir_fd, const char *name, struct unit *unit)
{
	char path[64], state[32];
	uint64_t removable;

	snprintf(path, sizeof(path), "%.40s/state", name);
	unit->online = qga_read(dir_fd, path, state, sizeof(state)) > 0 && strncmp(state, "online", 6) == 0;
	snprintf(path, sizeof(path), "%.40s/removable", name);
	unit->can_offline = qga_read_number(dir_fd, path, 10, &removable) && removable != 0;
}

/* Lists the folders PREFIXn of the directory. 0 or -errno. */
static int units_read(struct units *units, int sys_fd, const char *path, const char *prefix,
		      void (*look)(int dir_fd, const char *name, struct unit *unit))
{
	int fd = openat(sys_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int r = 0;

	if (!dir) {
		r = -errno;
		closep(&fd);
		return r;
	}
	while (r == 0 && units->count < UNITS_MAX && (entry = readdir(dir))) {
		struct scan name = scan_text(entry->d_name, strlen(entry->d_name));
		struct unit unit;

		if (!scan_key(&name, prefix) || !scan_u64(&name, &unit.number))
			continue;
		look(dirfd(dir), entry->d_name, &unit);
		if (!units_add(units, &unit))
			r = -ENOMEM;
	}
	closedir(dir);
	if (units->count)
		qsort(units->rows, units->count, sizeof(*units->rows), by_number);
	return r;
}

static void run_units(struct qga_call *call, const char *number_key, const char *path, const char *prefix,
		      void (*look)(int dir_fd, const char *name, struct unit *unit))
{
	struct units units = { .number_key = number_key };
	int r = units_read(&units, call->env->sys_fd, path, prefix, look);

	if (r < 0)
		qga_fail(call, "/sys/%s: %s", path, strerror(-r));
	else
		qga_return(call, emit_units, &units);
	free(units.rows);
}

static void run_get_vcpus(struct qga_call *call)
{
	run_units(call, "logical-id", CPU_DIR, "cpu", look_at_cpu);
}

static void run_get_memory_blocks(struct qga_call *call)
{
	run_units(call, "phys-index", MEMORY_DIR, "memory", look_at_block);
}

static void emit_block_info(struct sink *out, const char *key, const void *arg)
{
	sink_object_begin(out, key);
	sink_uint(out, "size", *(const uint64_t *)arg);
	sink_object_end(out);
}

static void run_get_memory_block_info(struct qga_call *call)
{
	uint64_t size;

	if (!qga_read_number(call->env->sys_fd, MEMORY_DIR "/block_size_bytes", 16, &size))
		qga_fail(call, "/sys/" MEMORY_DIR "/block_size_bytes cannot be read: this guest has no memory blocks");
	else
		qga_return(call, emit_block_info, &size);
}

/* The times are milliseconds; those that a kernel does not count are left out. */
static void emit_cpustats(struct sink *out, const char *key, const void *arg)
{
	static const char *const keys[QGA_CPU_TIMES] = { "user", "nice",    "system", "idle",  "iowait",
							 "irq",	 "softirq", "steal",  "guest", "guestnice" };
	const struct procfs_buffer *buffer = arg;
	struct scan text = scan_text(buffer->text, buffer->len), line;
	uint64_t tick_ms = 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
	struct qga_cpustats cpu;

	sink_array_begin(out, key);
	while (scan_line(&text, &line)) {
		if (qga_cpustats_parse(line, &cpu) < 0)
			continue;
		sink_object_begin(out, NULL);
		sink_str(out, "type", "linux");
		sink_uint(out, "cpu", cpu.cpu);
		for (unsigned i = 0; i < cpu.count; i++)
			sink_uint(out, keys[i], cpu.ticks[i] * tick_ms);
		sink_object_end(out);
	}
	sink_array_end(out);
}

static void run_get_cpustats(struct qga_call *call)
{
	struct procfs_buffer buffer = { .max = 4u << 20 };
	struct procfs_file file = PROCFS_FILE_SINGLE;
	int r = procfs_read(&file, call->env->proc_fd, "stat", &buffer);

	procfs_close(&file);
	if (r < 0)
		qga_fail(call, "/proc/stat: %s", strerror(-r));
	else
		qga_return(call, emit_cpustats, &buffer);
	procfs_buffer_free(&buffer);
}

const struct qga_command qga_command_get_vcpus = { .name = "guest-get-vcpus", .run = run_get_vcpus };
const struct qga_command qga_command_get_memory_blocks = { .name = "guest-get-memory-blocks",
							   .run = run_get_memory_blocks };
const struct qga_command qga_command_get_memory_block_info = { .name = "guest-get-memory-block-info",
							       .run = run_get_memory_block_info };
const struct qga_command qga_command_get_cpustats = { .name = "guest-get-cpustats", .run = run_get_cpustats };
