/* SPDX-License-Identifier: MIT */
#include "tell.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <infiniservice/moment.h>

#include "tools/hub/metrics.h"

#define FILESYSTEMS_MAX 64
#define LABEL_SIZE	512

void tell_text(struct json_object *object, const char *key, const char *text)
{
	json_object_object_add(object, key, text ? json_object_new_string(text) : NULL);
}

void tell_number(struct json_object *object, const char *key, double value)
{
	char text[32];

	snprintf(text, sizeof(text), "%.15g", value);
	json_object_object_add(object, key, isfinite(value) ? json_object_new_double_s(value, text) : NULL);
}

bool tell_label(const char *labels, size_t len, const char *name, char *out, size_t size)
{
	const char *at = labels, *end = labels + len;
	size_t wanted = strlen(name);

	*out = '\0';
	while (at < end) {
		const char *equals = memchr(at, '=', (size_t)(end - at));
		bool found;
		size_t n = 0;

		if (!equals || end - equals < 2)
			return false;
		found = (size_t)(equals - at) == wanted && !memcmp(at, name, wanted);
		for (at = equals + 2; at < end && *at != '"'; at++) {
			at += *at == '\\' && at + 1 < end;
			if (found && n + 1 < size)
				out[n++] = *at;
		}
		if (found) {
			out[n] = '\0';
			return true;
		}
		at += 2; /* the quotation mark and the comma */
	}
	return false;
}

/* -------------------------------------------------------------------------------------------------------- series */

/* Of a sample the series of one metric, which stand together: [at, end). None where it is not known. */
struct range {
	const struct series *at, *end;
};

static struct range series_of(const struct series_set *set, const char *metric)
{
	size_t first = 0, last;

	while (first < metrics_count && strcmp(metrics[first].name, metric) != 0)
		first++;
	for (last = first; last < metrics_count && !strcmp(metrics[last].name, metric); last++)
		;
	if (!set)
		return (struct range){ NULL, NULL };
	return (struct range){ set->series + series_find(set, first), set->series + series_find(set, last) };
}

static bool has_labels(const struct series_set *set, const struct series *series, const char *labels, size_t len)
{
	return series->labels != SERIES_NO_LABELS && series->labels_len == len &&
	       !memcmp(set->text + series->labels, labels, len);
}

/* The value of the first series of this metric, with these labels (NULL: any). NAN: not known. */
static double value_of(const struct series_set *set, const char *metric, const char *labels)
{
	struct range range = series_of(set, metric);

	for (; range.at < range.end; range.at++)
		if (!labels || has_labels(set, range.at, labels, strlen(labels)))
			return range.at->value;
	return NAN;
}

/* --------------------------------------------------------------------------------------------------- file systems */

struct filesystem {
	const struct series *size;
	double available, used;
};

static double beside(const struct series_set *set, const struct series *from, struct range range)
{
	for (; range.at < range.end; range.at++)
		if (has_labels(set, range.at, set->text + from->labels, from->labels_len))
			return range.at->value;
	return NAN;
}

/* Calls `each` for the file systems of a sample. */
static void each_filesystem(const struct series_set *set, void (*each)(void *arg, const struct filesystem *filesystem),
			    void *arg)
{
	struct range sizes = series_of(set, "node_filesystem_size_bytes"),
		     available = series_of(set, "node_filesystem_avail_bytes"),
		     unused = series_of(set, "node_filesystem_free_bytes");

	for (; sizes.at < sizes.end; sizes.at++)
		if (sizes.at->labels != SERIES_NO_LABELS)
			each(arg, &(struct filesystem){ .size = sizes.at,
							.available = beside(set, sizes.at, available),
							.used = sizes.at->value - beside(set, sizes.at, unused) });
}

/* As df counts it: of what an ordinary user could have. */
static double used_percent(const struct filesystem *filesystem)
{
	double all = filesystem->used + filesystem->available;

	return all > 0 ? 100 * filesystem->used / all : NAN;
}

static void keep_fullest(void *arg, const struct filesystem *filesystem)
{
	double *most = arg;

	*most = fmax(*most, used_percent(filesystem));
}

static double fullest_percent(const struct series_set *set)
{
	double most = NAN;

	each_filesystem(set, keep_fullest, &most);
	return most;
}

struct filesystem_list {
	const struct series_set *set;
	struct json_object *list;
};

