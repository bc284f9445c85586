/* SPDX-License-Identifier: MIT */
/*
 * data.cgroup: the busiest units, slices and containers, by their control groups
 * (Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/). Processor, memory and I/O are read of every group, to rank
 * them; the rest of those that are listed. In version 1 a group has what the controllers know of its path.
 */
#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/collector.h>

#include "attr.h"
#include "pressure.h"
#include "procfs.h"
#include "rate.h"
#include "table.h"

/* Groups that are looked at, how deep, and the longest path; what is beyond is counted as left out. */
#define GROUPS_MAX 512
#define DEPTH_MAX  8
#define PATH_LEN   224

/* What of a group is null because of an error; the first of them is the reason. */
struct group {
	uint64_t id; /* inode number of its directory, which no later group has */
	char path[PATH_LEN];
	struct cgroup_owner owner;
	bool seen, listed;
	int error;
	uint64_t throttled_us, memory, memory_max, oom_kills, tasks;
	struct rate cpu, read, write; /* microseconds; bytes */
	double pressure_percent[3];   /* cpu, memory, io; negative: not known */
};

/* The hierarchies, relative to /sys. Of version 2 all are the same. */
struct mounts {
	const char *mode; /* "v2", "hybrid", "v1"; NULL: there is none */
	const char *walked, *cpu, *memory, *io, *pids;
	bool v2;
};

struct cgroups {
	struct mounts mounts;
	struct group *groups;
	unsigned count, size, hint;
	uint64_t unread; /* groups beyond the bounds, in this scan */
	struct rate_clock clock;
	struct rate_interval interval;
	bool scanning, detailing;
	DIR *dirs[DEPTH_MAX];
	size_t lens[DEPTH_MAX]; /* of the path of each */
	unsigned depth;
	char path[PATH_LEN];
	unsigned at; /* of the details */
	struct procfs_buffer text;
};

/* ---------------------------------------------------------------------------------------------------------- state */

static int cgroup_open(const struct collect_ctx *ctx, void **ret_state)
{
	struct cgroups *cgroups = calloc(1, sizeof(*cgroups));

	(void)ctx;
	if (!cgroups)
		return -ENOMEM;
	cgroups->text.max = 64U << 10;
	*ret_state = cgroups;
	return 0;
}

static void walk_end(struct cgroups *cgroups)
{
	while (cgroups->depth > 0)
		closedir(cgroups->dirs[--cgroups->depth]);
	cgroups->scanning = false;
}

static void cgroup_close(void *state)
{
	struct cgroups *cgroups = state;

	if (!cgroups)
		return;
	walk_end(cgroups);
	procfs_buffer_free(&cgroups->text);
	free(cgroups->groups);
	free(cgroups);
}

static bool is_there(const struct collect_ctx *ctx, const char *path)
{
	struct stat st;

	return fstatat(ctx->sys_fd, path, &st, 0) == 0;
}

/* systemd mounts one of three ways: all of version 2, all of version 1, or version 2 beside it without controllers. */
static struct mounts mounts_find(const struct collect_ctx *ctx)
{
	struct mounts v1 = { .mode = "v1",
			     .cpu = "fs/cgroup/cpuacct",
			     .memory = "fs/cgroup/memory",
			     .io = "fs/cgroup/blkio",
			     .pids = "fs/cgroup/pids" };

	if (is_there(ctx, "fs/cgroup/cgroup.controllers"))
		return (struct mounts){ "v2", "fs/cgroup", "fs/cgroup", "fs/cgroup", "fs/cgroup", "fs/cgroup", true };
	if (is_there(ctx, "fs/cgroup/unified/cgroup.controllers"))
		v1.mode = "hybrid";
	v1.walked = is_there(ctx, "fs/cgroup/systemd") ? "fs/cgroup/systemd"
		    : is_there(ctx, v1.memory)	       ? v1.memory
		    : is_there(ctx, v1.cpu)	       ? v1.cpu
						       : NULL;
	return v1.walked ? v1 : (struct mounts){ .mode = NULL };
}

/* The group of this inode, made if there is none; NULL: there are too many, or there is no memory. */
static struct group *group_find(struct cgroups *cgroups, uint64_t id)
{
	struct group *group;

