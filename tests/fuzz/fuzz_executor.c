/* SPDX-License-Identifier: MIT */
/*
 * What an agent that has been taken over may send to the executor: every parser of a request sees every input. Whatever
 * is taken for a request is one: built again from its parts it is the same bytes, its strings lie ended within it, a
 * unit's name is never more than digits and a dash, and the rules have an answer to it.
 */
#include <errno.h>

#include "agent/executor/allow_list.h"
#include "agent/runner/protocol.h"
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
	REQUIRE(!(command.run.flags & RUNNER_RUN_DETACHED) == !command.unit);
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

static void cancel(char *message, size_t size)
{
	struct runner_detached_cancel cancel;

	if (runner_detached_cancel_parse(message, size, &cancel) == 0)
		require_unit(cancel.unit);
}

static void end(const char *text, size_t size)
{
	char line[END_RECORD_MAX];
	struct end_record record;

	if (end_record_parse(text, size, &record) == 0)
		REQUIRE(end_record_format(&record, line) == size && memcmp(line, text, size) == 0);
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
	cancel(message, size);
	end(message, size);
	free(message);
	return 0;
}
