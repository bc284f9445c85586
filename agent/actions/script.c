/* SPDX-License-Identifier: MIT */
/* Scripts from their arrival to their one completion; see script.h. Last in it: UnsafeCommand, a line for a shell. */
#include "agent/actions/script.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <json-c/json.h>

#include "agent/actions/env.h"
#include "agent/actions/run.h"
#include "agent/actions/table.h"
#include "agent/peer/session.h"
#include "agent/runner/protocol.h"

#define REQUEST_AGAIN_NS     (10 * NS_PER_S)
#define ENVIRONMENT_NAME_MAX 128
#define SCRIPT_DIR	     "scripts"

/* -------------------------------------------------------------------------------------------------------- reading */

const char *script_interpreter(const char *shell)
{
	static const char *const known[] = { "sh", "bash", "dash", "zsh", "ksh", "python3", "perl" };

	if (!shell || !*shell)
		return "sh";
	if (strcasecmp(shell, "python") == 0)
		return "python3";
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcasecmp(shell, known[i]) == 0)
			return known[i];
	return NULL;
}

bool script_input_name(const char *name, bool capitals, char *out, size_t size)
{
	size_t prefix = strlen("INPUT_"), len = strlen(name);

	if (len == 0 || prefix + len >= size)
		return false;
	memcpy(out, "INPUT_", prefix);
	for (size_t i = 0; i <= len; i++) {
		unsigned char c = (unsigned char)name[i];

		if (c && !(c < 0x80 && isalnum(c)))
			c = '_';
		out[prefix + i] = (char)(capitals ? toupper(c) : c);
	}
	return true;
}

bool script_text(struct json_object *object, const char *key, const char **ret)
{
	struct json_object *value = NULL;

	if (!json_object_object_get_ex(object, key, &value) || !value)
		return true;
	if (!json_object_is_type(value, json_type_string) ||
	    strlen(json_object_get_string(value)) != (size_t)json_object_get_string_len(value))
		return false;
	*ret = json_object_get_string(value);
	return true;
}

static bool inputs_are_fit(struct json_object *inputs)
{
	char name[ENVIRONMENT_NAME_MAX];

	if (!json_object_is_type(inputs, json_type_object))
		return !inputs;
	json_object_object_foreach(inputs, key, value)
	{
		const char *text = NULL;

		if (!script_input_name(key, false, name, sizeof(name)) ||
		    (json_object_is_type(value, json_type_string) && !script_text(inputs, key, &text)))
			return false;
	}
	return true;
}

const char *script_read(struct json_object *item, struct script *script)
{
	struct json_object *timeout = NULL;

	if (!script_text(item, "script_content", &script->content) || !script->content)
		return "script_content is missing or no text";
	script->content_len = strlen(script->content);
	if (!script_text(item, "shell", &script->shell) || !script_interpreter(script->shell))
		return "shell is none of sh, bash, dash, zsh, ksh, python3, python, perl";
	if (!script_text(item, "run_as", &script->run_as))
		return "run_as is no text";
	if (json_object_object_get_ex(item, "timeout_seconds", &timeout) && timeout) {
		script->timeout_s = json_object_is_type(timeout, json_type_int) ? json_object_get_int64(timeout) : -1;
		if (script->timeout_s < 1 || script->timeout_s > MESSAGE_TIMEOUT_MAX_S)
			return "timeout_seconds has to be 1 to 86400";
	}
	json_object_object_get_ex(item, "input_values", &script->inputs);
	if (!inputs_are_fit(script->inputs))
		return "input_values has to be an object of values that an environment can hold";
	return NULL;
}

struct json_object *script_environment(struct json_object *inputs)
{
	struct json_object *variables = json_object_new_object();
	char name[ENVIRONMENT_NAME_MAX];

	if (!variables || !inputs)
		return variables;
	json_object_object_foreach(inputs, key, value)
	{
		const char *text = value ? json_object_get_string(value) : "";

		for (int capitals = 0; capitals < 2; capitals++) {
			struct json_object *copy = json_object_new_string(text ? text : "");

			if (!copy || !script_input_name(key, capitals, name, sizeof(name)) ||
			    json_object_object_add(variables, name, copy) < 0) {
				json_object_put(copy);
				json_object_put(variables);
				return NULL;
			}
		}
	}
	return variables;
}

/* ---------------------------------------------------------------------------------------------------- completions */

/* A completion that could not be sent yet. */
struct unsent {
	struct unsent *next;
	uint64_t serial; /* in the journal */
	struct line *line;
};

