/* SPDX-License-Identifier: MIT */
/* Programs and operations on behalf of commands, and the rights for them; see run.h. */
#include "agent/actions/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <json-c/json.h>

#include "agent/actions/env.h"
#include "agent/base/users.h"
#include "agent/rules/requests.h"
#include "agent/rules/unit_rules.h"
#include "agent/run/detached_files.h"

#define ENVIRONMENT_MAX 256

bool run_find(const char *name, char *out, size_t size)
{
	for (size_t i = 0; runner_directories[i]; i++)
		if (snprintf(out, size, "%s/%s", runner_directories[i], name) < (int)size && access(out, X_OK) == 0)
			return true;
	return false;
}

/* ------------------------------------------------------------------------------------------------------- its answer */

/* A program that was not started, by the step that failed. */
static const struct {
	enum error_code code;
	const char *reason, *words; /* words NULL: those of the executor alone */
} stages[] = {
	[RUNNER_STAGE_NONE] = { CODE_INTERNAL, "bad_value", "the guest lacks the resources to start it" },
	[RUNNER_STAGE_RESOURCE] = { CODE_INTERNAL, "resource", "the guest lacks the resources to start it" },
	[RUNNER_STAGE_USER] = { CODE_INVALID_PARAMETERS, "bad_value", "the user it should run as cannot be used" },
	[RUNNER_STAGE_CWD] = { CODE_INVALID_PARAMETERS, "bad_value", "working_dir cannot be used" },
	[RUNNER_STAGE_LIMITS] = { CODE_INTERNAL, "bad_value", "the guest lacks the resources to start it" },
	[RUNNER_STAGE_EXEC] = { CODE_COMMAND_FAILED, "exec_failed", "the program could not be executed" },
	[RUNNER_STAGE_POLICY] = { CODE_POLICY_DENIED, "executor", NULL },
	[RUNNER_STAGE_CONNECT] = { CODE_PERMISSION_DENIED, "no_executor", PRIVILEGE_NO_EXECUTOR },
	[RUNNER_STAGE_UNIT] = { CODE_INTERNAL, "bad_value", "the guest lacks the resources to start it" },
	[RUNNER_STAGE_EXECUTOR] = { CODE_INTERNAL, PRIVILEGE_REASON_FAULT, NULL },
};

