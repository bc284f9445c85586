/* SPDX-License-Identifier: MIT */
/* The rows of commands that are message types of their own, and the smallest of them. */
#include "agent/action.h"

#include "agent/agent.h"
#include "agent/batch.h"
#include "agent/history.h"
#include "agent/script.h"
#include "agent/subscribe.h"

/* Reading the log takes as long as the log is large. */
#define HISTORY_TIMEOUT_S 300
#define SCRIPT_TIMEOUT_S  600

static enum action_result run_cancel(struct command *command);

const struct action action_batch = {
	.name = "CommandBatch", .group = GROUP_OBSERVE, .always = true, .run = action_run_batch
};
const struct action action_cancel = {
	.name = "CancelCommand", .group = GROUP_OBSERVE, .always = true, .run = run_cancel
};
const struct action action_script = { .name = "script",
				      .group = GROUP_EXEC,
				      .slot = true,
				      .slots = SLOTS_SCRIPTS,
				      .timeout_s = SCRIPT_TIMEOUT_S,
				      .run = script_run,
				      .encode = script_encode,
				      .deliver = script_deliver };
static const struct action action_subscribe = { .name = "Subscribe",
						.group = GROUP_OBSERVE,
						.run = action_run_subscribe };
static const struct action action_unsubscribe = { .name = "Unsubscribe",
						  .group = GROUP_OBSERVE,
						  .run = action_run_unsubscribe };
static const struct action action_set_config = { .name = "SetConfig",
						 .group = GROUP_CONTROL,
						 .run = action_run_set_config };
static const struct action action_get_history = {
	.name = "GetHistory", .group = GROUP_OBSERVE, .timeout_s = HISTORY_TIMEOUT_S, .run = action_run_get_history
};

const struct action *action_of_type(unsigned message_type)
{
	switch (message_type) {
	case MESSAGE_UNSAFE_COMMAND:
		return &action_unsafe;
	case MESSAGE_STATUS:
		return &action_status;
	case MESSAGE_COMMAND_BATCH:
		return &action_batch;
	case MESSAGE_CANCEL_COMMAND:
		return &action_cancel;
	case MESSAGE_SUBSCRIBE:
		return &action_subscribe;
	case MESSAGE_UNSUBSCRIBE:
		return &action_unsubscribe;
	case MESSAGE_SET_CONFIG:
		return &action_set_config;
	case MESSAGE_GET_HISTORY:
		return &action_get_history;
	default:
		return NULL;
	}
}

static void emit_target(struct sink *out, const char *key, const void *arg)
{
	sink_object_begin(out, key);
	sink_str(out, "target_id", arg);
	sink_object_end(out);
}

/* The target is answered CANCELLED on its own: at once, or when what runs for it is dead. */
static enum action_result run_cancel(struct command *command)
{
	const char *id = command->message.target_id;
	struct command *target = commands_find(&command->agent->commands, command->session, id);

	if (!target || target == command) {
		command_fail(command, CODE_NOT_FOUND, "not_found", "no command with this target_id is under way");
		return ACTION_TAKEN;
	}
	command_cancel(target, "cancelled before it was started");
	command_succeed(command, emit_target, id);
	return ACTION_TAKEN;
}
