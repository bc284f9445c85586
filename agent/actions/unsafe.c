/* SPDX-License-Identifier: MIT */
/*
 * UnsafeCommand: a line for a shell. The host's choices are checked here: the shell is a name from a short list (never
 * a path); the user is that of the configuration, or the host's if the configuration names none.
 */
#include "agent/actions/table.h"

#include <strings.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/env.h"
#include "agent/actions/run.h"

static const struct {
	const char *name, *path;
} shells[] = {
	{ "sh", "/bin/sh" },   { "bash", "/bin/bash" }, { "dash", "/bin/dash" },
	{ "zsh", "/bin/zsh" }, { "ksh", "/bin/ksh" },	{ "ash", "/bin/ash" },
};

static const char *find_shell(const char *name)
{
	if (!name)
		return "/bin/sh";
	for (size_t i = 0; i < ARRAY_SIZE(shells); i++)
		if (strcasecmp(shells[i].name, name) == 0)
			return shells[i].path;
	return NULL;
}

static void run_unsafe(struct command *command)
{
	const struct message *message = &command->message;
	const char *shell = find_shell(message->shell);
	const char *const argv[] = { shell, "-c", message->raw_command, NULL };
	struct run run = {
		.argv = argv,
		.variables = message->env_vars,
		.cwd = message->working_dir,
		.privileged = true,
	};

	if (!shell) {
		command_fail(command, CODE_INVALID_PARAMETERS, "bad_value",
			     "shell is one of sh, bash, dash, ash, ksh, zsh");
		return;
	}
	if (!policy_user(command_env(command)->config->commands.run_as, message->run_as, &run.user)) {
		command_fail(command, CODE_POLICY_DENIED, "run_as", POLICY_USER_WORDS);
		return;
	}
	run_program(command, &run);
}

const struct action action_unsafe = {
	.name = "unsafe", .type = MESSAGE_UNSAFE_COMMAND, .group = GROUP_EXEC, .slot = true, .run = run_unsafe
};
