/* SPDX-License-Identifier: MIT */
/* Sums over the metric log, the helper that reads it, and the rules of advice; see trend.h. */
#include "agent/metrics/trend.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <ev.h>
#include <json-c/json.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/base/helper.h"
#include "agent/base/loop.h"
#include "agent/log/pick.h"
#include "agent/log/reader.h"
#include "collectors/filesystem.h"

static struct json_object *member(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	return json_object_is_type(object, json_type_object) && json_object_object_get_ex(object, key, &value) ? value
													       : NULL;
}

/* A finite number that is not negative, or -1. */
static double number(struct json_object *object, const char *key)
{
	struct json_object *value = member(object, key);
	double found = json_object_is_type(value, json_type_int) || json_object_is_type(value, json_type_double)
			       ? json_object_get_double(value)
			       : -1;

	return isfinite(found) && found >= 0 ? found : -1;
}

static void share_add(struct trend_share *share, double percent)
{
	if (percent < 0)
		return;
	if (percent > 100)
		percent = 100;
	share->buckets[(unsigned)percent]++;
	share->count++;
	share->sum += percent;
	if (percent > share->max)
		share->max = percent;
}

static struct trend_mount *find_mount(struct trend *trend, const char *path)
{
	struct trend_mount *mount;

	for (uint32_t i = 0; i < trend->mounts_count; i++)
		if (strcmp(trend->mounts[i].path, path) == 0)
			return &trend->mounts[i];
	if (trend->mounts_count == TREND_MOUNTS || strlen(path) >= sizeof(mount->path))
		return NULL;
	mount = &trend->mounts[trend->mounts_count++];
	*mount = (struct trend_mount){ .first_ms = -1 };
	memcpy(mount->path, path, strlen(path) + 1);
	return mount;
}

/* filesystem_is_judged() of a row as it was written: an image is full by make. */
static bool is_judged(struct json_object *row)
{
	struct json_object *type = member(row, "filesystem");
	struct filesystem_row fs = {
		.type = json_object_is_type(type, json_type_string) ? json_object_get_string(type) : "",
		.read_only = json_object_get_boolean(member(row, "read_only")),
		.total_bytes = 1,
	};

	fs.full_by_make = strncmp(fs.type, "fuse", 4) == 0 && number(row, "available_gb") == 0 &&
			  number(row, "used_gb") >= number(row, "total_gb") && number(row, "inodes_total") > 0 &&
			  number(row, "inodes_free") == 0;
	return filesystem_is_judged(&fs);
}

static void add_mount(struct trend *trend, struct json_object *row, int64_t wall_ms)
{
	struct json_object *path = member(row, "mount_point");
	double used = number(row, "used_gb"), total = number(row, "total_gb");
	struct trend_mount *mount;

	if (!json_object_is_type(path, json_type_string) || used < 0 || total <= 0 || !is_judged(row))
		return;
	mount = find_mount(trend, json_object_get_string(path));
	if (!mount)
		return;
	if (mount->first_ms < 0) {
		mount->first_ms = wall_ms;
		mount->first_used_gb = used;
	}
	mount->last_ms = wall_ms;
	mount->last_used_gb = used;
	mount->last_total_gb = total;
}

static void add_memory(struct trend *trend, struct json_object *memory)
{
	double total = number(memory, "total_kb"), used = number(memory, "used_kb");
	double swap = number(memory, "swap_total_kb"), swap_used = number(memory, "swap_used_kb");

	if (total > 0 && used >= 0) {
		trend->memory_kb = (uint64_t)total;
		share_add(&trend->memory, used * 100 / total);
	}
	trend->swap_kb = swap > 0 ? (uint64_t)swap : 0;
	if (swap > 0 && swap_used >= 0)
		share_add(&trend->swap, swap_used * 100 / swap);
}

/* Only these parts of a sample become trees: they are a small share of it. */
enum { PART_CPU, PART_MEMORY, PART_DISKS, PARTS };
static const char *const part_paths[PARTS] = { "system.cpu", "system.memory", "system.disk.usage_stats" };

struct parts {
	struct pick_text text[PARTS];
	bool any;
};

struct pick *trend_pick(void)
{
	struct pick *pick = pick_new();

	for (unsigned i = 0; pick && i < PARTS; i++)
		pick_add(pick, part_paths[i], NULL);
	return pick;
}

static void take_part(void *data, unsigned path, struct pick_text key, struct pick_text value)
{
	struct parts *parts = data;

	(void)key;
	parts->text[path] = value;
	parts->any = true;
}

static struct json_object *part_parse(struct json_tokener *tokener, const struct pick_text *text)
{
	if (!text->text || text->len >= INT32_MAX)
		return NULL;
	json_tokener_reset(tokener);
	return json_tokener_parse_ex(tokener, text->text, (int)text->len);
}