/* Fills code, reason and error text from how the command ended. `text` is storage for the words. */
static void judge(struct response *response, const struct exec_outcome *outcome, bool stopping, char *text, size_t size)
{
	enum runner_stage stage = outcome->spawn_stage;

	response->error = text;
	if (outcome->lost) {
		response->code = CODE_INTERNAL;
		response->reason = outcome->attached ? "lost: agent_restart" : "lost";
		snprintf(text, size, "%s",
			 outcome->attached ? "lost: agent_restart (the agent ended before the command did, and its "
					     "unit is gone)"
					   : "the executor died; the command was killed with it");
	} else if (outcome->spawn_errno || stage == RUNNER_STAGE_POLICY || stage == RUNNER_STAGE_CONNECT ||
		   stage == RUNNER_STAGE_EXECUTOR) {
		response->code = stages[stage].code;
		response->reason = stages[stage].reason;
		if (stage == RUNNER_STAGE_USER && outcome->spawn_errno == EPERM)
			response->code = CODE_PERMISSION_DENIED;
		if (!stages[stage].words)
			snprintf(text, size, "%s", outcome->words);
		else if (stage == RUNNER_STAGE_CONNECT)
			snprintf(text, size, "%s (%s)", stages[stage].words, outcome->words);
		else
			snprintf(text, size, "%s: %s", stages[stage].words,
				 *outcome->words ? outcome->words : strerror(outcome->spawn_errno));
	} else if (outcome->cancelled) {
		response->code = stopping ? CODE_SHUTTING_DOWN : CODE_CANCELLED;
		snprintf(text, size, "%s",
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
		response->error = NULL;
	}
}

bool run_succeeded(const struct exec_outcome *outcome)
{
	return outcome->started && outcome->spawn_errno == 0 && !outcome->oom_killed && !outcome->lost &&
	       !outcome->cancelled && !outcome->stuck && !outcome->timed_out && outcome->exit_code == 0;
}

/* With the streams and the exit code of the program. */
static void answer(struct command *command, const struct exec_outcome *outcome, struct response *response)
{
	response->has_exit_code = outcome->exit_code >= 0;
	response->exit_code = outcome->exit_code;
	response->out = (struct reply_stream){ outcome->out.bytes, outcome->out.len, outcome->out.total };
	response->err = (struct reply_stream){ outcome->err.bytes, outcome->err.len, outcome->err.total };
	command_answer(command, response);
}

void run_answer(struct command *command, const struct exec_outcome *outcome,
		void (*data)(struct sink *sink, const char *key, const void *arg), const void *arg)
{
	struct response response = { .data = data, .arg = arg };
	char text[640];

	judge(&response, outcome, command->commands->closed, text, sizeof(text));
	answer(command, outcome, &response);
}

void run_answer_as(struct command *command, const struct exec_outcome *outcome, enum error_code code,
		   const char *reason, const char *error)
{
	answer(command, outcome, &(struct response){ .code = code, .reason = reason, .error = error });
}

/* -------------------------------------------------------------------------------------------------------- elevation */

bool privilege_is_root(void)
{
	return geteuid() == 0;
}

/*
 * Answers a command that the executor cannot take; `error` is that of exec_start: -ENOTCONN (the executor is off) or
 * -EHOSTDOWN (it can never start).
 */
static void refuse(struct command *command, struct exec *exec, int error)
{
	const char *fault = exec_fault(exec);

	if (error == -EHOSTDOWN)
		command_fail(command, CODE_INTERNAL, PRIVILEGE_REASON_FAULT, "%s", fault);
	else
		command_fail(command, CODE_PERMISSION_DENIED, "no_executor", *fault ? "%s (%s)" : "%s",
			     PRIVILEGE_NO_EXECUTOR, fault);
}

bool privilege_require(struct command *command)
{
	struct exec *executor = command_env(command)->executor;
	int r;

	if (!command->from_host) {
		command_fail(command, CODE_POLICY_DENIED, "local",
			     "clients of the local socket may look, and nothing else");
		return false;
	}
	r = exec_warm(executor);
	/* A passing state of the executor is no refusal: it is tried again at the start. */
	if (r != -ENOTCONN && r != -EHOSTDOWN)
		return true;
	refuse(command, executor, r);
	return false;
}

/* Attaching to a detached run needs no executor: its files are enough. */
bool privilege_require_program(struct command *command)
{
	return (command->from_host && (privilege_is_root() || run_attaches(command))) || privilege_require(command);
}

bool run_has_rights(const struct command *command)
{
	return command->from_host || privilege_is_root();
}

/* -------------------------------------------------------------------------------------------------------- operations
 */

struct privilege_operation {
	bus_reply_fn done; /* NULL: forgotten */
	void *data;
};

static struct bus_reply refusal(const char *name, const char *text)
{
	return (struct bus_reply){ .error = -EREMOTEIO, .name = name, .text = text };
}

static void on_operation(void *data, struct exec_outcome *outcome)
{
	_cleanup_(freep) struct privilege_operation *operation = data;
	struct bus_reply reply = { .error = outcome->operation_error, .name = "" };
	char words[640], *blank; /* the executor's words */

	snprintf(words, sizeof(words), "%s", outcome->words);
	reply.text = words;
	if (outcome->spawn_stage == RUNNER_STAGE_POLICY) {
		reply = refusal(PRIVILEGE_ERROR_POLICY, words);
	} else if (outcome->spawn_stage == RUNNER_STAGE_UNIT) {
		reply = refusal(UNIT_ERROR_DENIED, words);
	} else if (outcome->spawn_stage == RUNNER_STAGE_CONNECT) {
		reply = refusal(PRIVILEGE_ERROR_ABSENT, PRIVILEGE_NO_EXECUTOR);
	} else if (outcome->spawn_stage == RUNNER_STAGE_EXECUTOR) {
		reply = refusal(PRIVILEGE_ERROR_FAULT, words);
	} else if (outcome->timed_out) {
		reply = (struct bus_reply){ .error = -ETIMEDOUT, .name = "", .text = "no answer in time" };
	} else if (outcome->lost || outcome->spawn_errno || outcome->cancelled) {
		reply = refusal(PRIVILEGE_ERROR_LOST,
				"the executor died or has no room; what became of it is not known");
	} else if (outcome->operation_error == -EREMOTEIO) { /* "NAME WORDS" of the peer */
		blank = strchr(words, ' ');
		if (blank)
			*blank++ = '\0';
		reply = refusal(words, blank ? blank : "");
	}
	if (operation->done)
		operation->done(operation->data, &reply);
}

int privilege_operation_start(struct action_env *env, const struct privilege_request *wanted, bus_reply_fn done,
			      void *data, struct privilege_operation **ret)
{
	static const struct exec_callbacks callbacks = { .done = on_operation };
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
		return refusal(PRIVILEGE_ERROR_ABSENT, PRIVILEGE_NO_EXECUTOR);
	if (error == -EHOSTDOWN)
		return refusal(PRIVILEGE_ERROR_FAULT, exec_fault(env->executor));
	return refusal(PRIVILEGE_ERROR_LOST, strerror(-error));
}

/* The reply, or the end of the executor, frees the operation. */
struct privilege_operation *privilege_operation_cancel(struct privilege_operation *operation)
{
	if (operation)
		operation->done = NULL;
	return NULL;
}

/* ---------------------------------------------------------------------------------------------------- detached runs */

void run_forget(struct command *command)
{
	if (!command->unit)
		return;
	exec_forget(command_env(command)->executor, command->unit->name);
	free(command->unit);
	command->unit = NULL;
}

bool run_attaches(const struct command *command)
{
	return command->unit && command->unit->attach;
}

void run_note_read(struct command *command, char **ret, size_t *ret_len)
{
	int dir_fd = exec_detached_dir(command_env(command)->executor);

	*ret = NULL;
	if (dir_fd >= 0)
		detached_files_note_read(dir_fd, command->unit->name, ret, ret_len);
}

/*
 * Gives the command a new unit for its next program, also in the journal, with the note of the run; forgets the
 * previous unit. Unit names are unique even if the journal is lost: CLOCK_BOOTTIME never goes back within a boot. 0, or
 * -ENOMEM: it has none.
 */
static int detach(struct command *command, const struct run *run, size_t max_output)
{
	static const char *const defining[] = { "command_type",
						"params" }; /* the parts of the message for the journal */
	struct journal_run entry = { .received_ns = command->received_ns,
				     .term_ns = command->term_ns,
				     .deadline_ns = command->deadline_ns,
				     .max_output = max_output };
	int dir_fd = exec_detached_dir(command_env(command)->executor);
	struct json_object *request = json_object_new_object(), *value;
	const char *text;

	run_forget(command);
	command->unit = calloc(1, sizeof(*command->unit));
	if (!command->unit) {
		json_object_put(request);
		return -ENOMEM;
	}
	snprintf(command->unit->name, sizeof(command->unit->name), "%llx-%llx", (unsigned long long)command->serial,
		 (unsigned long long)(clock_ns(CLOCK_BOOTTIME) / NS_PER_US));
	memcpy(entry.unit, command->unit->name, sizeof(entry.unit));
	snprintf(entry.boot_id, sizeof(entry.boot_id), "%s", command_env(command)->detached.boot_id);
	snprintf(entry.step, sizeof(entry.step), "%s", run->step ? run->step : "");
	for (size_t i = 0; request && i < ARRAY_SIZE(defining); i++)
		if (json_object_object_get_ex(command->message.root, defining[i], &value))
			json_object_object_add(request, defining[i], json_object_get(value));
	text = request ? json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN) : NULL;
	if (text && strlen(text) <= JOURNAL_REQUEST_MAX)
		entry.request = text;
	journal_detach(command->commands->record.journal, command->serial, &entry);
	json_object_put(request);
	if (run->note && dir_fd >= 0)
		detached_files_note_write(dir_fd, command->unit->name, run->note->bytes, run->note->len);
	return 0;
}

