/* SPDX-License-Identifier: MIT */
/*
 * What the executor takes from the agent and the agent from the executor: every string of a request lies ended within
 * its message, what was taken apart is built again to the same bytes, and the rules have an answer to it.
 */
#include <errno.h>

#include "agent/broker/rules.h"
#include "agent/config/config.h"
#include "require.h"

#define ROOM 65536

static struct config config;

static void check_string(const char *message, size_t len, const char *text)
{
	REQUIRE(text >= message && text < message + len && memchr(text, '\0', (size_t)(message + len - text)));
}

static void check_run(const char *message, size_t len, const struct executor_command *command)
{
	static char again[ROOM];
	int64_t built;

	REQUIRE(command->argv[0] && command->argv[0][0] == '/' && !command->argv[command->run.argc] &&
		!command->envp[command->run.envc]);
	for (unsigned i = 0; i < command->run.argc; i++)
		check_string(message, len, command->argv[i]);
	for (unsigned i = 0; i < command->run.envc; i++) {
		check_string(message, len, command->envp[i]);
		REQUIRE(strchr(command->envp[i], '=') > command->envp[i]);
	}
	REQUIRE(!command->cwd || command->cwd[0] == '/');
	(void)rules_judge_run(command, &config);
	built = executor_run_build(command->run, (const char *const *)command->argv, (const char *const *)command->envp,
				   command->cwd, command->user, command->action, again, sizeof(again));
	REQUIRE(built == (int64_t)len && memcmp(again, message, len) == 0);
}

static void check_deed(const char *message, size_t len, const struct executor_call *call)
{
	check_string(message, len, call->action);
	check_string(message, len, call->argument);
	(void)rules_judge_deed(call, &config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct executor_command command;
	static struct executor_answer answer;
	struct executor_request head;
	struct executor_call call;
	char *message = malloc(size ? size : 1);
	int r;

	if (!message || (!config.commands.allow && config_init(&config) < 0))
		return 0;
	memcpy(message, data, size);
	r = executor_request_parse(message, size, &head);
	REQUIRE(r == 0 || r == -EBADMSG || r == -EPROTO);
	if (executor_run_parse(message, size, &command) == 0)
		check_run(message, size, &command);
	if (executor_deed_parse(message, size, &call) == 0)
		check_deed(message, size, &call);
	if (executor_reply_parse(message, size, &answer) == 0)
		REQUIRE(memchr(answer.text, '\0', sizeof(answer.text)));
	free(message);
	return 0;
}