	/* Mostly they come in the order of the last scan. */
	for (unsigned i = 0; i < cgroups->count; i++) {
		unsigned at = (cgroups->hint + i) % cgroups->count;

		if (cgroups->groups[at].id == id) {
			cgroups->hint = at + 1;
			return &cgroups->groups[at];
		}
	}
	if (cgroups->count == GROUPS_MAX)
		return NULL;
	if (cgroups->count == cgroups->size) {
		unsigned size = cgroups->size ? 2 * cgroups->size : 32;
		struct group *groups = reallocarray(cgroups->groups, size, sizeof(*groups));

		if (!groups)
			return NULL;
		cgroups->groups = groups;
		cgroups->size = size;
	}
	group = &cgroups->groups[cgroups->count++];
	*group = (struct group){ .id = id };
	return group;
}

/* ---------------------------------------------------------------------------------------------------- collecting */

/* Reads FILE of a group below a hierarchy. 0 or -errno. */
static int file_read(struct cgroups *cgroups, const struct collect_ctx *ctx, const char *mount, const char *path,
		     const char *name)
{
	_cleanup_(procfs_close) struct procfs_file file = PROCFS_FILE_SINGLE;
	char full[PATH_LEN + 96];

	snprintf(full, sizeof(full), "%s%s/%s", mount, path, name);
	return procfs_read(&file, ctx->sys_fd, full, &cgroups->text);
}

static void failed(struct group *group, int error)
{
	if (error < 0 && group->error == 0)
		group->error = error;
}

/* The whole of a file as a number; "max" and the bound of version 1, which is almost 2^63, are none. */
static uint64_t number_read(struct cgroups *cgroups, const struct collect_ctx *ctx, struct group *group,
			    const char *mount, const char *name)
{
	int r = file_read(cgroups, ctx, mount, group->path, name);
	struct scan rest = scan_text(cgroups->text.text, r < 0 ? 0 : cgroups->text.len), line;
	uint64_t value;

	if (r == 0 && scan_line(&rest, &line)) {
		if (scan_equals(&line, "max"))
			return CGROUP_ABSENT;
		if (scan_u64(&line, &value))
			return value;
	}
	failed(group, r < 0 ? r : -EBADMSG);
	return CGROUP_ABSENT;
}

static void counter_take(struct rate *rate, struct rate_interval interval, int error, uint64_t counter)
{
	if (error < 0)
		rate_miss(rate);
	else if (interval.first || interval.seconds > 0)
		rate_update(rate, interval, counter);
}

static void cpu_read(struct cgroups *cgroups, const struct collect_ctx *ctx, struct group *group)
{
	const struct mounts *mounts = &cgroups->mounts;
	struct cgroup_cpu cpu = { .throttled_us = CGROUP_ABSENT };
	int r;

	if (mounts->v2) {
		r = file_read(cgroups, ctx, mounts->cpu, group->path, "cpu.stat");
		if (r == 0)
			r = cgroup_cpu_parse(cgroups->text.text, cgroups->text.len, &cpu);
	} else {
		uint64_t ns = number_read(cgroups, ctx, group, mounts->cpu, "cpuacct.usage");

		r = ns == CGROUP_ABSENT ? -ENOENT : 0;
		cpu.usage_us = ns / 1000;
	}
	failed(group, r < 0 ? r : cpu.throttled_us == CGROUP_ABSENT ? -ENOENT : 0);
	group->throttled_us = cpu.throttled_us;
	counter_take(&group->cpu, cgroups->interval, r, cpu.usage_us);
}

static void io_read(struct cgroups *cgroups, const struct collect_ctx *ctx, struct group *group)
{
	const struct mounts *mounts = &cgroups->mounts;
	struct cgroup_io io = { 0 };
	int r = file_read(cgroups, ctx, mounts->io, group->path,
			  mounts->v2 ? "io.stat" : "blkio.throttle.io_service_bytes_recursive");

	if (r == -ENOENT && !mounts->v2) /* before Linux 5.0 without groups below */
		r = file_read(cgroups, ctx, mounts->io, group->path, "blkio.throttle.io_service_bytes");
	if (r == 0)
		r = (mounts->v2 ? cgroup_io_parse : cgroup_blkio_parse)(cgroups->text.text, cgroups->text.len, &io);
	failed(group, r);
	counter_take(&group->read, cgroups->interval, r, io.read_bytes);
	counter_take(&group->write, cgroups->interval, r, io.write_bytes);
}

