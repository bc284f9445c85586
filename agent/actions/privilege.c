/* SPDX-License-Identifier: MIT */
/* Rights, the agent's own or the executor's; see privilege.h. */
#include "agent/actions/privilege.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/env.h"
#include "agent/rules/unit_rules.h"

struct privilege_operation {
	bus_reply_fn done; /* NULL: forgotten */
	void *data;
};

bool privilege_is_root(void)
{
	return geteuid() == 0;
}

void privilege_fail(struct command *command, struct exec *exec, int error)
{
	const char *fault = exec_fault(exec);

	if (error == -EHOSTDOWN)
		command_fail(command, CODE_INTERNAL, PRIVILEGE_REASON_FAULT, "%s", fault);
	else
		command_fail(command, CODE_PERMISSION_DENIED, "no_executor", *fault ? "%s (%s)" : "%s",
			     PRIVILEGE_NO_EXECUTOR, fault);
}

static bool require(struct command *command, bool program)
{
	struct action_env *env = command_env(command);
	int r;

	if (!command->from_host) {
		command_fail(command, CODE_POLICY_DENIED, "local",
			     "clients of the local socket may look, and nothing else");
		return false;
	}
	/* Attaching to a detached run needs no executor: its files are enough. */
	r = program && (privilege_is_root() || detached_attaches(command)) ? 0 : exec_warm(env->executor);
	/* A passing state of the executor is no refusal: it is tried again at the start. */
	if (r != -ENOTCONN && r != -EHOSTDOWN)
		return true;
	privilege_fail(command, env->executor, r);
	return false;
}

bool privilege_require(struct command *command)
{
	return require(command, false);
}

bool privilege_require_program(struct command *command)
{
	return require(command, true);
}

/* "NAME WORDS" of the peer, taken apart in `words`. */
static struct bus_reply reply_of_peer(char *words)
{
	char *blank = strchr(words, ' ');

	if (blank)
		*blank++ = '\0';
	return (struct bus_reply){ .error = -EREMOTEIO, .name = words, .text = blank ? blank : "" };
}

static struct bus_reply reply_of_outcome(const struct exec_outcome *outcome, char *words)
{
	if (outcome->spawn_stage == EXEC_STAGE_POLICY)
		return (struct bus_reply){ .error = -EREMOTEIO, .name = PRIVILEGE_ERROR_POLICY, .text = words };
	if (outcome->spawn_stage == EXEC_STAGE_UNIT)
		return (struct bus_reply){ .error = -EREMOTEIO, .name = UNIT_ERROR_DENIED, .text = words };
	if (outcome->spawn_stage == EXEC_STAGE_CONNECT)
		return (struct bus_reply){ .error = -EREMOTEIO,
					   .name = PRIVILEGE_ERROR_ABSENT,
					   .text = PRIVILEGE_NO_EXECUTOR };
	if (outcome->spawn_stage == EXEC_STAGE_EXECUTOR)
		return (struct bus_reply){ .error = -EREMOTEIO, .name = PRIVILEGE_ERROR_FAULT, .text = words };
	if (outcome->timed_out)
		return (struct bus_reply){ .error = -ETIMEDOUT, .name = "", .text = "no answer in time" };
	if (outcome->lost || outcome->spawn_errno || outcome->cancelled)
		return (struct bus_reply){ .error = -EREMOTEIO,
					   .name = PRIVILEGE_ERROR_LOST,
					   .text = "the executor died or has no room; what became of it is not known" };
	if (outcome->operation_error == -EREMOTEIO)
		return reply_of_peer(words);
	return (struct bus_reply){ .error = outcome->operation_error, .name = "", .text = words };
}

static void on_done(void *data, struct exec_outcome *outcome)
{
	_cleanup_(freep) struct privilege_operation *operation = data;
	char words[640]; /* the executor's, or ours for want of one */
	struct bus_reply reply;

	snprintf(words, sizeof(words), "%s", outcome->words);
	reply = reply_of_outcome(outcome, words);
	if (operation->done)
		operation->done(operation->data, &reply);
}

int privilege_operation_start(struct action_env *env, const struct privilege_request *wanted, bus_reply_fn done,
			      void *data, struct privilege_operation **ret)
{
	static const struct exec_callbacks callbacks = { .done = on_done };
	_cleanup_(freep) struct privilege_operation *operation = calloc(1, sizeof(*operation));
	struct exec_request request = { .operation = wanted->operation,
					.action = wanted->action,
					.group = wanted->group,
					.argument = wanted->unit,
					.term_ns = wanted->deadline_ns,
					.kill_ns = wanted->deadline_ns };
	struct exec_job *job;
	int r;

	if (!operation)
		return -ENOMEM;
	if (wanted->group == GROUP_OBSERVE)
		return -EPERM; /* observing needs no elevation */
	*operation = (struct privilege_operation){ .done = done, .data = data };
	r = exec_start(env->executor, &request, &callbacks, operation, &job);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(operation);
	return 0;
}

struct bus_reply privilege_operation_failure(struct action_env *env, int error)
{
	if (error == -ENOTCONN)
		return (struct bus_reply){ .error = -EREMOTEIO,
					   .name = PRIVILEGE_ERROR_ABSENT,
					   .text = PRIVILEGE_NO_EXECUTOR };
	if (error == -EHOSTDOWN)
		return (struct bus_reply){ .error = -EREMOTEIO,
					   .name = PRIVILEGE_ERROR_FAULT,
					   .text = exec_fault(env->executor) };
	return (struct bus_reply){ .error = -EREMOTEIO, .name = PRIVILEGE_ERROR_LOST, .text = strerror(-error) };
}

/* The reply, or the end of the executor, frees the operation. */
struct privilege_operation *privilege_operation_cancel(struct privilege_operation *operation)
{
	if (operation)
		operation->done = NULL;
	return NULL;
}
