/* SPDX-License-Identifier: MIT */
/*
 * exec and exec-status: programs of the host's choice, as root, each in a unit of its own that ends with the agent. The
 * host knows a program by its pid, until it has been told of its end.
 */
#include "agent/qga/programs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include <infiniservice/cleanup.h>

#include "agent/qga/base64.h"
#include "agent/qga/root.h"
#include "agent/qga/table.h"
#include "agent/rules/policy.h"
#include "agent/rules/requests.h"
#include "agent/runner/protocol.h"

#define WORDS_MAX (RUNNER_ARGS_MAX - 8)

enum capture { CAPTURE_NONE, CAPTURE_STDOUT, CAPTURE_STDERR, CAPTURE_SEPARATED, CAPTURE_MERGED, CAPTURES };

struct program {
	struct program *next;
	struct qga_programs *owner; /* NULL: forgotten, and freed when it has ended */
	struct qga_call *call;	    /* waits for its pid; NULL: none */
	enum capture capture;
	pid_t pid; /* 0: not started yet */
	bool ended;
	struct exec_outcome outcome; /* with its output, when it has ended */
};

struct qga_programs {
	struct program *first; /* the youngest */
};

/* ----------------------------------------------------------------------------------------------------- the table */

struct qga_programs *qga_programs_new(void)
{
	return calloc(1, sizeof(struct qga_programs));
}

static void program_free(struct program *program)
{
	free(program->outcome.out.bytes);
	free(program->outcome.err.bytes);
	free(program);
}

static void forget(struct program *program)
{
	struct program **at = &program->owner->first;

	while (*at != program)
		at = &(*at)->next;
	*at = program->next;
	program->owner = NULL;
	if (program->ended)
		program_free(program);
}

struct qga_programs *qga_programs_free(struct qga_programs *programs)
{
	while (programs && programs->first)
		forget(programs->first);
	free(programs);
	return NULL;
}

static struct program *find(struct qga_programs *programs, int64_t pid)
{
	struct program *program = programs->first;

	while (program && program->pid != pid)
		program = program->next;
	return program;
}

/* Makes room for one more. False: too many run. */
static bool make_room(struct qga_programs *programs)
{
	struct program *oldest = NULL;
	unsigned running = 0, count = 0;

	for (struct program *program = programs->first; program; program = program->next, count++) {
		running += !program->ended;
		if (program->ended)
			oldest = program;
	}
	if (running >= QGA_PROGRAMS_RUNNING)
		return false;
	if (count >= QGA_PROGRAMS_KEPT)
		forget(oldest); /* of so many most have ended */
	return true;
}

/* ---------------------------------------------------------------------------------------------------------- exec */

static const struct qga_param exec_params[] = { { "path", QGA_TEXT, true },	      { "arg", QGA_LIST, false },
						{ "env", QGA_LIST, false },	      { "input-data", QGA_TEXT, false },
						{ "capture-output", QGA_ANY, false }, { NULL, QGA_TEXT, false } };
static const struct qga_param status_params[] = { { "pid", QGA_INTEGER, true }, { NULL, QGA_TEXT, false } };

static void emit_pid(struct sink *out, const char *key, const void *arg)
{
	sink_object_begin(out, key);
	sink_int(out, "pid", *(const pid_t *)arg);
	sink_object_end(out);
}

static void on_started(void *data, pid_t pid)
{
	struct program *program = data;
	struct qga_call *call = program->call;

	program->pid = pid;
	program->call = NULL;
	if (!call)
		return;
	call->work = NULL;
	qga_return(call, emit_pid, &pid);
}

static void on_ended(void *data, struct exec_outcome *outcome)
{
	struct program *program = data;
	struct qga_call *call = program->call;

	program->ended = true;
	program->outcome = *outcome;
	outcome->out.bytes = outcome->err.bytes = NULL;
	program->outcome.words = "";
	program->call = NULL;
	if (call) {
		call->work = NULL;
		qga_fail(call, "Failed to execute child process: %s",
			 *outcome->words ? outcome->words
					 : strerror(outcome->spawn_errno ? outcome->spawn_errno : EIO));
	}
	if (!program->owner)
		program_free(program);
	else if (!program->pid)
		forget(program);
}

static void drop(struct qga_call *call)
{
	struct program *program = call->work;

	if (program)
		program->call = NULL;
	call->work = NULL;
}

/* Texts of a list of the request into words[*count], up to WORDS_MAX. False: there are others, or too many. */
static bool texts_take(const struct qga_call *call, const char *name, const char **words, size_t *count)
{
	struct json_object *list = NULL;
	size_t length;

	if (!json_object_object_get_ex(call->request.arguments, name, &list))
		return true;
	length = json_object_array_length(list);
	for (size_t i = 0; i < length; i++) {
		struct json_object *item = json_object_array_get_idx(list, i);

		if (*count == WORDS_MAX || !json_object_is_type(item, json_type_string) ||
		    strlen(json_object_get_string(item)) != (size_t)json_object_get_string_len(item))
			return false;
		words[(*count)++] = json_object_get_string(item);
	}
	words[*count] = NULL;
	return true;
}

/* False: the member is neither a bool nor one of the words. */
static bool capture_of(const struct qga_call *call, enum capture *ret)
{
	static const char *const words[CAPTURES] = { "none", "stdout", "stderr", "separated", "merged" };
	struct json_object *value;

	*ret = CAPTURE_NONE;
	if (!json_object_object_get_ex(call->request.arguments, "capture-output", &value))
		return true;
	if (json_object_is_type(value, json_type_boolean)) {
		*ret = json_object_get_boolean(value) ? CAPTURE_SEPARATED : CAPTURE_NONE;
		return true;
	}
	for (int i = 0; json_object_is_type(value, json_type_string) && i < CAPTURES; i++)
		if (strcmp(words[i], json_object_get_string(value)) == 0) {
			*ret = (enum capture)i;
			return true;
		}
	return false;
}