static void group_read(struct cgroups *cgroups, const struct collect_ctx *ctx, struct group *group)
{
	group->error = 0;
	cpu_read(cgroups, ctx, group);
	group->memory = number_read(cgroups, ctx, group, cgroups->mounts.memory,
				    cgroups->mounts.v2 ? "memory.current" : "memory.usage_in_bytes");
	io_read(cgroups, ctx, group);
}

static void pressure_read(struct cgroups *cgroups, const struct collect_ctx *ctx, struct group *group)
{
	static const char *const names[] = { "cpu.pressure", "memory.pressure", "io.pressure" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct pressure pressure = { .some = { .known = false } };
		int r = cgroups->mounts.v2 ? file_read(cgroups, ctx, "fs/cgroup", group->path, names[i]) : -ENOENT;

		if (r == 0)
			r = pressure_parse(cgroups->text.text, cgroups->text.len, &pressure);
		if (r == 0 && !pressure.some.known)
			r = -EBADMSG;
		failed(group, r);
		group->pressure_percent[i] = r < 0 ? -1 : pressure.some.avg60_percent;
	}
}

/* What only those have that are listed. */
static void details_read(struct cgroups *cgroups, const struct collect_ctx *ctx, struct group *group)
{
	const struct mounts *mounts = &cgroups->mounts;
	int r;

	group->memory_max =
		number_read(cgroups, ctx, group, mounts->memory, mounts->v2 ? "memory.max" : "memory.limit_in_bytes");
	if (group->memory_max > INT64_MAX / 2)
		group->memory_max = CGROUP_ABSENT;
	r = file_read(cgroups, ctx, mounts->memory, group->path, mounts->v2 ? "memory.events" : "memory.oom_control");
	group->oom_kills = r < 0 ? CGROUP_ABSENT : cgroup_key_parse(cgroups->text.text, cgroups->text.len, "oom_kill");
	failed(group, r < 0 ? r : group->oom_kills == CGROUP_ABSENT ? -ENOENT : 0);
	group->tasks = number_read(cgroups, ctx, group, mounts->pids, "pids.current");
	pressure_read(cgroups, ctx, group);
}

/* ------------------------------------------------------------------------------------------------------- the walk */

static bool walk_enter(struct cgroups *cgroups, int fd, size_t len)
{
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		close_fd(&fd);
		return false;
	}
	cgroups->dirs[cgroups->depth] = dir;
	cgroups->lens[cgroups->depth++] = len;
	return true;
}

static int walk_begin(struct cgroups *cgroups, const struct collect_ctx *ctx)
{
	int fd = openat(ctx->sys_fd, cgroups->mounts.walked, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (!walk_enter(cgroups, fd, 0))
		return -ENOMEM;
	for (unsigned i = 0; i < cgroups->count; i++)
		cgroups->groups[i].seen = false;
	cgroups->hint = 0;
	cgroups->unread = 0;
	cgroups->scanning = true;
	return 0;
}

static void directory_take(struct cgroups *cgroups, const struct collect_ctx *ctx, const struct dirent *entry)
{
	size_t len = cgroups->lens[cgroups->depth - 1], name_len = strlen(entry->d_name);
	struct group *group;

	if (len + 1 + name_len >= sizeof(cgroups->path)) {
		cgroups->unread++;
		return;
	}
	cgroups->path[len] = '/';
	memcpy(cgroups->path + len + 1, entry->d_name, name_len + 1);
	group = group_find(cgroups, entry->d_ino);
	if (group) {
		/* The same text, mostly: a group may be moved, never by systemd. */
		if (strcmp(group->path, cgroups->path) != 0) {
			memcpy(group->path, cgroups->path, len + 1 + name_len + 1);
			cgroup_owner_get(group->path, &group->owner);
		}
		group->seen = true;
		group_read(cgroups, ctx, group);
	} else {
		cgroups->unread++;
	}
	if (!cgroup_is_parent(entry->d_name))
		return;
	if (cgroups->depth < DEPTH_MAX)
		walk_enter(cgroups,
			   openat(dirfd(cgroups->dirs[cgroups->depth - 1]), entry->d_name,
				  O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW),
			   len + 1 + name_len);
}

/* Reads up to `items` groups (0: all). True when there are more. */
static bool walk_on(struct cgroups *cgroups, const struct collect_ctx *ctx, unsigned items)
{
	unsigned taken = 0;

	while (cgroups->depth > 0) {
		const struct dirent *entry = readdir(cgroups->dirs[cgroups->depth - 1]);

		if (!entry) {
			closedir(cgroups->dirs[--cgroups->depth]);
			continue;
		}
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		directory_take(cgroups, ctx, entry);
		if (++taken == items)
			return true;
	}
	cgroups->scanning = false;
	return false;
}

/* Removes the groups that are gone. */
static void groups_forget(struct cgroups *cgroups)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < cgroups->count; i++)
		if (cgroups->groups[i].seen)
			cgroups->groups[kept++] = cgroups->groups[i];
	cgroups->count = kept;
}