/* --------------------------------------------------------------------------------------------------------- programs */

struct environment {
	char *list[ENVIRONMENT_MAX + 1]; /* NULL at the end; each on the heap */
	size_t count;
};

static void environment_done(struct environment *env)
{
	for (size_t i = 0; i < env->count; i++)
		free(env->list[i]);
}

/*
 * Takes over "NAME=value"; NULL: out of memory. Each name once: the value set last counts, so a host may replace what
 * we put there.
 */
static int environment_put(struct environment *env, char *assignment)
{
	size_t len = assignment ? strcspn(assignment, "=") + 1 : 0, i = 0;

	while (assignment && i < env->count && strncmp(env->list[i], assignment, len) != 0)
		i++;
	if (!assignment || i == ENVIRONMENT_MAX) {
		free(assignment);
		return -ENOMEM;
	}
	free(env->list[i]);
	env->list[i] = assignment;
	env->count += i == env->count;
	return 0;
}

static int environment_make(struct environment *env, struct json_object *wanted)
{
	int r = 0;

	for (size_t i = 0; runner_environment[i] && r == 0; i++)
		r = environment_put(env, strdup(runner_environment[i]));
	if (!wanted || r < 0)
		return r;
	json_object_object_foreach(wanted, name, value)
	{
		char *assignment;

		if (r == 0 && asprintf(&assignment, "%s=%s", name, json_object_get_string(value)) >= 0)
			r = environment_put(env, assignment);
		else
			r = -ENOMEM;
	}
	return r;
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

static void fail_start(struct command *command, struct exec *exec, int error)
{
	if (error == -ENOTCONN || error == -EHOSTDOWN)
		refuse(command, exec, error);
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

void run_program(struct command *command, const struct run *run)
{
	static const struct exec_callbacks callbacks = { .started = on_started, .output = on_output, .done = on_done };
	struct action_env *env = command_env(command);
	const struct config *config = env->config;
	bool attaches = run_attaches(command);
	/* A program for a local client always runs as the agent's own user: a local client gets no rights by asking. */
	bool own =
		!run->privileged || !command->from_host || (privilege_is_root() && !attaches) || is_own_user(run->user);
	struct exec *exec = own ? env->runner : env->executor;
	/* A program with an input is not detached: the input is stored nowhere. */
	bool detached =
		(command->group == GROUP_PACKAGES || command->group == GROUP_POWER || attaches) && !own && !run->input;
	_cleanup_(environment_done) struct environment variables = { .count = 0 };
	struct exec_request request = {
		.argv = run->argv,
		.envp = (const char *const *)variables.list,
		.cwd = run->cwd,
		.user = run->user,
		.term_ns = command->term_ns,
		.kill_ns = command->deadline_ns,
		.max_output_bytes = run->max_output_bytes ? run->max_output_bytes : config->commands.max_output_bytes,
		.action = command->action->name,
		.group = command->group,
		.input = run->input,
	};
	int r = environment_make(&variables, run->variables);

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
	if (own) {
		request.limits[RUNNER_LIMIT_AS] = config->commands.max_memory_bytes;
		request.limits[RUNNER_LIMIT_NPROC] = config->commands.max_tasks;
	}
	command->on_run_done = run->done;
	command->question = run->question;
	if (command->message.stream)
		stream_begin(command);
	if (!attaches)
		record_program(command, run->argv);
	if (r == 0 && detached && !attaches)
		r = detach(command, run, request.max_output_bytes);
	if (r == 0 && detached) {
		if (attaches)
			request.max_output_bytes = command->unit->max_output;
		request.attach = attaches;
		command->unit->attach = false;
		request.unit = command->unit->name;
		request.live = command->message.stream;
	}
	if (r == 0)
		r = exec_start(exec, &request, &callbacks, command, &command->job);
	command->detached = r == 0 && detached;
	if (r == -ESHUTDOWN && command->unit && !detached)
		command_leave(command);
	else if (r < 0 && run->optional)
		run->done(command, &(struct exec_outcome){ .exit_code = -1,
							   .spawn_errno = -r,
							   .spawn_stage = RUNNER_STAGE_CONNECT,
							   .words = "" });
	else if (r < 0)
		fail_start(command, exec, r);
}
