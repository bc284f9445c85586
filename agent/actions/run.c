/* SPDX-License-Identifier: MIT */
/* Programs on behalf of commands; see run.h. */
#include "agent/actions/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <json-c/json.h>

#include "agent/actions/env.h"
#include "agent/rules/requests.h"
#include "agent/actions/detached.h"
#include "agent/base/users.h"
#include "agent/actions/privilege.h"

#define ENVIRONMENT_MAX 256

bool run_find(const char *name, char *out, size_t size)
{
	for (size_t i = 0; runner_directories[i]; i++)
		if (snprintf(out, size, "%s/%s", runner_directories[i], name) < (int)size && access(out, X_OK) == 0)
			return true;
	return false;
}

struct environment {
	char *list[ENVIRONMENT_MAX + 1]; /* NULL at the end; each on the heap */
	size_t count;
};

static void environment_done(struct environment *env)
{
	for (size_t i = 0; i < env->count; i++)
		free(env->list[i]);
}

static int environment_add(struct environment *env, char *assignment)
{
	if (!assignment || env->count == ENVIRONMENT_MAX) {
		free(assignment);
		return -ENOMEM;
	}
	env->list[env->count++] = assignment;
	env->list[env->count] = NULL;
	return 0;
}

/* Each name once: the value set last counts, so a host may replace what we put there. */
static int environment_set(struct environment *env, const char *name, const char *value)
{
	size_t len = strlen(name);
	char *assignment;

	if (asprintf(&assignment, "%s=%s", name, value) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < env->count; i++) {
		if (strncmp(env->list[i], name, len) == 0 && env->list[i][len] == '=') {
			free(env->list[i]);
			env->list[i] = assignment;
			return 0;
		}
	}
	return environment_add(env, assignment);
}

static int environment_make(struct environment *env, struct json_object *wanted)
{
	for (size_t i = 0; runner_environment[i]; i++)
		if (environment_add(env, strdup(runner_environment[i])) < 0)
			return -ENOMEM;
	if (!wanted)
		return 0;
	json_object_object_foreach(wanted, name, value)
	{
		int r = environment_set(env, name, json_object_get_string(value));

		if (r < 0)
			return r;
	}
	return 0;
}

static const char *words_of_stage(enum exec_stage stage)
{
	switch (stage) {
	case EXEC_STAGE_USER:
		return "the user it should run as cannot be used";
	case EXEC_STAGE_CWD:
		return "working_dir cannot be used";
	case EXEC_STAGE_EXEC:
		return "the program could not be executed";
	default:
		return "the guest lacks the resources to start it";
	}
}

static enum error_code code_of_stage(enum exec_stage stage, int error)
{
	switch (stage) {
	case EXEC_STAGE_USER:
		return error == EPERM ? CODE_PERMISSION_DENIED : CODE_INVALID_PARAMETERS;
	case EXEC_STAGE_CWD:
		return CODE_INVALID_PARAMETERS;
	case EXEC_STAGE_EXEC:
		return CODE_COMMAND_FAILED;
	default:
		return CODE_INTERNAL;
	}
}

