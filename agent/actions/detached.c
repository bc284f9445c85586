/* SPDX-License-Identifier: MIT */
#include "agent/actions/detached.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/line.h>
#include <json-c/json.h>

#include "agent/actions/env.h"
#include "agent/base/report.h"
#include "agent/actions/legacy_run.h"
#include "agent/actions/run.h"
#include "agent/peer/session.h"
#include "agent/run/detached_files.h"

struct held_answer {
	struct held_answer *next;
	uint64_t serial;
	char unit[RUNNER_UNIT_SIZE];
	struct line *line;
};

/* ---------------------------------------------------------------------------------------------------- while it runs */

/* The part of the message that defines the command, for the journal. */
static struct json_object *request_of(const struct message *message)
{
	static const char *const keys[] = { "command_type", "params" };
	struct json_object *request = json_object_new_object(), *value;

	for (size_t i = 0; request && i < ARRAY_SIZE(keys); i++)
		if (json_object_object_get_ex(message->root, keys[i], &value))
			json_object_object_add(request, keys[i], json_object_get(value));
	return request;
}

static void record(struct command *command, const char *step, size_t max_output)
{
	struct journal_run run = { .received_ns = command->received_ns,
				   .term_ns = command->term_ns,
				   .deadline_ns = command->deadline_ns,
				   .max_output = max_output };
	struct json_object *request = request_of(&command->message);
	const char *text = request ? json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN) : NULL;

	snprintf(run.unit, sizeof(run.unit), "%s", command->unit->name);
	snprintf(run.boot_id, sizeof(run.boot_id), "%s", command_env(command)->detached.boot_id);
	snprintf(run.step, sizeof(run.step), "%s", step ? step : "");
	if (text && strlen(text) <= JOURNAL_REQUEST_MAX)
		run.request = text;
	journal_detach(command->commands->record.journal, command->serial, &run);
	json_object_put(request);
}

/* Unit names are unique even if the journal is lost: CLOCK_BOOTTIME never goes back within a boot. */
int detached_begin(struct command *command, const char *step, size_t max_output)
{
	detached_end(command);
	command->unit = calloc(1, sizeof(*command->unit));
	if (!command->unit)
		return -ENOMEM;
	snprintf(command->unit->name, sizeof(command->unit->name), "%llx-%llx", (unsigned long long)command->serial,
		 (unsigned long long)(clock_ns(CLOCK_BOOTTIME) / NS_PER_US));
	record(command, step, max_output);
	return 0;
}

void detached_end(struct command *command)
{
	if (!command->unit)
		return;
	exec_forget(command_env(command)->executor, command->unit->name);
	free(command->unit);
	command->unit = NULL;
}

bool detached_attaches(const struct command *command)
{
	return command->unit && command->unit->attach;
}

void detached_note_write(struct command *command, const char *text, size_t len)
{
	int dir_fd = exec_detached_dir(command_env(command)->executor);

	if (dir_fd >= 0)
		detached_files_note_write(dir_fd, command->unit->name, text, len);
}

void detached_note_read(struct command *command, char **ret, size_t *ret_len)
{
	int dir_fd = exec_detached_dir(command_env(command)->executor);

	*ret = NULL;
	if (dir_fd >= 0)
		detached_files_note_read(dir_fd, command->unit->name, ret, ret_len);
}

/*
 * ---------------------------------------------------------------------------------------------------- after a restart
 */

/* The message of a journal entry. NULL: it was not recorded or cannot be parsed. */
static struct json_object *message_of(const struct journal_entry *entry)
{
	struct json_object *root =
		entry->run->request ? json_tokener_parse(entry->run->request) : json_object_new_object();
	struct json_object *type = NULL;

	if (!json_object_is_type(root, json_type_object)) {
		json_object_put(root);
		return NULL;
	}
	if (!json_object_object_get_ex(root, "command_type", &type)) {
		type = json_object_new_object();
		json_object_object_add(type, "action", json_object_new_string(entry->action));
		json_object_object_add(root, "command_type", type);
	}
	json_object_object_add(root, "type", json_object_new_string("SafeCommand"));
	json_object_object_add(root, "id", json_object_new_string(entry->id));
	return root;
}