static void add_parts(struct trend *trend, struct json_object *const part[PARTS], int64_t wall_ms)
{
	struct json_object *cores = member(part[PART_CPU], "cores_usage"), *disks = part[PART_DISKS];

	share_add(&trend->cpu, number(part[PART_CPU], "usage_percent"));
	if (json_object_is_type(cores, json_type_array))
		trend->cores = (uint32_t)json_object_array_length(cores);
	add_memory(trend, part[PART_MEMORY]);
	for (size_t i = 0; json_object_is_type(disks, json_type_array) && i < json_object_array_length(disks); i++)
		add_mount(trend, json_object_array_get_idx(disks, i), wall_ms);
}

bool trend_add(struct trend *trend, const struct pick *pick, const char *line, size_t len, int64_t wall_ms)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *part[PARTS] = { NULL };
	struct parts parts = { 0 };

	if (tokener)
		pick_line(pick, line, len, take_part, &parts);
	if (parts.any) {
		for (unsigned i = 0; i < PARTS; i++)
			part[i] = part_parse(tokener, &parts.text[i]);
		add_parts(trend, part, wall_ms);
		if (trend->samples++ == 0)
			trend->first_ms = wall_ms;
		trend->last_ms = wall_ms;
	}
	for (unsigned i = 0; i < PARTS; i++)
		json_object_put(part[i]);
	if (tokener)
		json_tokener_free(tokener);
	return parts.any;
}

bool trend_enough(const struct trend *trend)
{
	return trend->samples >= TREND_ENOUGH_SAMPLES && trend->last_ms - trend->first_ms >= TREND_ENOUGH_MS;
}

double trend_share_percentile(const struct trend_share *share, double percent)
{
	double wanted = percent / 100 * (double)share->count, seen = 0;

	for (unsigned i = 0; i < 101 && share->count; i++) {
		seen += share->buckets[i];
		if (seen >= wanted)
			return i + 1 < share->max ? i + 1 : share->max;
	}
	return 0;
}

double trend_share_average(const struct trend_share *share)
{
	return share->count ? share->sum / (double)share->count : 0;
}

double trend_mount_days_left(const struct trend_mount *mount)
{
	double days = (double)(mount->last_ms - mount->first_ms) / 86400000;
	double grown = mount->last_used_gb - mount->first_used_gb;

	if (mount->last_ms - mount->first_ms < TREND_ENOUGH_MS || grown <= 0.001 * mount->last_total_gb)
		return -1;
	return (mount->last_total_gb - mount->last_used_gb) / (grown / days);
}

/*
 * ---------------------------------------------------------------------------------------------------------- advice
 * "p95" is the share that 95 % of the samples do not exceed: a rare peak buys no hardware.
 */

#define CPU_BUSY	85.0 /* percent at p95: too few cores */
#define CPU_IDLE	20.0 /* below: too many */
#define CPU_AIM		60.0 /* where p95 should be after the change */
#define MEMORY_FULL	90.0
#define MEMORY_IDLE	35.0
#define MEMORY_AIM	70.0
#define MEMORY_STEP_MB	256.0
#define MEMORY_LEAST_MB 512.0
#define DISK_FULL	90.0
#define DISK_AIM	70.0
#define DISK_DAYS	30.0

static bool advise_cpu(const struct trend *trend, struct advice *advice)
{
	double p95 = trend_share_percentile(&trend->cpu, 95), cores = trend->cores;
	double wanted = ceil(cores * p95 / CPU_AIM);

	if (wanted < 1)
		wanted = 1;
	if (trend->cpu.count == 0 || cores < 1 || (p95 < CPU_BUSY && p95 > CPU_IDLE) || wanted == cores)
		return false;
	*advice = (struct advice){ .resource = "cpu", .current = cores, .recommended = wanted, .unit = "cores" };
	advice->savings_percent = wanted < cores ? (cores - wanted) * 100 / cores : 0;
	snprintf(advice->reason, sizeof(advice->reason),
		 "CPU use was at most %.0f %% in 95 %% of the samples (average %.0f %%, peak %.0f %%)", p95,
		 trend_share_average(&trend->cpu), trend->cpu.max);
	return true;
}

static bool advise_memory(const struct trend *trend, struct advice *advice)
{
	double p95 = trend_share_percentile(&trend->memory, 95), total_mb = (double)trend->memory_kb / 1024;
	double wanted = ceil(total_mb * p95 / MEMORY_AIM / MEMORY_STEP_MB) * MEMORY_STEP_MB;
	bool full = p95 >= MEMORY_FULL, idle = p95 <= MEMORY_IDLE && trend->memory.max < MEMORY_AIM;

	if (wanted < MEMORY_LEAST_MB)
		wanted = MEMORY_LEAST_MB;
	if (trend->memory.count == 0 || (!full && !(idle && wanted < total_mb * 0.9)))
		return false;
	*advice = (struct advice){
		.resource = "memory", .current = round(total_mb), .recommended = wanted, .unit = "MB"
	};
	advice->savings_percent = wanted < total_mb ? (total_mb - wanted) * 100 / total_mb : 0;
	snprintf(advice->reason, sizeof(advice->reason),
		 "memory use was at most %.0f %% in 95 %% of the samples (average %.0f %%, peak %.0f %%)", p95,
		 trend_share_average(&trend->memory), trend->memory.max);
	return true;
}

