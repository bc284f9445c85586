/* SPDX-License-Identifier: MIT */
/* What keeps host and guest in step: sync, sync-delimited, ping, info. */
#include "agent/qga/table.h"

static const struct qga_param sync_params[] = { { "id", QGA_INTEGER, true }, { NULL, QGA_TEXT, false } };

static void emit_id(struct sink *out, const char *key, const void *arg)
{
	sink_int(out, key, *(const int64_t *)arg);
}

static void run_sync(struct qga_call *call)
{
	int64_t id = qga_request_integer(&call->request, "id", 0);

	if (call->command == &qga_command_sync_delimited)
		qga_return_delimited(call, emit_id, &id);
	else
		qga_return(call, emit_id, &id);
}

static void emit_info(struct sink *out, const char *key, const void *arg)
{
	const struct qga_call *call = arg;

	sink_object_begin(out, key);
	sink_str(out, "version", INFINISERVICE_VERSION);
	sink_array_begin(out, "supported_commands");
	for (size_t i = 0; i < qga_rule_count; i++) {
		sink_object_begin(out, NULL);
		sink_str(out, "name", qga_rules[i].name);
		sink_bool(out, "enabled", call->enabled(call->qga, &qga_rules[i]));
		sink_bool(out, "success-response", !qga_rules[i].silent);
		sink_object_end(out);
	}
	sink_array_end(out);
	sink_object_end(out);
}

static void run_info(struct qga_call *call)
{
	qga_return(call, emit_info, call);
}

const struct qga_command qga_command_sync = { .name = "guest-sync", .params = sync_params, .run = run_sync };
const struct qga_command qga_command_sync_delimited = { .name = "guest-sync-delimited",
							.params = sync_params,
							.run = run_sync };
const struct qga_command qga_command_ping = { .name = "guest-ping", .run = qga_return_nothing };
const struct qga_command qga_command_info = { .name = "guest-info", .run = run_info };