/* Creates the command of an entry, in the list and in its slot. NULL: it cannot be created. */
static struct command *command_of(struct detached *detached, const struct journal_entry *entry)
{
	struct json_object *root = message_of(entry);
	const struct action *action = NULL;
	struct message_fault fault;
	struct message message;
	struct command *command;
	int r = root ? message_from_object(root, &message, &fault) : -EBADMSG;

	json_object_put(root);
	if (r < 0)
		return NULL;
	if (strcmp(message.action, entry->action) != 0 ||
	    action_find(detached->commands->actions, entry->action, &action) != ACTION_KNOWN || !action->slot) {
		message_free(&message);
		return NULL;
	}
	command = commands_adopt(detached->commands, &message, action);
	if (!command)
		message_free(&message);
	return command;
}

/* Runs the action again; without known parameters the command only waits for the end of its run. */
static void go_on(struct command *command, bool known)
{
	struct run run = { .privileged = true };

	if (known)
		command->action->run(command);
	else
		run_program(command, &run);
}

static bool resume(struct detached *detached, const struct journal_entry *entry)
{
	const struct journal_run *run = entry->run;
	struct detached_unit *unit;
	struct command *command;

	if (strcmp(run->boot_id, detached->boot_id) != 0)
		return false;
	unit = calloc(1, sizeof(*unit));
	command = unit ? command_of(detached, entry) : NULL;
	if (!command) {
		free(unit);
		return false;
	}
	legacy_run_adopt(detached, run->unit, run->term_ns);
	command->serial = entry->serial;
	command->received_ns = run->received_ns;
	command->term_ns = run->term_ns;
	command->deadline_ns = run->deadline_ns;
	command->attempts = 1;
	command->unit = unit;
	*unit = (struct detached_unit){ .attach = true, .max_output = run->max_output };
	memcpy(unit->name, run->unit, sizeof(unit->name));
	memcpy(unit->step, run->step, sizeof(unit->step));
	report(LOG_NOTICE, "%s %s goes on: it outlived the agent", entry->action, entry->id);
	journal_adopt(detached->commands->record.journal, entry->serial);
	go_on(command, run->request != NULL);
	return true;
}

static bool is_wanted(void *data, const char *unit)
{
	const struct journal *journal = data;

	for (const struct journal_entry *entry = journal->open; entry; entry = entry->next)
		if (entry->run && strcmp(entry->run->unit, unit) == 0)
			return true;
	return false;
}

void detached_resume(struct detached *detached)
{
	for (struct journal_entry *entry = detached->commands->record.journal->lost, *next; entry; entry = next) {
		next = entry->next;
		if (entry->run)
			resume(detached, entry);
	}
	if (exec_detached_dir(detached->executor) >= 0)
		detached_files_clean(exec_detached_dir(detached->executor), is_wanted,
				     detached->commands->record.journal);
}

/* ------------------------------------------------------------------------------------------- without a host to tell */

static void hold(struct detached *detached, struct command *command)
{
	const struct json_writer *writer = command->commands->peers->writer;
	struct held_answer *answer = calloc(1, sizeof(*answer)), **end = &detached->held;
	struct line *line = answer ? line_new(LINE_REPLY, writer->buf, writer->len) : NULL;

	if (line) {
		*answer = (struct held_answer){ .serial = command->serial, .line = line };
		if (command->unit)
			memcpy(answer->unit, command->unit->name, sizeof(answer->unit));
		while (*end)
			end = &(*end)->next;
		*end = TAKE_PTR(answer);
	}
	free(answer);
	/* Out of memory: the journal entry stays, and the next agent process will answer. */
	command->serial = 0;
	free(command->unit);
	command->unit = NULL;
}

void detached_deliver(struct detached *detached, struct command *command)
{
	if (detached->host->present)
		session_answer(detached->host, command_line_class(command));
	else
		hold(detached, command);
}

static struct held_answer *answer_free(struct held_answer *answer)
{
	struct held_answer *next = answer->next;

	line_unref(answer->line);
	free(answer);
	return next;
}

void detached_session_began(struct detached *detached)
{
	while (detached->held && detached->host->send(detached->host, detached->held->line) == 0) {
		journal_answered(detached->commands->record.journal, detached->held->serial);
		exec_forget(detached->executor, detached->held->unit);
		detached->held = answer_free(detached->held);
	}
}

void detached_done(struct detached *detached)
{
	while (detached->held)
		detached->held = answer_free(detached->held);
}