/* Takes off the oldest one. */
static void forget_oldest(struct scripts *scripts)
{
	struct unsent *oldest = scripts->unsent;

	scripts->unsent = oldest->next;
	if (!scripts->unsent)
		scripts->unsent_end = &scripts->unsent;
	scripts->unsent_count--;
	scripts->unsent_bytes -= oldest->line->len;
	line_unref(oldest->line);
	free(oldest);
}

/* Holds a completion for the next session; the oldest ones are dropped if there are too many. */
static void keep_unsent(struct scripts *scripts, struct line *line, uint64_t serial)
{
	struct unsent *unsent = calloc(1, sizeof(*unsent));

	while (scripts->unsent && (scripts->unsent_count >= SCRIPTS_UNSENT_MAX ||
				   scripts->unsent_bytes + line->len > SCRIPTS_UNSENT_BYTES)) {
		scripts->dropped++;
		journal_answered(scripts->commands->record.journal, scripts->unsent->serial);
		forget_oldest(scripts);
	}
	if (!unsent) {
		scripts->dropped++;
		return;
	}
	*unsent = (struct unsent){ .line = line_ref(line), .serial = serial };
	*scripts->unsent_end = unsent;
	scripts->unsent_end = &unsent->next;
	scripts->unsent_count++;
	scripts->unsent_bytes += line->len;
}

/* Sends the completion in the writer, or holds it. True when it was sent. */
static bool complete(struct scripts *scripts, uint64_t serial)
{
	const struct json_writer *writer = scripts->host->peers->writer;
	struct line *line = line_new(LINE_REPLY, writer->buf, writer->len);
	bool sent;

	scripts->completed++;
	if (!line) {
		scripts->dropped++;
		return false;
	}
	sent = scripts->host->present && scripts->host->send(scripts->host, line) == 0;
	if (!sent)
		keep_unsent(scripts, line, serial);
	line_unref(line);
	return sent;
}

static void complete_unrun(struct scripts *scripts, const char *id, uint64_t serial, const char *words)
{
	struct peers *peers = scripts->host->peers;
	size_t len = strlen(words);
	struct reply_script reply = { .execution_id = id, .exit_code = -1, .err = { words, len, len } };

	if (reply_script_completion(peers->writer, peers->loop->now.wall_ms, &reply) == 0 && complete(scripts, serial))
		journal_answered(scripts->commands->record.journal, serial);
}

void scripts_dropped(struct scripts *scripts, const struct line *line)
{
	static const char begin[] = "{\"type\":\"script_completion\"";
	struct line *copy;

	if (line->len < sizeof(begin) || memcmp(line->text, begin, sizeof(begin) - 1) != 0)
		return;
	copy = line_new(LINE_REPLY, line->text, line->len);
	if (copy)
		keep_unsent(scripts, copy, 0);
	line_unref(copy);
}

void scripts_lost(struct scripts *scripts, uint64_t serial, const char *execution_id)
{
	complete_unrun(scripts, execution_id, serial, "lost: agent_restart\n");
}

/*
 * ----------------------------------------------------------------------------------------------------------- requests
 */

static bool scripts_allowed(const struct scripts *scripts, const struct session *session)
{
	return commands_permit(scripts->commands, session, action_script.name, GROUP_EXEC);
}

static void request(void *data)
{
	struct scripts *scripts = data;
	struct peers *peers = scripts->host->peers;

	deadline_stop(&scripts->request_again);
	if (!scripts->host->present || scripts->commands->closed || !scripts_allowed(scripts, scripts->host))
		return;
	if (reply_request_pending_scripts(peers->writer, peers->loop->now.wall_ms, scripts->vm_id) == 0)
		session_answer(scripts->host, LINE_EVENT);
	if (++scripts->requests < SCRIPTS_REQUESTS)
		deadline_after(&scripts->request_again, REQUEST_AGAIN_NS * scripts->requests);
}

void scripts_session_began(struct scripts *scripts)
{
	while (scripts->unsent && scripts->host->send(scripts->host, scripts->unsent->line) == 0) {
		journal_answered(scripts->commands->record.journal, scripts->unsent->serial);
		forget_oldest(scripts);
	}
	scripts->requests = 0;
	request(scripts);
}

void scripts_session_ended(struct scripts *scripts)
{
	deadline_stop(&scripts->request_again);
}

/*
 * Up to 0.1.0 a running script lay in a file that other users could read. The interpreter is given a descriptor now
 */
static void remove_old_files(const char *runtime_dir)
{
	_cleanup_(closep) int base = open(runtime_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = base < 0 ? -1 : openat(base, SCRIPT_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(dir)))
		if (strlen(entry->d_name) == 32 && strspn(entry->d_name, "0123456789abcdef") == 32)
			unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	unlinkat(base, SCRIPT_DIR, AT_REMOVEDIR);
}

