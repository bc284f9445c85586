/* SPDX-License-Identifier: MIT */
/*
 * What an agent that has been taken over may send to the executor: every parser of a request sees every input. Whatever
 * is taken for a request is one: built again from its parts it is the same bytes, its strings lie ended within it, a
 * unit's name is never more than digits and a dash, and the rules have an answer to it.
 */
#include <errno.h>

#include "agent/broker/rules.h"
#include "agent/config/config.h"
#include "require.h"

static struct config config;
static char again[EXECUTOR_MESSAGE_MAX];

static void require_string(const char *message, size_t size, const char *text)
{
	REQUIRE(text >= message && text < message + size && memchr(text, '\0', (size_t)(message + size - text)));
}

static void require_unit(const char *unit)
{
	REQUIRE(strlen(unit) < EXECUTOR_UNIT_SIZE && unit[strspn(unit, "0123456789abcdef-")] == '\0');
}

static void run(char *message, size_t size)
{
	static struct executor_command command;
	int64_t len;

	if (executor_run_parse(message, size, &command) < 0)
		return;
	REQUIRE(command.argv[0][0] == '/' && !command.argv[command.run.argc]);
	REQUIRE(!(command.run.flags & EXECUTOR_RUN_KEEP) == !command.unit);
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
	len = executor_run_build(command.run, (const char *const *)command.argv, (const char *const *)command.envp,
				 command.cwd, command.user, command.action, command.unit, again, sizeof(again));
	REQUIRE(len == (int64_t)size && memcmp(again, message, size) == 0);
}

static void deed(char *message, size_t size)
{
	struct executor_call call;
	int64_t len;

	if (executor_deed_parse(message, size, &call) < 0)
		return;
	require_string(message, size, call.action);
	require_string(message, size, call.argument);
	(void)rules_judge_deed(&call, &config);
	len = executor_deed_build(call.deed, call.action, call.argument, again, sizeof(again));
	REQUIRE(len == (int64_t)size && memcmp(again, message, size) == 0);
}

static void unit(char *message, size_t size)
{
	struct executor_unit_request request;
	const char *name;
	int64_t len;

	if (executor_unit_parse(message, size, &request, &name) < 0)
		return;
	require_unit(name);
	len = executor_unit_build(request.head, name, again, sizeof(again));
	REQUIRE(len == (int64_t)size && memcmp(again, message, size) == 0);
}

/* What the agent takes from the executor. */
static void reply(const char *message, size_t size)
{
	static struct executor_answer answer;

	if (executor_reply_parse(message, size, &answer) == 0)
		REQUIRE(memchr(answer.text, '\0', sizeof(answer.text)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *message = malloc(size ? size : 1);
	struct executor_request head;
	int r;

	if (!message || (!config.commands.allow && config_init(&config) < 0))
		return 0;
	if (size)
		memcpy(message, data, size);
	r = executor_request_parse(message, size, &head);
	REQUIRE(r == 0 || r == -EBADMSG || r == -EPROTO);
	reply(message, size);
	run(message, size);
	deed(message, size);
	unit(message, size);
	free(message);
	return 0;
}
