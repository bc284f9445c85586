/* SPDX-License-Identifier: MIT */
/* set-time, set-vcpus and suspend-*: what the group control holds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include <infiniservice/cleanup.h>

#include "agent/qga/root.h"
#include "agent/qga/table.h"
#include "agent/runner/protocol.h"

/* Words of one call of the verb; the host asks again for the rest, as the language has it. */
#define VCPUS_MAX 30

static const struct qga_param time_params[] = { { "time", QGA_INTEGER, false }, { NULL, QGA_TEXT, false } };
static const struct qga_param vcpus_params[] = { { "vcpus", QGA_LIST, true }, { NULL, QGA_TEXT, false } };

static void on_time_set(struct qga_call *call, const struct exec_outcome *outcome)
{
	if (qga_root_succeeded(call, outcome))
		qga_return_nothing(call);
}

static void run_set_time(struct qga_call *call)
{
	int64_t ns = qga_request_integer(&call->request, "time", -1);
	char number[24] = "rtc";
	const char *const words[] = { "settime", number, NULL };

	if (json_object_object_get_ex(call->request.arguments, "time", NULL)) {
		if (ns < 0) {
			qga_fail(call, "Invalid time %lld", (long long)ns);
			return;
		}
		snprintf(number, sizeof(number), "%lld", (long long)ns);
	}
	qga_root_run(call, words, NULL, 0, on_time_set);
}

static void emit_count(struct sink *out, const char *key, const void *arg)
{
	sink_int(out, key, *(const int64_t *)arg);
}

static void on_vcpus_set(struct qga_call *call, const struct exec_outcome *outcome)
{
	char text[16] = "";
	int64_t count;

	if (!qga_root_succeeded(call, outcome))
		return;
	if (outcome->out.len < sizeof(text))
		memcpy(text, outcome->out.bytes, outcome->out.len);
	count = strtol(text, NULL, 10);
	qga_return(call, emit_count, &count);
}

/* "N-on" or "N-off" of one element. False: it is none. */
static bool word_of(struct json_object *item, char *out, size_t size)
{
	struct json_object *id, *online;
	int64_t number;

	if (!json_object_is_type(item, json_type_object) || !json_object_object_get_ex(item, "logical-id", &id) ||
	    !json_object_object_get_ex(item, "online", &online) || !json_object_is_type(id, json_type_int) ||
	    !json_object_is_type(online, json_type_boolean))
		return false;
	number = json_object_get_int64(id);
	if (number < 0 || number > 65535)
		return false;
	snprintf(out, size, "%d-%s", (int)number, json_object_get_boolean(online) ? "on" : "off");
	return true;
}

static void run_set_vcpus(struct qga_call *call)
{
	char texts[VCPUS_MAX][16];
	const char *words[VCPUS_MAX + 2] = { "vcpus" };
	struct json_object *list = NULL;
	size_t count;
	int64_t none = 0;

	json_object_object_get_ex(call->request.arguments, "vcpus", &list);
	count = json_object_array_length(list);
	for (size_t i = 0; i < count; i++) {
		char text[16] = "";

		if (!word_of(json_object_array_get_idx(list, i), i < VCPUS_MAX ? texts[i] : text, sizeof(text))) {
			qga_fail(call, "Parameter 'vcpus' is no list of processors with logical-id and online");
			return;
		}
		if (i < VCPUS_MAX)
			words[i + 1] = texts[i];
	}
	if (count == 0)
		qga_return(call, emit_count, &none);
	else
		qga_root_run(call, words, NULL, 0, on_vcpus_set);
}

/* The guest went to sleep and has woken up, or could not. A success has no answer. */
static void on_suspended(struct qga_call *call, const struct exec_outcome *outcome)
{
	if (qga_root_succeeded(call, outcome))
		qga_return_silently(call);
}

static void run_suspend_ram(struct qga_call *call)
{
	qga_root_operation(call, RUNNER_OPERATION_SUSPEND, on_suspended);
}

static void run_suspend_disk(struct qga_call *call)
{
	qga_root_operation(call, RUNNER_OPERATION_HIBERNATE, on_suspended);
}

static void run_suspend_hybrid(struct qga_call *call)
{
	qga_root_operation(call, RUNNER_OPERATION_HYBRID_SLEEP, on_suspended);
}

const struct qga_command qga_command_set_time = { .name = "guest-set-time",
						  .params = time_params,
						  .run = run_set_time,
						  .drop = qga_root_drop,
						  .possible = qga_root_possible };
const struct qga_command qga_command_set_vcpus = { .name = "guest-set-vcpus",
						   .params = vcpus_params,
						   .run = run_set_vcpus,
						   .drop = qga_root_drop,
						   .possible = qga_root_possible };
const struct qga_command qga_command_suspend_ram = {
	.name = "guest-suspend-ram", .run = run_suspend_ram, .drop = qga_root_drop, .possible = qga_root_possible
};
const struct qga_command qga_command_suspend_disk = {
	.name = "guest-suspend-disk", .run = run_suspend_disk, .drop = qga_root_drop, .possible = qga_root_possible
};
const struct qga_command qga_command_suspend_hybrid = {
	.name = "guest-suspend-hybrid", .run = run_suspend_hybrid, .drop = qga_root_drop, .possible = qga_root_possible
};