/* Fills code, reason and error text from how the command ended. `text` is storage for the words. */
static void judge(struct response *response, const struct exec_outcome *outcome, bool stopping, char *text, size_t size)
{
	if (outcome->lost && outcome->attached) {
		response->code = CODE_INTERNAL;
		response->reason = "lost: agent_restart";
		snprintf(text, size,
			 "lost: agent_restart (the agent ended before the command did, and its unit is gone)");
	} else if (outcome->lost) {
		response->code = CODE_INTERNAL;
		response->reason = "lost";
		snprintf(text, size, "the executor died; the command was killed with it");
	} else if (outcome->spawn_stage == EXEC_STAGE_POLICY) {
		response->code = CODE_POLICY_DENIED;
		response->reason = "executor";
		snprintf(text, size, "%s", outcome->words);
	} else if (outcome->spawn_stage == EXEC_STAGE_CONNECT) {
		response->code = CODE_PERMISSION_DENIED;
		response->reason = "no_executor";
		snprintf(text, size, "%s (%s)", PRIVILEGE_NO_EXECUTOR, outcome->words);
	} else if (outcome->spawn_stage == EXEC_STAGE_EXECUTOR) {
		response->code = CODE_INTERNAL;
		response->reason = PRIVILEGE_REASON_FAULT;
		snprintf(text, size, "%s", outcome->words);
	} else if (outcome->spawn_errno) {
		response->code = code_of_stage(outcome->spawn_stage, outcome->spawn_errno);
		response->reason = outcome->spawn_stage == EXEC_STAGE_EXEC	 ? "exec_failed"
				   : outcome->spawn_stage == EXEC_STAGE_RESOURCE ? "resource"
										 : "bad_value";
		snprintf(text, size, "%s: %s", words_of_stage(outcome->spawn_stage),
			 *outcome->words ? outcome->words : strerror(outcome->spawn_errno));
	} else if (outcome->cancelled) {
		response->code = stopping ? CODE_SHUTTING_DOWN : CODE_CANCELLED;
		snprintf(text, size,
			 stopping ? "the agent is stopping; the command was killed" : "the command was cancelled");
	} else if (outcome->oom_killed) {
		response->code = CODE_COMMAND_FAILED;
		response->reason = "oom_killed";
		snprintf(text, size, "it took more memory than there is for it; it was killed");
	} else if (outcome->stuck) {
		response->code = CODE_COMMAND_TIMEOUT;
		response->reason = "stuck";
		snprintf(text, size, "it does not die (in uninterruptible sleep); its slot stays taken until it does");
	} else if (outcome->timed_out) {
		response->code = CODE_COMMAND_TIMEOUT;
		snprintf(text, size, "not finished at its deadline; it was killed");
	} else if (outcome->exit_code != 0) {
		response->code = CODE_COMMAND_FAILED;
		snprintf(text, size, outcome->signal ? "ended by signal %d" : "exit code %d",
			 outcome->signal ? outcome->signal : outcome->exit_code);
	} else {
		response->success = true;
	}
}

bool run_succeeded(const struct exec_outcome *outcome)
{
	return outcome->started && outcome->spawn_errno == 0 && !outcome->oom_killed && !outcome->lost &&
	       !outcome->cancelled && !outcome->stuck && !outcome->timed_out && outcome->exit_code == 0;
}

void run_answer(struct command *command, const struct exec_outcome *outcome,
		void (*data)(struct sink *sink, const char *key, const void *arg), const void *arg)
{
	char text[640] = "";
	struct response response = {
		.has_exit_code = outcome->exit_code >= 0,
		.exit_code = outcome->exit_code,
		.out = { outcome->out.bytes, outcome->out.len, outcome->out.total },
		.err = { outcome->err.bytes, outcome->err.len, outcome->err.total },
		.data = data,
		.arg = arg,
		.error = text,
	};

	judge(&response, outcome, command->commands->closed, text, sizeof(text));
	if (response.success)
		response.error = NULL;
	command_answer(command, &response);
}

void run_answer_as(struct command *command, const struct exec_outcome *outcome, enum error_code code,
		   const char *reason, const char *error)
{
	struct response response = {
		.has_exit_code = outcome->exit_code >= 0,
		.exit_code = outcome->exit_code,
		.out = { outcome->out.bytes, outcome->out.len, outcome->out.total },
		.err = { outcome->err.bytes, outcome->err.len, outcome->err.total },
		.code = code,
		.reason = reason,
		.error = error,
	};

	command_answer(command, &response);
}

static void on_done(void *data, struct exec_outcome *outcome)
{
	struct command *command = data;

	command->job = NULL;
	command->pid = 0;
	command->detached = false;
	if (command->end)
		return;
	/* The end of a detached run is recorded with its unit: the next agent process reads it. */
	if (outcome->goes_on)
		command_leave(command);
	else if (command->on_run_done)
		command->on_run_done(command, outcome);
	else
		run_answer(command, outcome, NULL, NULL);
	command_settle(command);
}

static void on_started(void *data, pid_t pid)
{
	struct command *command = data;

	command->pid = pid;
}

static void on_output(void *data, enum exec_stream from, const char *bytes, size_t len)
{
	struct command *command = data;

	command->output_bytes += len;
	if (command->stream && !command->question)
		stream_put(command, from, bytes, len);
}

