/* SPDX-License-Identifier: MIT */
#include "hour.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "tools/hub/parse.h"
#include "tools/hub/tell.h"

#define KEPT_NS	  (60 * NS_PER_S)
#define ANSWER_S  20 /* that the guest is given; it answers within it */
#define PATIENT_S 30 /* after which it is taken for silent */
#define ITEMS_MAX 256

enum hour_state { HOUR_ASKING, HOUR_TOLD, HOUR_FAILED };

struct hour {
	uint64_t vm, sessions; /* the VM's serial, and the count of its sessions when it was asked */
	uint64_t asked_ns;
	char id[VM_ID_SIZE];
	enum hour_state state;
	char reason[48];
	int64_t begin_ms, end_ms;
	size_t len;
	struct hour_point points[HOUR_POINTS_MAX];
};

static const char *const keys[HOUR_VALUES] = {
	[HOUR_CPU] = "cpu_percent",
	[HOUR_STEAL] = "steal_percent",
	[HOUR_MEMORY] = "memory_percent",
	[HOUR_DISK] = "disk_percent",
	[HOUR_PRESSURE] = "pressure_percent",
	[HOUR_RECEIVED] = "received_bytes_per_s",
	[HOUR_SENT] = "sent_bytes_per_s",
	[HOUR_READ] = "read_bytes_per_s",
	[HOUR_WRITTEN] = "written_bytes_per_s",
};

/* -------------------------------------------------------------------------------------------------- one sample */

static double number_at(struct json_object *from, const char *path)
{
	struct json_object *value = json_at(from, path);

	return json_object_is_type(value, json_type_double) || json_object_is_type(value, json_type_int)
		       ? json_object_get_double(value)
		       : NAN;
}

/* Of all interfaces together, as far as it is known; NAN: of none. */
static double sum_of_interfaces(struct json_object *data, const char *path)
{
	struct json_object *list = json_at(data, "system.network.interfaces");
	double sum = NAN;

	for (size_t i = 0;
	     json_object_is_type(list, json_type_array) && i < json_object_array_length(list) && i < ITEMS_MAX; i++) {
		double value = number_at(json_object_array_get_idx(list, i), path);

		if (!isnan(value))
			sum = isnan(sum) ? value : sum + value;
	}
	return sum;
}

/* The fullest file system as df counts it. */
static double fullest(struct json_object *data)
{
	struct json_object *list = json_at(data, "system.disk.usage_stats");
	double most = NAN;

	for (size_t i = 0;
	     json_object_is_type(list, json_type_array) && i < json_object_array_length(list) && i < ITEMS_MAX; i++) {
		struct json_object *item = json_object_array_get_idx(list, i);
		double used = number_at(item, "used_bytes"), all = used + number_at(item, "available_bytes");

		if (all > 0 && !json_object_get_boolean(json_at(item, "stale")))
			most = fmax(most, 100 * used / all);
	}
	return most;
}

bool hour_point_of(struct json_object *sample, struct hour_point *ret)
{
	struct json_object *data = json_at(sample, "data");
	double total = number_at(data, "system.memory.total_kb");
	const double values[HOUR_VALUES] = {
		[HOUR_CPU] = number_at(data, "system.cpu.usage_percent"),
		[HOUR_STEAL] = number_at(data, "system.cpu.steal_percent"),
		[HOUR_MEMORY] = total > 0 ? 100 * (1 - number_at(data, "system.memory.available_kb") / total) : NAN,
		[HOUR_DISK] = fullest(data),
		[HOUR_PRESSURE] = vm_pressure_of(sample),
		[HOUR_RECEIVED] = sum_of_interfaces(data, "rx_bytes_per_sec"),
		[HOUR_SENT] = sum_of_interfaces(data, "tx_bytes_per_sec"),
		[HOUR_READ] = number_at(data, "system.disk.io_stats.read_bytes_per_sec"),
		[HOUR_WRITTEN] = number_at(data, "system.disk.io_stats.write_bytes_per_sec"),
	};

	if (rfc3339_parse(json_text_at(sample, "timestamp"), &ret->at_ms) < 0)
		return false;
	for (size_t i = 0; i < HOUR_VALUES; i++)
		ret->values[i] = (float)values[i];
	return true;
}

/* -------------------------------------------------------------------------------------------------------- places */

static struct hour *find(struct hours *hours, uint64_t vm)
{
	for (size_t i = 0; i < HOURS_MAX; i++)
		if (hours->all[i] && hours->all[i]->vm == vm)
			return hours->all[i];
	return NULL;
}

static struct hour *add(struct hours *hours, const struct vm *vm, uint64_t now_ns)
{
	for (size_t i = 0; i < HOURS_MAX; i++)
		if (!hours->all[i]) {
			struct hour *hour = hours->all[i] = calloc(1, sizeof(struct hour));

			if (hour)
				*hour = (struct hour){ .vm = vm->serial, .sessions = vm->sessions, .asked_ns = now_ns };
			return hour;
		}
	return NULL;
}

void hours_tick(struct hours *hours, uint64_t now_ns)
{
	for (size_t i = 0; i < HOURS_MAX; i++)
		if (hours->all[i] && now_ns - hours->all[i]->asked_ns > KEPT_NS) {
			free(hours->all[i]);
			hours->all[i] = NULL;
		}
}

