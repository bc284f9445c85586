/* SPDX-License-Identifier: MIT */
/*
 * What an agent that has been taken over may send to the executor: every parser of a request sees every input. Whatever
 * is taken for a request is one: built again from its parts it is the same bytes, its strings lie ended within it, a
 * unit's name is never more than digits and a dash, and the rules have an answer to it.
 */
#include <errno.h>

#include "agent/executor/allow_list.h"
#include "agent/config/config.h"
#include "require.h"

static struct config config;
static char again[RUNNER_MESSAGE_MAX];

static void require_string(const char *message, size_t size, const char *text)
{
	REQUIRE(text >= message && text < message + size && memchr(text, '\0', (size_t)(message + size - text)));
}

static void require_unit(const char *unit)
{
	REQUIRE(strlen(unit) < RUNNER_UNIT_SIZE && unit[strspn(unit, "0123456789abcdef-")] == '\0');
}

static void run(char *message, size_t size)
{
	static struct runner_command command;
	int64_t len;

	if (runner_run_parse(message, size, &command) < 0)
		return;
	REQUIRE(command.argv[0][0] == '/' && !command.argv[command.run.argc]);
	REQUIRE(!(command.run.flags & RUNNER_RUN_KEEP) == !command.unit);
	if (command.unit)
		require_unit(command.unit);
	for (unsigned i = 0; i < command.run.argc; i++)
		require_string(message, size, command.argv[i]);
	for (unsigned i = 0; i < command.run.envc; i++) {
		require_string(message, size, command.envp[i]);
		REQUIRE(strchr(command.envp[i], '=') > command.envp[i]);
	}
	REQUIRE(!command.cwd || command.cwd[0] == '/');
	(void)rules_judge_run(&command, &config);
	len = runner_run_build(command.run, (const char *const *)command.argv, (const char *const *)command.envp,
			       command.cwd, command.user, command.action, command.unit, again, sizeof(again));
	REQUIRE(len == (int64_t)size && memcmp(again, message, size) == 0);
}

static void operation(char *message, size_t size)
{
	struct runner_call call;
	int64_t len;

	if (runner_operation_parse(message, size, &call) < 0)
		return;
	require_string(message, size, call.action);
	require_string(message, size, call.argument);
	(void)rules_judge_operation(&call, &config);
	len = runner_operation_build(call.operation, call.action, call.argument, again, sizeof(again));
	REQUIRE(len == (int64_t)size && memcmp(again, message, size) == 0);
}

static void unit(char *message, size_t size)
{
	struct runner_unit_request request;
	const char *name;
	int64_t len;

	if (runner_unit_parse(message, size, &request, &name) < 0)
		return;
	require_unit(name);
	len = runner_unit_build(request.head, name, again, sizeof(again));
	REQUIRE(len == (int64_t)size && memcmp(again, message, size) == 0);
}

/* What the agent takes from the executor. */
static void reply(const char *message, size_t size)
{
	static struct runner_answer answer;

	if (runner_reply_parse(message, size, &answer) == 0)
		REQUIRE(memchr(answer.text, '\0', sizeof(answer.text)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *message = malloc(size ? size : 1);
	struct runner_request head;
	int r;

	if (!message || (!config.commands.allow && config_init(&config) < 0))
		return 0;
	if (size)
		memcpy(message, data, size);
	r = runner_request_parse(message, size, &head);
	REQUIRE(r == 0 || r == -EBADMSG || r == -EPROTO);
	reply(message, size);
	run(message, size);
	operation(message, size);
	unit(message, size);
	free(message);
	return 0;
}
