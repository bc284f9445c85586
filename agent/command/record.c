/* SPDX-License-Identifier: MIT */
/* The record of commands; see command.h. And the commands as Status and `infinictl ps` show them. */
#include "agent/command/command.h"

#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "agent/peer/session.h"
#include "transport/addition.h"

static const char *origin(const struct command *command)
{
	return command->session ? command->session->name : command->from_host ? "host (gone)" : "local (gone)";
}

/* The request in a form for the audit: the program text without its secrets, or the parameters. */
static const char *describe(const struct message *message, char *out, size_t size)
{
	struct json_object *parameters = NULL;

	*out = '\0';
	if (message->raw_command) {
		audit_redact_text(message->raw_command, out, size);
	} else if (message->type == MESSAGE_PENDING_SCRIPTS) {
		struct json_object *name = NULL, *shell = NULL;

		json_object_object_get_ex(message->root, "script_name", &name);
		json_object_object_get_ex(message->root, "shell", &shell);
		snprintf(out, size, "%.200s (%.40s)", name ? json_object_get_string(name) : "script",
			 shell ? json_object_get_string(shell) : "sh");
	} else if (message->type == MESSAGE_SAFE_COMMAND &&
		   json_object_object_get_ex(message->root, "command_type", &parameters)) {
		audit_redact_object(parameters, out, size);
	} else if (message->values) {
		audit_redact_object(message->values, out, size);
	} else if (message->target_id) {
		snprintf(out, size, "%s", message->target_id);
	}
	return *out ? out : NULL;
}

/* ------------------------------------------------------------------------------------------------------------ audit */

/* Arms the next try, if records wait or refusals are to be summed up. */
static void watch_audit(struct record *record)
{
	if (deadline_is_set(&record->audit_again))
		return;
	if (record->audit->kept)
		deadline_after(&record->audit_again, AUDIT_KEPT_RETRY_NS);
	else if (audit_owes_count(record->audit))
		deadline_after(&record->audit_again, AUDIT_COUNT_NS);
}

static void on_audit_again(void *data)
{
	struct record *record = data;

	audit_retry(record->audit, &record->loop->now);
	audit_count(record->audit, &record->loop->now);
	watch_audit(record);
}

void record_init(struct record *record, struct loop *loop, struct audit *audit, struct journal *journal)
{
	*record = (struct record){ .audit = audit, .journal = journal, .loop = loop };
	deadline_init(&record->audit_again, loop, on_audit_again, record);
}

void record_entry(struct record *record, const struct audit_record *entry)
{
	audit_put(record->audit, &record->loop->now, entry);
	watch_audit(record);
}

static enum audit_source source_of(bool from_host, uid_t uid)
{
	return from_host ? AUDIT_HOST : uid == 0 ? AUDIT_ROOT : AUDIT_USERS;
}

static void publish(const struct command *command, const char *state, const struct response *response)
{
	struct commands *commands = command->commands;
	struct addition_command told = { .id = command->message.id,
					 .action = command->action->name,
					 .origin = origin(command),
					 .state = state,
					 .done = response != NULL };

	if (response) {
		told.success = response->success;
		told.error_code = code_name(response->code);
		told.duration_ms = response->execution_time_ms;
	}
	commands->hooks->changed(commands->data, &told);
}

void record_waits(struct command *command)
{
	enum journal_kind kind = command->action->type == MESSAGE_PENDING_SCRIPTS ? JOURNAL_SCRIPT : JOURNAL_COMMAND;

	if (command->from_host && command->serial == 0)
		command->serial = journal_accepted(command->commands->record.journal, kind, command->action->name,
						   command->message.id);
}

void record_accepted(struct command *command)
{
	if (!command->slot)
		return;
	record_waits(command);
	publish(command, "accepted", NULL);
}

static struct audit_record audit_record_of(const struct command *command, enum audit_phase phase)
{
	return (struct audit_record){ .phase = phase,
				      .id = command->message.id,
				      .action = command->action->name,
				      .origin = origin(command),
				      .changes = command->group != GROUP_OBSERVE };
}

void record_started(struct command *command)
{
	struct audit_record record = audit_record_of(command, AUDIT_STARTED);
	struct commands *commands = command->commands;
	char detail[AUDIT_DETAIL_MAX];

	/*
	 * Decided once per command, so that a recorded start always has its end. Commands that only observe are
	 * recorded at a limited rate, with a slot or without: a command that ends at once has its slot only briefly.
	 */
	if (!command->audited)
		command->audited = record.changes || ((command->slot || commands->config->commands.audit_reads) &&
						      audit_takes_read(commands->record.audit, &commands->loop->now,
								       source_of(command->from_host, command->uid)));
	if (command->audited) {
		record.detail = describe(&command->message, detail, sizeof(detail));
		record_entry(&commands->record, &record);
	}
	if (command->slot)
		publish(command, "started", NULL);
}

