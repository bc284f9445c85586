/* SPDX-License-Identifier: MIT */
/* Status: the state of the agent, for `infinictl status` and for hosts. */
#include "agent/actions/env.h"
#include "agent/actions/table.h"

static void emit_status(struct sink *out, const char *key, const void *arg)
{
	const struct action_env *env = arg;

	sink_object_begin(out, key);
	env->report(env->data, out);
	sink_object_end(out);
}

static void run_status(struct command *command)
{
	struct action_env *env = command_env(command);

	/* Before the answer is begun: a change of the log's state is told by a message of its own. */
	logger_check(env->logger, env->loop->now);
	command_succeed(command, emit_status, env);
}

const struct action action_status = { .name = "Status", .group = GROUP_OBSERVE, .run = run_status };

const struct action action_status_message = {
	.name = "Status", .type = MESSAGE_STATUS, .group = GROUP_OBSERVE, .run = run_status
};
