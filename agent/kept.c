/* SPDX-License-Identifier: MIT */
#include "agent/kept.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/line.h>
#include <json-c/json.h>

#include "agent/agent.h"
#include "agent/run.h"
#include "agent/run/exec_keep.h"

struct kept_answer {
	struct kept_answer *next;
	uint64_t serial;
	char unit[RUNNER_UNIT_SIZE];
	struct line *line;
};

/* ---------------------------------------------------------------------------------------------------- while it runs */

/* What makes the command what it is, and nothing else of the message. */
static struct json_object *wish_of(const struct message *message)
{
	static const char *const keys[] = { "command_type", "params" };
	struct json_object *wish = json_object_new_object(), *value;

	for (size_t i = 0; wish && i < ARRAY_SIZE(keys); i++)
		if (json_object_object_get_ex(message->root, keys[i], &value))
			json_object_object_add(wish, keys[i], json_object_get(value));
	return wish;
}

static void record(struct command *command, const char *step, size_t max_output)
{
	struct journal_kept kept = { .received_ns = command->received_ns,
				     .term_ns = command->term_ns,
				     .deadline_ns = command->deadline_ns,
				     .max_output = max_output };
	struct json_object *wish = wish_of(&command->message);
	const char *text = wish ? json_object_to_json_string_ext(wish, JSON_C_TO_STRING_PLAIN) : NULL;

	snprintf(kept.unit, sizeof(kept.unit), "%s", command->unit);
	snprintf(kept.boot_id, sizeof(kept.boot_id), "%s", command_agent(command)->id.boot_id);
	snprintf(kept.step, sizeof(kept.step), "%s", step ? step : "");
	if (text && strlen(text) <= JOURNAL_WISH_MAX)
		kept.wish = strdup(text);
	journal_keep(&command_agent(command)->journal, command->serial, &kept);
	free(kept.wish);
	json_object_put(wish);
}

/* No two are the same, whatever becomes of the journal: nothing goes back in a boot. */
void kept_begin(struct command *command, const char *step, size_t max_output)
{
	kept_end(command);
	snprintf(command->unit, sizeof(command->unit), "%llx-%llx", (unsigned long long)command->serial,
		 (unsigned long long)(clock_ns(CLOCK_BOOTTIME) / NS_PER_US));
	record(command, step, max_output);
}

void kept_end(struct command *command)
{
	if (!*command->unit)
		return;
	exec_release(command_agent(command)->privileged, command->unit);
	*command->unit = '\0';
}

void kept_note_write(struct command *command, const char *text, size_t len)
{
	int dir_fd = exec_keep_dir(command_agent(command)->privileged);

	if (dir_fd >= 0)
		exec_keep_note_write(dir_fd, command->unit, text, len);
}

void kept_note_read(struct command *command, char **ret, size_t *ret_len)
{
	int dir_fd = exec_keep_dir(command_agent(command)->privileged);

	*ret = NULL;
	if (dir_fd >= 0)
		exec_keep_note_read(dir_fd, command->unit, ret, ret_len);
}

/*
 * ---------------------------------------------------------------------------------------------------- after a restart
 */

/* NULL: what the command was is not known, or it cannot be read any more. */
static struct json_object *message_of(const struct journal_entry *entry)
{
	struct json_object *root = entry->kept->wish ? json_tokener_parse(entry->kept->wish) : json_object_new_object();
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

/* The command as it was received, in the list and in its slot; NULL when it cannot be made. */
static struct command *command_of(struct agent *agent, const struct journal_entry *entry)
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
	    action_find(agent->commands.actions, entry->action, &action) != ACTION_KNOWN || !action->slot) {
		message_free(&message);
		return NULL;
	}
	command = commands_adopt(&agent->commands, &message, action);
	if (!command)
		message_free(&message);
	return command;
}

/* Without its parameters it goes to no more than the end of what runs for it. */
static void go_on(struct command *command, bool known)
{
	struct run run = { .privileged = true };

	if (known)
		command->action->run(command);
	else
		run_program(command, &run);
}

static bool resume(struct agent *agent, const struct journal_entry *entry)
{
	const struct journal_kept *kept = entry->kept;
	struct command *command;

	if (!agent->privileged || strcmp(kept->boot_id, agent->id.boot_id) != 0)
		return false;
	command = command_of(agent, entry);
	if (!command)
		return false;
	command->serial = entry->serial;
	command->received_ns = kept->received_ns;
	command->term_ns = kept->term_ns;
	command->deadline_ns = kept->deadline_ns;
	command->attempts = 1;
	command->attach = true;
	command->attach_max_output = kept->max_output;
	snprintf(command->unit, sizeof(command->unit), "%s", kept->unit);
	snprintf(command->attach_step, sizeof(command->attach_step), "%s", kept->step);
	report(LOG_NOTICE, "%s %s goes on: it outlived the agent", entry->action, entry->id);
	journal_adopt(&agent->journal, entry->serial);
	go_on(command, kept->wish != NULL);
	return true;
}

static bool is_wanted(void *data, const char *unit)
{
	const struct journal *journal = data;

	for (const struct journal_entry *entry = journal->open; entry; entry = entry->next)
		if (entry->kept && strcmp(entry->kept->unit, unit) == 0)
			return true;
	return false;
}

void kept_resume(struct agent *agent)
{
	for (struct journal_entry *entry = agent->journal.lost, *next; entry; entry = next) {
		next = entry->next;
		if (entry->kept)
			resume(agent, entry);
	}
	if (agent->privileged && exec_keep_dir(agent->privileged) >= 0)
		exec_keep_clean(exec_keep_dir(agent->privileged), is_wanted, &agent->journal);
}

/* ------------------------------------------------------------------------------------------- without a host to tell */

static void hold(struct command *command)
{
	struct agent *agent = command_agent(command);
	struct kept_answer *answer = calloc(1, sizeof(*answer)), **end = &agent->kept_answers;
	struct line *line = answer ? line_new(LINE_REPLY, agent->writer.buf, agent->writer.len) : NULL;

	if (line) {
		*answer = (struct kept_answer){ .serial = command->serial, .line = line };
		memcpy(answer->unit, command->unit, sizeof(answer->unit));
		while (*end)
			end = &(*end)->next;
		*end = TAKE_PTR(answer);
	}
	free(answer);
	/* Without memory for it the next run of the agent will answer. */
	command->serial = 0;
	*command->unit = '\0';
}

void kept_deliver(void *data, struct command *command)
{
	struct agent *agent = data;

	if (port_state(agent->port) == PORT_CONNECTED)
		session_answer(&agent->port_session, command_line_class(command));
	else
		hold(command);
}

static struct kept_answer *answer_free(struct kept_answer *answer)
{
	struct kept_answer *next = answer->next;

	line_unref(answer->line);
	free(answer);
	return next;
}

void kept_greet(struct agent *agent)
{
	while (agent->kept_answers && port_send(agent->port, agent->kept_answers->line) == 0) {
		journal_answered(&agent->journal, agent->kept_answers->serial);
		exec_release(agent->privileged, agent->kept_answers->unit);
		agent->kept_answers = answer_free(agent->kept_answers);
	}
}

void kept_done(struct agent *agent)
{
	while (agent->kept_answers)
		agent->kept_answers = answer_free(agent->kept_answers);
}