static void add_filesystem(void *arg, const struct filesystem *filesystem)
{
	const struct filesystem_list *to = arg;
	const char *labels = to->set->text + filesystem->size->labels;
	struct json_object *item;
	char text[LABEL_SIZE];

	if (json_object_array_length(to->list) == FILESYSTEMS_MAX)
		return;
	item = json_object_new_object();
	tell_label(labels, filesystem->size->labels_len, "mountpoint", text, sizeof(text));
	tell_text(item, "mount_point", text);
	tell_label(labels, filesystem->size->labels_len, "fstype", text, sizeof(text));
	tell_text(item, "type", text);
	tell_number(item, "size_bytes", filesystem->size->value);
	tell_number(item, "available_bytes", filesystem->available);
	tell_number(item, "used_percent", used_percent(filesystem));
	json_object_array_add(to->list, item);
}

static struct json_object *filesystems(const struct series_set *set)
{
	struct filesystem_list to = { set, json_object_new_array() };

	each_filesystem(set, add_filesystem, &to);
	return to.list;
}

/* --------------------------------------------------------------------------------------------------------- VMs */

static double memory_percent(const struct vm *vm)
{
	double total = value_of(vm->live, "node_memory_MemTotal_bytes", NULL),
	       available = value_of(vm->live, "node_memory_MemAvailable_bytes", NULL);

	return total > 0 ? 100 * (1 - available / total) : NAN;
}

struct json_object *tell_row(const struct vm *vm, uint64_t now_ns)
{
	struct json_object *row = json_object_new_object();

	tell_text(row, "vm", vm->name);
	tell_text(row, "uuid", *vm->uuid ? vm->uuid : NULL);
	tell_text(row, "state", vm_state(vm));
	tell_text(row, "reason", *vm->fault ? vm->fault : *vm->channel.reason ? vm->channel.reason : NULL);
	tell_number(row, "age_s", vm->sample_ns ? (double)(now_ns - vm->sample_ns) / (double)NS_PER_S : NAN);
	tell_number(row, "cpu_percent", 100 * value_of(vm->live, "infiniservice_cpu_usage_ratio", NULL));
	tell_number(row, "steal_percent", 100 * value_of(vm->live, "infiniservice_cpu_ratio", "mode=\"steal\""));
	tell_number(row, "memory_percent", memory_percent(vm));
	tell_number(row, "disk_percent", fullest_percent(vm->live));
	tell_number(row, "pressure_percent", vm->live ? vm->pressure_percent : NAN);
	tell_number(row, "load", value_of(vm->live, "node_load1", NULL));
	tell_number(row, "alerts", vm->greeted ? (double)vm->recent.alerts_len : NAN);
	return row;
}

static void tell_os(struct json_object *told, const struct vm *vm)
{
	struct range range = series_of(vm->live, "node_os_info");
	char name[LABEL_SIZE] = "", version[LABEL_SIZE] = "", text[2 * LABEL_SIZE];

	if (range.at < range.end) {
		const char *labels = vm->live->text + range.at->labels;

		tell_label(labels, range.at->labels_len, "name", name, sizeof(name));
		tell_label(labels, range.at->labels_len, "version_id", version, sizeof(version));
	}
	snprintf(text, sizeof(text), "%s%s%s", name, *name && *version ? " " : "", version);
	tell_text(told, "os", *text ? text : NULL);
}

struct json_object *tell_vm(const struct vm *vm, uint64_t now_ns)
{
	struct json_object *told = tell_row(vm, now_ns);

	tell_text(told, "version", *vm->version ? vm->version : NULL);
	tell_os(told, vm);
	json_object_object_add(told, "signed", json_object_new_boolean(vm->secret != NULL));
	tell_number(told, "interval_s", (double)pace_interval_ns(&vm->pace) / (double)NS_PER_S);
	tell_number(told, "clock_offset_s", vm->clock_known ? (double)vm->clock_offset_ms / 1000 : NAN);
	tell_number(told, "sessions", (double)vm->sessions);
	tell_number(told, "samples", (double)vm->samples);
	tell_number(told, "lost", (double)vm->lost);
	tell_number(told, "cpus", value_of(vm->live, "infiniservice_cpus", NULL));
	tell_number(told, "memory_total_bytes", value_of(vm->live, "node_memory_MemTotal_bytes", NULL));
	tell_number(told, "memory_available_bytes", value_of(vm->live, "node_memory_MemAvailable_bytes", NULL));
	tell_number(told, "uptime_s", value_of(vm->live, "infiniservice_uptime_seconds", NULL));
	json_object_object_add(told, "filesystems", filesystems(vm->live));
	json_object_object_add(told, "alerts_on", recent_alerts(&vm->recent));
	json_object_object_add(told, "events", recent_events(&vm->recent));
	json_object_object_add(told, "commands", recent_commands(&vm->recent));
	return told;
}