/* -------------------------------------------------------------------------------------------------------- the ranks */

enum rank { RANK_CPU, RANK_MEMORY, RANK_IO };

/* 0 where it is not known; then nothing is ranked by it. */
static double rank_of(const struct group *group, enum rank rank)
{
	switch (rank) {
	case RANK_CPU:
		return rate_known(&group->cpu) ? group->cpu.per_second : 0;
	case RANK_MEMORY:
		return group->memory == CGROUP_ABSENT ? 0 : (double)group->memory;
	default:
		return (rate_known(&group->read) ? group->read.per_second : 0) +
		       (rate_known(&group->write) ? group->write.per_second : 0);
	}
}

/* Lists up to `count` more of the slices, or of all others, by a rank. Returns how many. */
static unsigned list_by(struct cgroups *cgroups, enum rank rank, bool slices, unsigned count)
{
	for (unsigned n = 0; n < count; n++) {
		struct group *best = NULL;

		for (unsigned i = 0; i < cgroups->count; i++) {
			struct group *group = &cgroups->groups[i];

			if (group->listed || (group->owner.kind == CGROUP_SLICE) != slices ||
			    rank_of(group, rank) <= (best ? rank_of(best, rank) : 0))
				continue;
			best = group;
		}
		if (!best)
			return n;
		best->listed = true;
	}
	return count;
}

/* A quarter are slices; of the rest half by CPU, a quarter by I/O, and by memory what is left. */
static void groups_choose(struct cgroups *cgroups, unsigned most)
{
	unsigned left = most, n;

	for (unsigned i = 0; i < cgroups->count; i++)
		cgroups->groups[i].listed = false;
	left -= list_by(cgroups, RANK_CPU, true, most / 4);
	n = left;
	left -= list_by(cgroups, RANK_CPU, false, n / 2);
	left -= list_by(cgroups, RANK_IO, false, n / 4);
	left -= list_by(cgroups, RANK_MEMORY, false, left);
	left -= list_by(cgroups, RANK_CPU, false, left);
	list_by(cgroups, RANK_MEMORY, true, left);
}

/* The same of the details of those that are listed. */
static bool details_on(struct cgroups *cgroups, const struct collect_ctx *ctx)
{
	unsigned taken = 0;

	for (; cgroups->at < cgroups->count; cgroups->at++) {
		if (!cgroups->groups[cgroups->at].listed)
			continue;
		if (ctx->slice > 0 && taken++ == ctx->slice)
			return true;
		details_read(cgroups, ctx, &cgroups->groups[cgroups->at]);
	}
	cgroups->detailing = false;
	return false;
}

static int cgroup_collect(void *state, const struct collect_ctx *ctx)
{
	struct cgroups *cgroups = state;
	int r;

	if (!cgroups->scanning && !cgroups->detailing) {
		cgroups->mounts = mounts_find(ctx);
		if (!cgroups->mounts.mode) {
			cgroups->count = 0;
			return 0;
		}
		r = walk_begin(cgroups, ctx);
		if (r < 0)
			return r;
		cgroups->interval = rate_clock_next(&cgroups->clock, &ctx->now, ctx->gap);
	}
	if (cgroups->scanning) {
		if (walk_on(cgroups, ctx, ctx->slice))
			return COLLECT_MORE;
		groups_forget(cgroups);
		groups_choose(cgroups, ctx->limits.cgroups_top);
		cgroups->at = 0;
		cgroups->detailing = true;
		if (ctx->slice > 0)
			return COLLECT_MORE;
	}
	return details_on(cgroups, ctx) ? COLLECT_MORE : 0;
}

