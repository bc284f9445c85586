/* SPDX-License-Identifier: MIT */
/*
 * JoinDomain: realm(8) joins the guest to a domain. The password is in no argument, environment, file, journal or
 * record: it goes to the executor as the command's input, and from there to realm's stdin.
 */
#include "agent/actions/table.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/env.h"
#include "agent/runner/protocol.h"
#include "agent/rules/requests.h"
#include "agent/actions/run.h"

static const char *const parameters[JOIN_PARTS] = {
	[JOIN_DOMAIN] = "domain", [JOIN_USER] = "username",	     [JOIN_PASSWORD] = "password",
	[JOIN_UNIT] = "ou",	  [JOIN_COMPUTER] = "computer_name",
};

/* Reads the parameters. False: the command has been answered. */
static bool take_parameters(struct command *command, const char *parts[JOIN_PARTS], bool *restart)
{
	struct message_fault fault;

	*restart = false;
	for (unsigned i = 0; i < JOIN_PARTS; i++) {
		parts[i] = "";
		if (message_param_text(&command->message, parameters[i], &parts[i], &fault) < 0) {
			command_fail(command, fault.code, fault.reason, "%s", fault.text);
			return false;
		}
		if (i <= JOIN_PASSWORD && !*parts[i]) {
			command_fail(command, CODE_INVALID_PARAMETERS, "missing_field", "%s is missing", parameters[i]);
			return false;
		}
		if (!join_part_valid((enum join_part)i, parts[i])) {
			command_fail(command, CODE_INVALID_PARAMETERS, "bad_value", "%s has no form that it can have",
				     parameters[i]);
			return false;
		}
	}
	if (message_param_bool(&command->message, "restart_after", restart, &fault) < 0) {
		command_fail(command, fault.code, fault.reason, "%s", fault.text);
		return false;
	}
	return true;
}

struct joined {
	const char *domain;
	bool restart;
};

static void emit(struct sink *out, const char *key, const void *arg)
{
	const struct joined *joined = arg;

	sink_object_begin(out, key);
	sink_str(out, "domain", joined->domain);
	sink_bool(out, "restart_scheduled", joined->restart);
	sink_object_end(out);
}

static void on_joined(struct command *command, struct exec_outcome *outcome)
{
	struct action_env *env = command_env(command);
	const char *parts[JOIN_PARTS];
	struct joined joined = { .domain = "" };

	if (!run_succeeded(outcome)) {
		run_answer(command, outcome, NULL, NULL);
		return;
	}
	/* They were looked at before. */
	if (!take_parameters(command, parts, &joined.restart))
		return;
	joined.domain = parts[JOIN_DOMAIN];
	/* A reboot that is pending already (-EALREADY) does as well. */
	if (joined.restart)
		power_schedule(&env->power, RUNNER_OPERATION_REBOOT, POWER_DELAY_S, action_reboot_system.name,
			       GROUP_POWER);
	run_answer(command, outcome, emit, &joined);
}

/* A sealed file without a name, or -errno. */
static int make_input(const char *const parts[JOIN_PARTS])
{
	char text[JOIN_INPUT_MAX];
	size_t len = 0;
	int fd;

	for (size_t i = 0; i < JOIN_PARTS; i++) {
		size_t more = strlen(parts[i]) + 1;

		if (len + more > sizeof(text))
			return -E2BIG;
		memcpy(text + len, parts[i], more);
		len += more;
	}
	fd = input_new(text, len);
	explicit_bzero(text, sizeof(text));
	return fd;
}

static void run_join_domain(struct command *command)
{
	_cleanup_(closep) int input = -1;
	const char *parts[JOIN_PARTS], *argv[3];
	char path[4096], realm[64];
	struct run run = { .argv = argv, .privileged = true, .input = &input, .done = on_joined };
	bool restart;

	if (!take_parameters(command, parts, &restart))
		return;
	if (!run_find("realm", realm, sizeof(realm))) {
		command_fail(command, CODE_NOT_FOUND, "no_program",
			     "this guest has no realm, which joins domains (package realmd)");
		return;
	}
	if (!privilege_require_program(command))
		return;
	input = make_input(parts);
	if (input < 0) {
		command_fail(command, CODE_INTERNAL, "resource", "the guest lacks the memory for it");
		return;
	}
	argv[0] = exec_program_path(path, sizeof(path));
	argv[1] = "join";
	argv[2] = NULL;
	run_program(command, &run);
}

const struct action action_join_domain = {
	.name = "JoinDomain", .group = GROUP_POWER, .slot = true, .timeout_s = 300, .run = run_join_domain
};
