/* SPDX-License-Identifier: MIT */
/*
 * What an agent that has been taken over may send to the executor: every parser of a request sees every input. Whatever is taken for a
 * request is one: built again from its parts it is the same bytes, and a unit's name is never more than digits and a dash.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/executor/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                              \
	do {                                                            \
		if (!(condition)) {                                     \
			fprintf(stderr, "violated: %s\n", #condition); \
			abort();                                        \
		}                                                       \
	} while (0)

static char again[EXECUTOR_MESSAGE_MAX];

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
	len = executor_run_build(command.run, (const char *const *)command.argv, (const char *const *)command.envp, command.cwd,
				 command.user, command.action, command.unit, again, sizeof(again));
	REQUIRE(len == (int64_t)size && memcmp(again, message, size) == 0);
}

static void deed(char *message, size_t size)
{
	struct executor_call call;
	int64_t len;

	if (executor_deed_parse(message, size, &call) < 0)
		return;
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *message = malloc(size ? size : 1);

	if (!message)
		return 0;
	if (size)
		memcpy(message, data, size);
	run(message, size);
	deed(message, size);
	unit(message, size);
	free(message);
	return 0;
}