static bool advise_disk(const struct trend_mount *mount, struct advice *advice)
{
	double used = mount->last_total_gb > 0 ? mount->last_used_gb * 100 / mount->last_total_gb : 0;
	double days = trend_mount_days_left(mount);
	bool filling = days >= 0 && days < DISK_DAYS;
	double needed = mount->last_used_gb;

	if (used < DISK_FULL && !filling)
		return false;
	if (filling)
		needed += (mount->last_total_gb - mount->last_used_gb) * DISK_DAYS / fmax(days, 1);
	*advice = (struct advice){ .current = mount->last_total_gb,
				   .recommended = ceil(needed * 100 / DISK_AIM),
				   .unit = "GB" };
	snprintf(advice->resource, sizeof(advice->resource), "disk:%s", mount->path);
	if (filling)
		snprintf(advice->reason, sizeof(advice->reason),
			 "%.0f %% used; full in %.0f days if it goes on as in this time", used, days);
	else
		snprintf(advice->reason, sizeof(advice->reason), "%.0f %% used", used);
	return true;
}

size_t advice_make(const struct trend *trend, struct advice out[ADVICE_MAX])
{
	size_t count = 0;

	if (!trend_enough(trend))
		return 0;
	count += advise_cpu(trend, &out[count]);
	count += advise_memory(trend, &out[count]);
	for (uint32_t i = 0; i < trend->mounts_count && i < TREND_MOUNTS; i++)
		count += advise_disk(&trend->mounts[i], &out[count]);
	return count;
}

/* ------------------------------------------------------------------------------------------------------ the helper */

struct trend_job {
	struct ev_loop *loop;
	ev_io io;
	ev_child child;
	int fd;
	pid_t pid; /* 0 once it has been reaped */
	void (*done)(void *data, const struct trend *trend);
	void *data;
};

/* In the helper: reads the log, sends one struct trend and ends. */
static int helper(int fd, void *data)
{
	const struct trend_request *request = data;
	uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + request->limit_ms * NS_PER_MS;
	struct trend *trend = calloc(1, sizeof(*trend));
	int64_t next_ms = INT64_MIN;
	struct pick *pick = trend_pick();
	struct reader *reader = NULL;
	struct reader_line line;

	if (!trend || !pick)
		return 1;
	trend->error = reader_open_dir(request->dir, &reader, NULL);
	if (trend->error == 0)
		reader_range(reader, request->begin_ms, request->end_ms);
	for (uint64_t lines = 0; reader && reader_next(reader, &line) > 0; lines++) {
		trend->partial = lines % 64 == 63 && clock_ns(CLOCK_MONOTONIC) >= end_ns;
		if (trend->partial)
			break;
		if (line.wall_ms < next_ms)
			continue;
		if (trend_add(trend, pick, line.text, line.len, line.wall_ms))
			next_ms = line.wall_ms + TREND_STRIDE_MS;
		else
			trend->bad_lines++;
	}
	reader_free(reader);
	pick_free(pick);
	return send(fd, trend, sizeof(*trend), MSG_NOSIGNAL) == (ssize_t)sizeof(*trend) ? 0 : 1;
}

struct trend_job *trend_cancel(struct trend_job *job)
{
	if (!job)
		return NULL;
	ev_io_stop(job->loop, &job->io);
	ev_child_stop(job->loop, &job->child);
	if (job->pid)
		kill(job->pid, SIGKILL);
	close_fd(&job->fd);
	free(job);
	return NULL;
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
	struct trend_job *job = io->data;
	void (*done)(void *data, const struct trend *trend) = job->done;
	void *data = job->data;
	struct trend *trend = calloc(1, sizeof(*trend));
	ssize_t got = trend ? recv(job->fd, trend, sizeof(*trend), MSG_DONTWAIT) : 0;

	loop_work(loop, "trend", NULL);
	(void)events;
	if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
		free(trend);
		return;
	}
	trend_cancel(job);
	done(data, got == (ssize_t)sizeof(*trend) ? trend : NULL);
	free(trend);
}

static void on_reaped(struct ev_loop *loop, ev_child *child, int events)
{
	struct trend_job *job = child->data;

	(void)events;
	ev_child_stop(loop, child);
	job->pid = 0; /* the end of its socket does the rest */
}

int trend_start(struct ev_loop *loop, const struct trend_request *request,
		void (*done)(void *data, const struct trend *trend), void *data, struct trend_job **ret)
{
	struct trend_job *job = calloc(1, sizeof(*job));
	struct trend_request copy = *request;
	int r;

	if (!job)
		return -ENOMEM;
	*job = (struct trend_job){ .loop = loop, .fd = -1, .done = done, .data = data };
	r = helper_fork("infini-trend", helper, &copy, SOCK_SEQPACKET, &job->fd, &job->pid);
	if (r < 0) {
		free(job);
		return r;
	}
	ev_io_init(&job->io, on_readable, job->fd, EV_READ);
	job->io.data = job;
	ev_io_start(loop, &job->io);
	ev_child_init(&job->child, on_reaped, job->pid, 0);
	job->child.data = job;
	ev_child_start(loop, &job->child);
	*ret = job;
	return 0;
}