void scripts_init(struct scripts *scripts, struct commands *commands, struct session *host, const char *vm_id)
{
	*scripts = (struct scripts){ .commands = commands, .host = host, .vm_id = vm_id };
	scripts->unsent_end = &scripts->unsent;
	deadline_init(&scripts->request_again, commands->loop, request, scripts);
	remove_old_files(commands->config->agent.runtime_dir);
}

void scripts_done(struct scripts *scripts)
{
	scripts_session_ended(scripts);
	while (scripts->unsent)
		forget_oldest(scripts);
}

void scripts_report(const struct scripts *scripts, struct sink *out)
{
	sink_uint(out, "received", scripts->received);
	sink_uint(out, "refused", scripts->refused);
	sink_uint(out, "completed", scripts->completed);
	sink_uint(out, "unsent", scripts->unsent_count);
	sink_uint(out, "dropped", scripts->dropped);
}

/*
 * -------------------------------------------------------------------------------------------------------------- taking
 */

static bool under_way(const struct commands *commands, const char *id)
{
	for (const struct command *command = commands->first; command; command = command->next)
		if (command->action == &action_script && command->state != COMMAND_OVER &&
		    strcmp(command->message.id, id) == 0)
			return true;
	return false;
}

static void refuse(struct scripts *scripts, struct session *session, const struct message *message,
		   enum error_code code, const char *words)
{
	char text[160];

	scripts->refused++;
	record_refused(scripts->commands, session, message, code);
	snprintf(text, sizeof(text), "%s\n", words);
	complete_unrun(scripts, message->id, 0, text);
}

static void take(struct scripts *scripts, struct session *session, struct json_object *item, const char *id)
{
	struct script script = { .id = id };
	const char *fault = script_read(item, &script);
	struct message message = { .type = MESSAGE_PENDING_SCRIPTS,
				   .root = json_object_get(item),
				   .has_timeout = script.timeout_s > 0,
				   .timeout_s = (uint32_t)script.timeout_s },
		       told;
	int r;

	snprintf(message.id, sizeof(message.id), "%s", id);
	if (fault)
		refuse(scripts, session, &message, CODE_INVALID_PARAMETERS, fault);
	else if (!scripts_allowed(scripts, session))
		refuse(scripts, session, &message, CODE_POLICY_DENIED,
		       "the policy of this guest does not allow scripts ([commands] allow_unsafe in "
		       "infiniservice.conf)");
	else if (scripts->commands->closed)
		refuse(scripts, session, &message, CODE_SHUTTING_DOWN, "the agent is stopping");
	else if (scripts->commands->frozen)
		refuse(scripts, session, &message, CODE_COMMAND_FAILED, "the file systems of this guest are frozen");
	else {
		told = message; /* for its refusal: the message itself is given away */
		json_object_get(told.root);
		r = commands_submit_action(scripts->commands, session, &message, &action_script, NULL, NULL);
		if (r < 0)
			refuse(scripts, session, &told, CODE_QUEUE_FULL,
			       r == -ENOBUFS ? "all slots and the queue are taken" : "out of memory");
		json_object_put(told.root);
		return;
	}
	message_free(&message);
}

void scripts_take(struct scripts *scripts, struct session *session, struct json_object *items)
{
	static const struct message_fault unnamed = {
		.code = CODE_INVALID_MESSAGE,
		.reason = "missing_field",
		.text = "a script without an execution_id of 1 to 128 bytes cannot be answered"
	};
	size_t count = json_object_array_length(items);

	if (session->kind == SESSION_PORT)
		deadline_stop(&scripts->request_again);
	for (size_t i = 0; i < count; i++) {
		struct json_object *item = json_object_array_get_idx(items, i);
		const char *id = NULL;

		if (!json_object_is_type(item, json_type_object) || !script_text(item, "execution_id", &id) || !id ||
		    !*id || strlen(id) >= MESSAGE_ID_SIZE) {
			session_refuse(session, &unnamed, NULL);
			continue;
		}
		scripts->received++;
		if (!under_way(scripts->commands, id)) /* idempotent: a duplicate is not run again */
			take(scripts, session, item, id);
	}
}

/*
 * ------------------------------------------------------------------------------------------------------------- running
 */