/* A program text that the host wrote was recorded whole with the start of the command. */
void record_program(struct command *command, const char *const argv[])
{
	struct audit_record record = audit_record_of(command, AUDIT_PROGRAM);
	char detail[AUDIT_DETAIL_MAX];

	if (command->group == GROUP_EXEC || (command->group == GROUP_OBSERVE && !command->audited))
		return;
	audit_redact_argv(argv, detail, sizeof(detail));
	record.detail = detail;
	record_entry(&command->commands->record, &record);
}

void record_answered(struct command *command, const struct response *response)
{
	struct audit_record record = audit_record_of(command, AUDIT_FINISHED);

	record.success = response->success;
	record.error_code = response->success ? NULL : code_name(response->code);
	record.has_exit_code = response->has_exit_code;
	record.exit_code = response->exit_code;
	record.duration_ms = response->execution_time_ms;
	if (command->audited || command->group != GROUP_OBSERVE)
		record_entry(&command->commands->record, &record);
	journal_answered(command->commands->record.journal, command->serial);
	publish(command, "finished", response);
}

void record_refused(struct commands *commands, const struct session *session, const struct message *message,
		    enum error_code code)
{
	char detail[AUDIT_DETAIL_MAX];
	struct audit_record record = {
		.phase = AUDIT_REFUSED,
		.id = message->id,
		.action = message->action ? message->action : message_type_name(message->type),
		.origin = session->name,
		.error_code = code_name(code),
	};
	enum audit_source source = source_of(session->kind == SESSION_PORT, session->uid);
	struct addition_command told = { .id = record.id,
					 .action = record.action,
					 .origin = record.origin,
					 .state = "refused",
					 .done = true,
					 .error_code = record.error_code };

	/*
	 * Refusals because of load are not recorded: a burst of ten thousand would push all other records out of the
	 * log.
	 */
	if (code == CODE_QUEUE_FULL || code == CODE_SHUTTING_DOWN) {
		if (source == AUDIT_HOST) /* load refusals of local clients are not published either */
			commands->hooks->changed(commands->data, &told);
	} else if (audit_takes_refusal(commands->record.audit, &commands->loop->now, source)) {
		record.detail = describe(message, detail, sizeof(detail));
		record_entry(&commands->record, &record);
		commands->hooks->changed(commands->data, &told);
	} else {
		watch_audit(&commands->record);
	}
}

/* ----------------------------------------------------------------------------------------------------------- Status */

/* Most commands that Status lists one by one. */
#define LISTED_MAX 500

void commands_report(const struct commands *commands, struct sink *out)
{
	static const char *const words[] = { [COMMAND_QUEUED] = "queued",
					     [COMMAND_PAUSING] = "pausing",
					     [COMMAND_RUNNING] = "running",
					     [COMMAND_WAITING] = "waiting" };
	const struct command_stats *stats = &commands->stats;
	unsigned written = 0, all = 0;
	bool cut = false;

	sink_uint(out, "running", commands_running(commands));
	sink_uint(out, "queued", commands_queued(commands));
	sink_uint(out, "waiting", commands->host.waiting + commands->local.waiting);
	sink_uint(out, "local_running", commands->local.running);
	sink_uint(out, "local_queued", commands->local.queued);
	sink_uint(out, "local_waiting", commands->local.waiting);
	sink_uint(out, "received", stats->received);
	sink_uint(out, "answered", stats->answered);
	sink_uint(out, "succeeded", stats->succeeded);
	sink_uint(out, "failed", stats->failed);
	sink_uint(out, "refused", stats->refused);
	sink_uint(out, "queue_full", stats->queue_full);
	sink_uint(out, "timed_out", stats->timed_out);
	sink_uint(out, "cancelled", stats->cancelled);
	sink_uint(out, "unclaimed", stats->unclaimed);
	sink_uint(out, "retried", stats->retried);
	sink_uint(out, "unrecorded", commands->record.journal->unrecorded);
	sink_array_begin(out, "list");
	for (const struct command *command = commands->first; command; command = command->next) {
		struct sink_mark mark = sink_mark(out);

		/* The Status command itself is left out. */
		if (command->action->type == MESSAGE_STATUS || command->state == COMMAND_OVER)
			continue;
		all++;
		cut = cut || written == LISTED_MAX;
		if (cut)
			continue;
		sink_object_begin(out, NULL);
		sink_str(out, "id", command->message.id);
		sink_str(out, "action", command->action->name);
		sink_str(out, "state", command->cancelled ? "ending" : words[command->state]);
		sink_str(out, "origin", command->session ? command->session->name : "gone");
		sink_uint(out, "age_ms", (commands->loop->now.mono_ns - command->received_ns) / NS_PER_MS);
		if (command->pid > 0)
			sink_int(out, "pid", command->pid);
		else
			sink_null(out, "pid");
		sink_uint(out, "bytes", command->output_bytes);
		sink_uint(out, "attempts", command->attempts);
		sink_object_end(out);
		cut = sink_full(out);
		if (cut)
			sink_rewind(out, mark);
		else
			written++;
	}
	sink_array_end(out);
	sink_uint(out, "list_left_out", all - written);
}