/* The input of the request, decoded, as a descriptor in *ret; -1: none. 0 or -errno. */
static int input_of(const struct qga_call *call, int *ret)
{
	const char *coded = qga_request_text(&call->request, "input-data", NULL);
	_cleanup_(freep) char *bytes = NULL;
	ssize_t len;

	*ret = -1;
	if (!coded)
		return 0;
	bytes = malloc(strlen(coded) + 1);
	len = bytes ? base64_decode(coded, bytes, strlen(coded)) : -ENOMEM;
	if (len >= 0)
		*ret = input_new(bytes, (size_t)len);
	return len < 0 ? (int)len : *ret < 0 ? *ret : 0;
}

static void start(struct qga_call *call, const struct exec_request *request, enum capture capture)
{
	static const struct exec_callbacks callbacks = { .started = on_started, .done = on_ended };
	struct qga_programs *programs = call->env->programs;
	struct program *program = calloc(1, sizeof(*program));
	struct exec_job *job;
	int r = -ENOMEM;

	if (program) {
		*program = (struct program){
			.next = programs->first, .owner = programs, .call = call, .capture = capture
		};
		r = exec_start(call->env->root, request, &callbacks, program, &job);
	}
	if (r < 0) {
		free(program);
		qga_fail(call, "Failed to execute child process: %s",
			 r == -ENOTCONN ? "the executor of this guest is off (infiniservice-exec.socket)"
					: strerror(-r));
		return;
	}
	programs->first = program;
	call->work = program;
}

static void run_exec(struct qga_call *call)
{
	static const char *words[WORDS_MAX + 1], *environment[WORDS_MAX + 1];
	char path[4096];
	_cleanup_(closep) int input_fd = -1;
	enum capture capture;
	size_t count = 0, variables = 0;
	struct exec_request request = { .argv = words,
					.action = call->command->name,
					.group = GROUP_CONTROL,
					.term_ns = TIME_NEVER,
					.kill_ns = TIME_NEVER };
	bool has_environment = json_object_object_get_ex(call->request.arguments, "env", NULL);
	int r = input_of(call, &input_fd);

	words[count++] = exec_program_path(path, sizeof(path));
	words[count++] = "become";
	if (input_fd >= 0) {
		words[count++] = "input";
		request.input = &input_fd;
	}
	if (!capture_of(call, &capture)) {
		qga_fail(call, "Parameter 'capture-output' is neither a boolean nor one of none, stdout, stderr, "
			       "separated, merged");
		return;
	}
	if (capture == CAPTURE_MERGED)
		words[count++] = "merged";
	words[count++] = "--";
	words[count++] = qga_request_text(&call->request, "path", "");
	request.envp = has_environment ? environment : runner_environment;
	if (r < 0)
		qga_fail(call, "input-data: %s", r == -EBADMSG ? "invalid base64" : strerror(-r));
	else if (!texts_take(call, "arg", words, &count) || !texts_take(call, "env", environment, &variables))
		qga_fail(call, "Parameter 'arg' or 'env' is no list of texts, or too long");
	else if (!make_room(call->env->programs))
		qga_fail(call, "%d programs run already", QGA_PROGRAMS_RUNNING);
	else {
		words[count] = NULL;
		start(call, &request, capture);
	}
}

/* ---------------------------------------------------------------------------------------------------------- status */

static void emit_data(struct sink *out, const char *data_key, const char *cut_key, const struct exec_output *output)
{
	size_t size = BASE64_SIZE(output->len);
	char *text = output->len ? malloc(size) : NULL;

	if (text) {
		base64_encode(output->bytes, output->len, text);
		sink_text(out, data_key, text, size - 1, size);
	}
	if (output->total > output->len || (output->len && !text))
		sink_bool(out, cut_key, true);
	free(text);
}

static void emit_status(struct sink *out, const char *key, const void *arg)
{
	const struct program *program = arg;
	const struct exec_outcome *o = &program->outcome;
	bool stdout_too = program->capture != CAPTURE_NONE && program->capture != CAPTURE_STDERR;

	sink_object_begin(out, key);
	sink_bool(out, "exited", program->ended);
	if (program->ended && o->signal)
		sink_int(out, "signal", o->signal);
	else if (program->ended)
		sink_int(out, "exitcode", o->exit_code);
	if (program->ended && stdout_too)
		emit_data(out, "out-data", "out-truncated", &o->out);
	if (program->ended && (program->capture == CAPTURE_STDERR || program->capture == CAPTURE_SEPARATED))
		emit_data(out, "err-data", "err-truncated", &o->err);
	sink_object_end(out);
}

static void run_status(struct qga_call *call)
{
	int64_t pid = qga_request_integer(&call->request, "pid", 0);
	struct program *program = pid > 0 ? find(call->env->programs, pid) : NULL;

	if (!program) {
		qga_fail(call, "PID %lld does not exist", (long long)pid);
		return;
	}
	qga_return(call, emit_status, program);
	if (program->ended)
		forget(program);
}

const struct qga_command qga_command_exec = {
	.name = "guest-exec", .params = exec_params, .run = run_exec, .drop = drop, .possible = qga_root_possible
};
const struct qga_command qga_command_exec_status = {
	.name = "guest-exec-status", .params = status_params, .run = run_status, .possible = qga_root_possible
};
