/* SPDX-License-Identifier: MIT */
/* Batches of commands; see command.h. */
#include "agent/command/admission.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "agent/peer/session.h"

/* The deadline of a batch is this much later than the last deadline of its members. */
#define MARGIN_NS NS_PER_S

struct member {
	char id[MESSAGE_ID_SIZE]; /* "": could not be read */
	bool success;
	enum error_code code;
};

struct batch {
	struct command *command;
	bool stop_on_error;
	bool stopped;	/* no further member is started */
	bool cancelled; /* by CancelCommand */
	unsigned count, done, failed;
	struct member members[];
};

static void emit_results(struct sink *out, const char *key, const void *arg)
{
	const struct batch *batch = arg;

	sink_object_begin(out, key);
	sink_array_begin(out, "results");
	for (unsigned i = 0; i < batch->count; i++) {
		const struct member *member = &batch->members[i];

		sink_object_begin(out, NULL);
		sink_str(out, "id", *member->id ? member->id : NULL);
		sink_bool(out, "success", member->success);
		sink_str(out, "error_code", member->success ? NULL : code_name(member->code));
		sink_object_end(out);
	}
	sink_array_end(out);
	sink_object_end(out);
}

static void answer(struct batch *batch)
{
	char text[96];
	struct response response = { .success = batch->failed == 0, .data = emit_results, .arg = batch };

	if (batch->failed) {
		snprintf(text, sizeof(text), "%u of %u commands did not succeed", batch->failed, batch->count);
		response.code = batch->cancelled ? CODE_CANCELLED : CODE_COMMAND_FAILED;
		response.error = text;
	}
	command_answer(batch->command, &response);
}

static void cancel_members(const struct batch *batch)
{
	for (struct command *command = batch->command->commands->first; command; command = command->next)
		if (command->batch == batch->command && !command->cancelled && command->state != COMMAND_OVER)
			command_cancel(command, "cancelled with the rest of its batch");
}

/* Notes how a member has ended; with stop_on_error the first failure cancels the others. */
static void record(struct batch *batch, unsigned index, bool success, enum error_code code)
{
	struct json_object *id = NULL, *item = json_object_array_get_idx(batch->command->message.items, index);
	struct member *member = &batch->members[index];

	*member = (struct member){ .success = success, .code = code };
	if (json_object_object_get_ex(item, "id", &id) && json_object_is_type(id, json_type_string))
		snprintf(member->id, sizeof(member->id), "%s", json_object_get_string(id));
	batch->done++;
	batch->failed += !success;
	if (batch->failed && batch->stop_on_error && !batch->stopped) {
		batch->stopped = true;
		cancel_members(batch);
	}
}

void batch_member_done(struct command *command, unsigned index, bool success, enum error_code code)
{
	struct batch *batch = command->work;

	record(batch, index, success, code);
	if (batch->done == batch->count)
		answer(batch);
}

void batch_cancel(struct command *command)
{
	struct batch *batch = command->work;

	batch->stopped = batch->cancelled = true;
	cancel_members(batch);
}

/* Members outlive a batch that is answered early: at its deadline, or at the end of the agent. */
static void batch_free(void *work)
{
	struct batch *batch = work;

	for (struct command *command = batch->command->commands->first; command; command = command->next)
		if (command->batch == batch->command)
			command->batch = NULL;
	free(batch);
}

/* Has the member admitted, or refuses it. */
static void begin_member(struct batch *batch, unsigned index)
{
	struct command *command = batch->command;
	struct json_object *item = json_object_array_get_idx(command->message.items, index);
	const char *type = NULL;
	struct message_fault fault;
	struct message message;

	if (batch->stopped || !command->session) {
		/* Members after a failure (or after the peer has gone) are answered without being run. */
		record(batch, index, false, CODE_CANCELLED);
		fault = (struct message_fault){ .code = CODE_CANCELLED,
						.has_id = *batch->members[index].id,
						.text = "not started: an earlier command of its batch failed" };
		memcpy(fault.id, batch->members[index].id, sizeof(fault.id));
		if (command->session)
			session_refuse(command->session, &fault, NULL);
		return;
	}
	if (message_from_object(item, &message, &fault) == 0) {
		if (message.type == MESSAGE_SAFE_COMMAND || message.type == MESSAGE_UNSAFE_COMMAND ||
		    message.type == MESSAGE_STATUS) {
			commands_submit_member(command->commands, command->session, &message, command, index);
			return;
		}
		fault = (struct message_fault){ .code = CODE_INVALID_PARAMETERS,
						.reason = "bad_value",
						.has_id = *message.id,
						.text = "a batch holds SafeCommand, UnsafeCommand and Status only" };
		memcpy(fault.id, message.id, sizeof(fault.id));
		type = message_type_name(message.type);
		message_free(&message);
	}
	session_refuse(command->session, &fault, type);
	record(batch, index, false, fault.code);
}

static void run_batch(struct command *command)
{
	size_t count = json_object_array_length(command->message.items);
	struct batch *batch;

	if (count == 0 || count > BATCH_MEMBERS_MAX) {
		command_fail(command, CODE_INVALID_PARAMETERS, "out_of_range", "a batch has 1 to %d commands",
			     BATCH_MEMBERS_MAX);
		return;
	}
	batch = calloc(1, sizeof(*batch) + count * sizeof(batch->members[0]));
	if (!batch) {
		command_fail(command, CODE_INTERNAL, "no_memory", "out of memory");
		return;
	}
	batch->command = command;
	batch->count = (unsigned)count;
	batch->stop_on_error = command->message.stop_on_error;
	command->work = batch;
	command->work_free = batch_free;
	for (unsigned i = 0; i < batch->count; i++)
		begin_member(batch, i);
	for (const struct command *member = command->commands->first; member; member = member->next)
		if (member->batch == command && member->deadline_ns + MARGIN_NS > command->deadline_ns)
			command->deadline_ns = member->deadline_ns + MARGIN_NS;
	if (batch->done == batch->count)
		answer(batch);
}

const struct action action_command_batch = {
	.name = "CommandBatch", .type = MESSAGE_COMMAND_BATCH, .group = GROUP_OBSERVE, .always = true, .run = run_batch
};