static void fail_start(struct command *command, struct exec *exec, int error)
{
	if (error == -ENOTCONN || error == -EHOSTDOWN)
		privilege_fail(command, exec, error);
	else if (error == -EINVAL)
		command_fail(command, CODE_INVALID_PARAMETERS, "bad_value", "working_dir must be an absolute path");
	else if (error == -E2BIG)
		command_fail(command, CODE_TOO_LARGE, "too_large", "command and environment together are over 128 KiB");
	else if (error == -ESHUTDOWN)
		command_fail(command, CODE_SHUTTING_DOWN, NULL, "the agent is stopping");
	else
		command_fail(command, CODE_INTERNAL, "resource", "the command could not be handed over: %s",
			     strerror(-error));
}

/*
 * True if `name` is the agent's own user: such a program needs no further rights. The names are read once from
 * /etc/passwd: the name service may ask the network, and the loop must not wait for that.
 */
static bool is_own_user(const char *name)
{
	static char own[4][PASSWD_NAME_SIZE];
	static bool known;

	if (!known)
		passwd_names_of("/etc/passwd", geteuid(), own, ARRAY_SIZE(own));
	known = true;
	for (size_t i = 0; name && i < ARRAY_SIZE(own); i++)
		if (*own[i] && strcmp(own[i], name) == 0)
			return true;
	return false;
}

/* A program for a local client always runs as the agent's own user: a local client gets no rights by asking. */
static struct exec *choose_executor(const struct command *command, const struct run *run)
{
	if (!run->privileged || !command->from_host || (privilege_is_root() && !detached_attaches(command)) ||
	    is_own_user(run->user))
		return command_env(command)->runner;
	return command_env(command)->executor;
}

bool run_has_rights(const struct command *command)
{
	return command->from_host || privilege_is_root();
}

/* Makes the request a detached run: in a new unit, or attached to the unit that exists already. 0 or -ENOMEM. */
static int detach(struct command *command, const struct run *run, struct exec_request *request)
{
	request->attach = detached_attaches(command);
	if (request->attach) {
		request->max_output_bytes = command->unit->max_output;
		command->unit->attach = false;
	} else {
		int r = detached_begin(command, run->step, request->max_output_bytes);

		if (r < 0)
			return r;
		if (run->note)
			detached_note_write(command, run->note->bytes, run->note->len);
	}
	request->unit = command->unit->name;
	request->live = command->message.stream;
	return 0;
}

void run_program(struct command *command, const struct run *run)
{
	struct exec *exec = choose_executor(command, run);
	static const struct exec_callbacks callbacks = { .started = on_started, .output = on_output, .done = on_done };
	const struct config *config = command_env(command)->config;
	/* A program with an input is not detached: the input is stored nowhere. */
	bool detached =
		(command->group == GROUP_PACKAGES || command->group == GROUP_POWER || detached_attaches(command)) &&
		exec == command_env(command)->executor && !run->input;
	_cleanup_(environment_done) struct environment env = { .count = 0 };
	struct exec_request request = {
		.argv = run->argv,
		.envp = (const char *const *)env.list,
		.cwd = run->cwd,
		.user = run->user,
		.term_ns = command->term_ns,
		.kill_ns = command->deadline_ns,
		.max_output_bytes = run->max_output_bytes ? run->max_output_bytes : config->commands.max_output_bytes,
		.action = command->action->name,
		.group = command->group,
		.input = run->input,
	};
	int r = environment_make(&env, run->variables);

	/* From here on the executor keeps the deadline. */
	command->async = false;
	deadline_stop(&command->timer);
	if (command->end)
		return;
	if (command->cancelled) {
		command_fail(command, CODE_CANCELLED, NULL, "the command was cancelled");
		return;
	}
	/* The privileged executor limits the command as a whole, by its own look at these. */
	if (exec == command_env(command)->runner)
		request.limits = (struct exec_limits){ .address_space_bytes = config->commands.max_memory_bytes,
						       .processes = config->commands.max_tasks };
	command->on_run_done = run->done;
	command->question = run->question;
	if (command->message.stream)
		stream_begin(command);
	if (!detached_attaches(command))
		record_program(command, run->argv);
	if (r == 0 && detached)
		r = detach(command, run, &request);
	if (r == 0)
		r = exec_start(exec, &request, &callbacks, command, &command->job);
	command->detached = r == 0 && detached;
	if (r == -ESHUTDOWN && command->unit && !detached)
		command_leave(command);
	else if (r < 0 && run->optional)
		run->done(command, &(struct exec_outcome){
					   .exit_code = -1, .spawn_errno = -r, .spawn_stage = EXEC_STAGE_CONNECT });
	else if (r < 0)
		fail_start(command, exec, r);
}