static void run_script(struct command *command)
{
	const struct config *config = command->commands->config;
	char program[64];
	struct script script = { .id = command->message.id };
	struct json_object *variables;
	_cleanup_(closep) int input = -1;
	struct run run = { .privileged = true };

	script_read(command->message.root, &script);
	if (!run_find(script_interpreter(script.shell), program, sizeof(program))) {
		command_fail(command, CODE_NOT_FOUND, "no_interpreter", "%s is not installed on this guest",
			     script_interpreter(script.shell));
		return;
	}
	if (!policy_user(config->commands.run_as, script.run_as, &run.user)) {
		command_fail(command, CODE_POLICY_DENIED, "run_as", POLICY_USER_WORDS);
		return;
	}
	input = input_new(script.content, script.content_len);
	variables = script_environment(script.inputs);
	if (input == -E2BIG) {
		command_fail(command, CODE_TOO_LARGE, "too_large", "a script may have %d bytes", INPUT_MAX);
	} else if (input >= 0 && variables) {
		const char *const argv[] = { program, RUNNER_INPUT_PATH, NULL };

		run.input = &input;
		run.argv = argv;
		run.variables = variables;
		run_program(command, &run);
	} else {
		command_fail(command, CODE_INTERNAL, "resource", "the guest lacks the memory for the script");
	}
	json_object_put(variables);
}

/*
 * A completion has no field for why it failed: the last line of stderr says it, unless it is but the script's own exit
 * code.
 */
static char *add_reason(const struct response *response, struct reply_stream *err)
{
	size_t words = response->error ? strlen(response->error) : 0;
	char *text;

	if (response->success || response->code == CODE_COMMAND_FAILED || words == 0)
		return NULL;
	text = malloc(err->len + words + 32);
	if (!text)
		return NULL;
	if (err->len)
		memcpy(text, err->bytes, err->len);
	words = (size_t)sprintf(text + err->len, "%sinfiniservice: %s\n",
				err->len && err->bytes[err->len - 1] != '\n' ? "\n" : "", response->error);
	*err = (struct reply_stream){ .bytes = text, .len = err->len + words, .total = err->total + words };
	return text;
}

static int script_encode(struct command *command, const struct response *response)
{
	struct commands *commands = command->commands;
	struct reply_script reply = {
		.execution_id = command->message.id,
		.exit_code = response->has_exit_code ? reply_exit_code(response) : -1,
		.out = response->out,
		.err = response->err,
	};
	char *text = add_reason(response, &reply.err);
	int r = reply_script_completion(commands->peers->writer, commands->loop->now.wall_ms, &reply);

	free(text);
	return r;
}

/* The completion goes to the present session of the host: every session knows the execution. */
static void script_deliver(struct command *command)
{
	if (!complete(command_env(command)->scripts, command->serial))
		command->serial = 0; /* pending in the journal until it has been sent */
}

const struct action action_script = { .name = "script",
				      .type = MESSAGE_PENDING_SCRIPTS,
				      .group = GROUP_EXEC,
				      .slot = true,
				      .slots = SLOTS_SCRIPTS,
				      .timeout_s = 600,
				      .run = run_script,
				      .encode = script_encode,
				      .deliver = script_deliver };

/* -------------------------------------------------------------------------------------------------- UnsafeCommand */

/*
 * A line for a shell. The host's choices are checked here: the shell is a name from a short list (never a path); the
 * user is that of the configuration, or the host's if the configuration names none.
 */
static const struct {
	const char *name, *path;
} shells[] = {
	{ "sh", "/bin/sh" },   { "bash", "/bin/bash" }, { "dash", "/bin/dash" },
	{ "zsh", "/bin/zsh" }, { "ksh", "/bin/ksh" },	{ "ash", "/bin/ash" },
};

static const char *find_shell(const char *name)
{
	if (!name)
		return "/bin/sh";
	for (size_t i = 0; i < ARRAY_SIZE(shells); i++)
		if (strcasecmp(shells[i].name, name) == 0)
			return shells[i].path;
	return NULL;
}

static void run_unsafe(struct command *command)
{
	const struct message *message = &command->message;
	const char *shell = find_shell(message->shell);
	const char *const argv[] = { shell, "-c", message->raw_command, NULL };
	struct run run = {
		.argv = argv,
		.variables = message->env_vars,
		.cwd = message->working_dir,
		.privileged = true,
	};

	if (!shell) {
		command_fail(command, CODE_INVALID_PARAMETERS, "bad_value",
			     "shell is one of sh, bash, dash, ash, ksh, zsh");
		return;
	}
	if (!policy_user(command_env(command)->config->commands.run_as, message->run_as, &run.user)) {
		command_fail(command, CODE_POLICY_DENIED, "run_as", POLICY_USER_WORDS);
		return;
	}
	run_program(command, &run);
}

const struct action action_unsafe = {
	.name = "unsafe", .type = MESSAGE_UNSAFE_COMMAND, .group = GROUP_EXEC, .slot = true, .run = run_unsafe
};
