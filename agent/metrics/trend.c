/* SPDX-License-Identifier: MIT */
/* Sums over the metric log; see trend.h. */
#include "agent/metrics/trend.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

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

static void add_system(struct trend *trend, struct json_object *system, int64_t wall_ms)
{
	struct json_object *cpu = member(system, "cpu"), *cores = member(cpu, "cores_usage");
	struct json_object *disks = member(member(system, "disk"), "usage_stats");

	share_add(&trend->cpu, number(cpu, "usage_percent"));
	if (json_object_is_type(cores, json_type_array))
		trend->cores = (uint32_t)json_object_array_length(cores);
	add_memory(trend, member(system, "memory"));
	for (size_t i = 0; json_object_is_type(disks, json_type_array) && i < json_object_array_length(disks); i++)
		add_mount(trend, json_object_array_get_idx(disks, i), wall_ms);
}

bool trend_add(struct trend *trend, const char *line, size_t len, int64_t wall_ms)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *root = tokener && len < INT32_MAX ? json_tokener_parse_ex(tokener, line, (int)len) : NULL;
	struct json_object *system = member(member(root, "data"), "system");
	bool good = system != NULL;

	if (good) {
		add_system(trend, system, wall_ms);
		if (trend->samples++ == 0)
			trend->first_ms = wall_ms;
		trend->last_ms = wall_ms;
	}
	json_object_put(root);
	if (tokener)
		json_tokener_free(tokener);
	return good;
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