/* ------------------------------------------------------------------------------------------------------- writing */

static void kb_emit(struct sink *out, const char *key, uint64_t bytes)
{
	attr_emit(out, key, bytes == CGROUP_ABSENT ? ATTR_ABSENT : bytes / 1024);
}

static void counter_emit(struct sink *out, const char *key, const struct rate *rate)
{
	attr_emit(out, key, rate->started ? rate->counter : ATTR_ABSENT);
}

static void per_second_emit(struct sink *out, const char *key, const struct rate *rate, double scale)
{
	if (rate_known(rate))
		sink_real(out, key, rate->per_second * scale, 2);
	else
		sink_null(out, key);
}

/* The worst state of the rates whose counters are known. */
static enum rate_state state_of(const struct group *group)
{
	const struct rate *const rates[] = { &group->cpu, &group->read, &group->write };
	enum rate_state worst = RATE_OK;

	for (size_t i = 0; i < ARRAY_SIZE(rates); i++)
		if (rates[i]->started)
			worst = rate_state_worse(worst, rates[i]->state);
	return worst;
}

static void group_emit(struct sink *out, const struct group *group)
{
	static const char *const resources[] = { "cpu", "memory", "io" };

	sink_object_begin(out, NULL);
	sink_text(out, "path", group->path, strlen(group->path), PATH_LEN);
	sink_str(out, "kind", cgroup_kind_name(group->owner.kind));
	if (group->owner.kind == CGROUP_CONTAINER) {
		sink_str(out, "runtime", group->owner.runtime);
		sink_str(out, "container_id", group->owner.id);
	}
	counter_emit(out, "cpu_us", &group->cpu);
	per_second_emit(out, "cpu_percent", &group->cpu, 1e-4);
	attr_emit(out, "throttled_us", group->throttled_us);
	kb_emit(out, "memory_kb", group->memory);
	kb_emit(out, "memory_max_kb", group->memory_max);
	attr_emit(out, "oom_kills", group->oom_kills);
	counter_emit(out, "read_bytes", &group->read);
	per_second_emit(out, "read_bytes_per_sec", &group->read, 1);
	counter_emit(out, "write_bytes", &group->write);
	per_second_emit(out, "write_bytes_per_sec", &group->write, 1);
	attr_emit(out, "tasks", group->tasks);
	sink_object_begin(out, "pressure");
	for (size_t i = 0; i < ARRAY_SIZE(resources); i++) {
		if (group->pressure_percent[i] < 0)
			sink_null(out, resources[i]);
		else
			sink_real(out, resources[i], group->pressure_percent[i], 2);
	}
	sink_object_end(out);
	sink_str(out, "state", rate_state_name(state_of(group)));
	if (group->error < 0)
		sink_str(out, "reason", attr_reason(group->error));
	sink_object_end(out);
}

static void cgroup_emit(const void *state, struct sink *out)
{
	const struct cgroups *cgroups = state;
	uint64_t total = cgroups->count + cgroups->unread, listed = 0;

	sink_str(out, "cgroup_mode", cgroups->mounts.mode);
	sink_array_begin(out, "cgroup");
	for (unsigned i = 0; i < cgroups->count; i++) {
		struct sink_mark mark = sink_mark(out);

		if (!cgroups->groups[i].listed)
			continue;
		group_emit(out, &cgroups->groups[i]);
		if (sink_full(out)) {
			sink_rewind(out, mark);
			break;
		}
		listed++;
	}
	sink_array_end(out);
	if (!cgroups->mounts.mode)
		sink_str(out, "cgroup_reason", "unsupported");
	if (total > listed) {
		sink_uint(out, "cgroup_left_out", total - listed);
		sink_str(out, "cgroup_rank", "cpu_percent, memory_kb, read_bytes_per_sec + write_bytes_per_sec");
	}
}

const struct collector collector_cgroup = {
	.name = "cgroup",
	.path = "",
	.period_s = 30,
	.open = cgroup_open,
	.close = cgroup_close,
	.collect = cgroup_collect,
	.emit = cgroup_emit,
};