void hours_free(struct hours *hours)
{
	for (size_t i = 0; i < HOURS_MAX; i++)
		free(hours->all[i]);
	*hours = (struct hours){ { NULL } };
}

/* -------------------------------------------------------------------------------------------------------- asking */

static void fail(struct hour *hour, const char *reason)
{
	hour->state = HOUR_FAILED;
	snprintf(hour->reason, sizeof(hour->reason), "%s", reason);
}

static void ask(struct hour *hour, struct vm *vm)
{
	char text[256];
	int len;

	hour->end_ms = (int64_t)(clock_ns(CLOCK_REALTIME) / NS_PER_MS) + vm->clock_offset_ms;
	hour->begin_ms = hour->end_ms - HOUR_MS;
	vm_new_id(hour->id);
	len = snprintf(text, sizeof(text),
		       "{\"type\":\"GetHistory\",\"id\":\"%s\",\"begin\":%lld,\"end\":%lld,\"limit\":%d,"
		       "\"interval_ms\":%d,\"timeout\":%d}",
		       hour->id, (long long)hour->begin_ms, (long long)hour->end_ms, HOUR_POINTS_MAX,
		       HOUR_MS / HOUR_POINTS_MAX, ANSWER_S);
	if (!vm->greeted)
		fail(hour, "the VM is not connected");
	else if (vm_send(vm, text, (size_t)len) < 0)
		fail(hour, "the question could not be sent");
}

static void give_up(struct hour *hour, const struct vm *vm, uint64_t now_ns)
{
	if (hour->state != HOUR_ASKING)
		return;
	if (!vm->greeted || vm->sessions != hour->sessions)
		fail(hour, "the connection ended");
	else if (now_ns - hour->asked_ns > PATIENT_S * NS_PER_S)
		fail(hour, "the VM did not answer");
}

static void add_points(struct hour *hour, struct json_object *samples)
{
	size_t count = json_object_is_type(samples, json_type_array) ? json_object_array_length(samples) : 0;

	for (size_t i = 0; i < count && hour->len < HOUR_POINTS_MAX; i++) {
		struct hour_point *point = &hour->points[hour->len];

		/* Those of another time, or not after the one before, are made up. */
		if (hour_point_of(json_object_array_get_idx(samples, i), point) && point->at_ms >= hour->begin_ms &&
		    point->at_ms <= hour->end_ms && (hour->len == 0 || point->at_ms > point[-1].at_ms))
			hour->len++;
	}
}

bool hours_take(struct hours *hours, const struct vm *vm, struct json_object *message, const char *type)
{
	struct hour *hour = find(hours, vm->serial);
	const char *id = json_text_at(message, !strcmp(type, "error") ? "details.id" : "id");

	if (!hour || !*hour->id || strcmp(hour->id, id) != 0)
		return false;
	if (hour->state != HOUR_ASKING)
		return true;
	if (!strcmp(type, "metrics_batch"))
		add_points(hour, json_at(message, "samples"));
	else if (!strcmp(type, "response") && json_object_get_boolean(json_at(message, "success")))
		hour->state = HOUR_TOLD;
	else
		fail(hour, "the VM refused");
	return true;
}

/* --------------------------------------------------------------------------------------------------------- telling */

static struct json_object *tell_points(const struct hour *hour)
{
	struct json_object *list = json_object_new_array_ext((int)hour->len);

	for (size_t i = 0; i < hour->len; i++) {
		struct json_object *point = json_object_new_array_ext(HOUR_VALUES + 1);

		json_object_array_add(point, json_object_new_int64(hour->points[i].at_ms));
		for (size_t k = 0; k < HOUR_VALUES; k++) {
			double value = hour->points[i].values[k];
			char text[32];

			snprintf(text, sizeof(text), "%.6g", value);
			json_object_array_add(point, isfinite(value) ? json_object_new_double_s(value, text) : NULL);
		}
		json_object_array_add(list, point);
	}
	return list;
}

struct json_object *hours_tell(struct hours *hours, struct vm *vm, uint64_t now_ns)
{
	static const char *const states[] = { "asking", "told", "failed" };
	struct json_object *told = json_object_new_object(), *names;
	struct hour *hour;

	hours_tick(hours, now_ns);
	hour = find(hours, vm->serial);
	if (!hour) {
		hour = add(hours, vm, now_ns);
		if (hour)
			ask(hour, vm);
	}
	if (!hour) {
		tell_text(told, "state", "busy");
		return told;
	}
	give_up(hour, vm, now_ns);
	tell_text(told, "state", states[hour->state]);
	tell_text(told, "reason", *hour->reason ? hour->reason : NULL);
	if (hour->state != HOUR_TOLD)
		return told;
	json_object_object_add(told, "begin_ms", json_object_new_int64(hour->begin_ms));
	json_object_object_add(told, "end_ms", json_object_new_int64(hour->end_ms));
	names = json_object_new_array();
	for (size_t i = 0; i < HOUR_VALUES; i++)
		json_object_array_add(names, json_object_new_string(keys[i]));
	json_object_object_add(told, "keys", names);
	json_object_object_add(told, "points", tell_points(hour));
	return told;
}
