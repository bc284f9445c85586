/* SPDX-License-Identifier: MIT */
/* CancelCommand. */
#include "agent/actions/table.h"

#include "agent/command/command.h"

static void emit_target(struct sink *out, const char *key, const void *arg)
{
	sink_object_begin(out, key);
	sink_str(out, "target_id", arg);
	sink_object_end(out);
}

/* The target itself is answered CANCELLED: at once, or when its program has ended. */
static void run_cancel(struct command *command)
{
	const char *id = command->message.target_id;
	struct command *target = commands_find(command->commands, command->session, id);

	if (!target || target == command) {
		command_fail(command, CODE_NOT_FOUND, "not_found", "no command with this target_id is under way");
		return;
	}
	command_cancel(target, "cancelled before it was started");
	command_succeed(command, emit_target, id);
}

const struct action action_cancel_command = { .name = "CancelCommand",
					      .type = MESSAGE_CANCEL_COMMAND,
					      .group = GROUP_OBSERVE,
					      .always = true,
					      .run = run_cancel };
