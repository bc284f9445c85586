/* SPDX-License-Identifier: MIT */
/* Admission of commands: shape, policy, rate limit, slot or place in the queue, in this order; see command.h. */
#include "agent/command/command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/command/batch.h"
#include "agent/command/queue.h"
#include "agent/command/record.h"
#include "agent/peer/session.h"
#include "transport/reply.h"

static void refuse(struct commands *commands, struct session *session, const struct message *message,
		   enum error_code code, const char *reason, const char *text)
{
	struct response response = { .id = message->id,
				     .code = code,
				     .reason = reason,
				     .error = text,
				     .command_type = message->action ? message->action
						     : message->type == MESSAGE_UNSAFE_COMMAND
							     ? action_of_type(commands->actions, message->type)->name
							     : message_type_name(message->type) };

	commands->stats.refused++;
	commands->refusal = code;
	record_refused(commands, session, message, code);
	if (reply_response(commands->peers->writer, commands->loop->now.wall_ms, &response) == 0)
		session_answer(session, LINE_REPLY);
}

/* A `response` would end the first command of this id on the host, so the duplicate is refused by an `error`. */
static void refuse_duplicate(struct commands *commands, struct session *session, const struct message *message)
{
	struct reply_error error = { .text = "a command with this id is still being worked on",
				     .component = "commands",
				     .code = CODE_DUPLICATE_ID,
				     .reason = "duplicate_id",
				     .id = message->id };

	commands->stats.refused++;
	commands->refusal = CODE_DUPLICATE_ID;
	if (reply_error(commands->peers->writer, commands->loop->now.wall_ms, &error) == 0)
		session_answer(session, LINE_REPLY);
}

static bool in_flight(const struct commands *commands, const struct session *session, const char *id)
{
	for (const struct command *command = commands->first; command; command = command->next)
		if (command->session == session && command->state != COMMAND_OVER && !command->action->encode &&
		    strcmp(command->message.id, id) == 0)
			return true;
	return false;
}

/* The action of the message, or NULL with the refusal sent. */
static const struct action *find_action(struct commands *commands, struct session *session,
					const struct message *message)
{
	const struct action *action = NULL;

	if (message->type != MESSAGE_SAFE_COMMAND)
		return action_of_type(commands->actions, message->type);
	switch (action_find(commands->actions, message->action, &action)) {
	case ACTION_KNOWN:
		break;
	case ACTION_FOREIGN:
		refuse(commands, session, message, CODE_UNSUPPORTED_PLATFORM, NULL,
		       "this action exists on Windows guests only");
		break;
	case ACTION_UNKNOWN:
		refuse(commands, session, message, CODE_UNKNOWN_COMMAND, "unknown_action",
		       "this agent knows no such action");
		break;
	}
	return action;
}

static enum policy_group group_of(const struct action *action, const struct message *message)
{
	return action->group_of ? action->group_of(message) : action->group;
}

static bool needs_slot(const struct action *action, enum policy_group group)
{
	return action->slot && !(action->group_of && group == GROUP_OBSERVE);
}

bool commands_permit(const struct commands *commands, const struct session *session, const char *action,
		     enum policy_group group)
{
	struct policy policy = {
		.enabled = commands->config->commands.enabled,
		.allow_unsafe = commands->config->commands.allow_unsafe,
		.allow = commands->config->commands.allow,
		.deny = commands->config->commands.deny,
	};

	/*
	 * Local clients may observe; but actions that affect the host's port or the log are refused if the owner policy
	 * denies them.
	 */
	if (session->kind == SESSION_LOCAL)
		return group == GROUP_OBSERVE &&
		       (strcmp(action, "Metrics") != 0 || !policy_denies(&policy, action, group));
	return policy_allows(&policy, action, group);
}

static bool permitted(const struct commands *commands, const struct session *session, const struct action *action,
		      enum policy_group group)
{
	return action->always || commands_permit(commands, session, action->name, group);
}

bool command_permits(const struct command *command, const struct action *action)
{
	static const struct session host = { .kind = SESSION_PORT };

	return permitted(command->commands, command->session ? command->session : &host, action, action->group);
}

/* All clients of one user are one source. */
static bool takes_rate(struct commands *commands, const struct session *session)
{
	uint64_t now_ns = commands->loop->now.mono_ns;
	struct source *source = session->kind == SESSION_PORT
					? &commands->sources.host
					: source_of_user(&commands->sources, session->uid, now_ns);

	return token_bucket_take(&source->bucket, (unsigned)commands->config->commands.rate_per_s, now_ns);
}

/* A user with few places takes one from the user with the most, so that no user can fill the queue. */
static bool find_place(struct commands *commands, const struct session *session, bool slot)
{
	struct command *yields;

	if (queue_has_place(commands, session, slot, &yields))
		return true;
	if (!yields)
		return false;
	commands->stats.queue_full++;
	command_fail(yields, CODE_QUEUE_FULL, "busy", "its place was given to another user, who had fewer");
	return queue_has_place(commands, session, slot, &yields);
}

/* Makes all checks of admission, in the order of the protocol. NULL: the command was refused. */
static const struct action *admissible(struct commands *commands, struct session *session,
				       const struct message *message)
{
	const struct action *action;
	enum policy_group group;
	bool slot;

	if (in_flight(commands, session, message->id)) {
		refuse_duplicate(commands, session, message);
		return NULL;
	}
	action = find_action(commands, session, message);
	if (!action)
		return NULL;
	group = group_of(action, message);
	slot = needs_slot(action, group);
	if (commands->closed) {
		refuse(commands, session, message, CODE_SHUTTING_DOWN, NULL, "the agent is stopping");
	} else if (!permitted(commands, session, action, group)) {
		refuse(commands, session, message, CODE_POLICY_DENIED, NULL,
		       "the policy of this guest does not allow it ([commands] in infiniservice.conf)");
	} else if (!action->always && !takes_rate(commands, session)) {
		commands->stats.queue_full++;
		refuse(commands, session, message, CODE_QUEUE_FULL, "rate",
		       "more commands a second than this guest takes");
	} else if (slot && !queue_slot_free(commands, session, queue_slots_of(action)) &&
		   !find_place(commands, session, true)) {
		commands->stats.queue_full++;
		refuse(commands, session, message, CODE_QUEUE_FULL, "busy",
		       session->kind == SESSION_LOCAL ? "your places in the queue of local clients are taken"
						      : "all slots and the queue are taken");
	} else if (!slot && action->type != MESSAGE_CANCEL_COMMAND && !find_place(commands, session, false)) {
		commands->stats.queue_full++;
		refuse(commands, session, message, CODE_QUEUE_FULL, "busy",
		       "too many questions wait for their answers");
	} else {
		return action;
	}
	return NULL;
}

/* Creates an admitted command in the list; takes over the message. NULL: out of memory. */
static struct command *command_new(struct commands *commands, const struct session *session, struct message *message,
				   const struct action *action)
{
	struct command *command = calloc(1, sizeof(*command));

	if (!command)
		return NULL;
	command->commands = commands;
	command->from_host = session->kind == SESSION_PORT;
	command->uid = session->uid;
	command->message = *message;
	command->action = action;
	command->received_ns = commands->loop->now.mono_ns;
	command->group = group_of(action, &command->message);
	command->slot = needs_slot(action, command->group);
	command->slots = queue_slots_of(action);
	command->state = command->slot ? COMMAND_QUEUED : COMMAND_WAITING;
	deadline_init(&command->timer, commands->loop, command_on_deadline, command);
	queue_add(commands, command);
	return command;
}

void commands_submit_member(struct commands *commands, struct session *session, struct message *message,
			    struct command *batch, unsigned index)
{
	const struct action *action;
	struct command *command = NULL;

	commands_drain(commands);
	commands->stats.received++;
	action = admissible(commands, session, message);
	if (action) {
		command = command_new(commands, session, message, action);
		if (!command)
			refuse(commands, session, message, CODE_INTERNAL, "no_memory", "out of memory");
	}
	if (command) {
		command->session = session;
		command->batch = batch;
		command->batch_index = index;
		command_begin(command);
	} else {
		message_free(message);
		if (batch)
			batch_member_done(batch, index, false, commands->refusal);
	}
}

void commands_submit(struct commands *commands, struct session *session, struct message *message)
{
	commands_submit_member(commands, session, message, NULL, 0);
}

int commands_submit_action(struct commands *commands, struct session *session, struct message *message,
			   const struct action *action, void *work, void (*work_free)(void *work))
{
	struct command *command = NULL;
	bool room;

	commands_drain(commands);
	room = queue_slot_free(commands, session, queue_slots_of(action)) || find_place(commands, session, true);
	if (room)
		command = command_new(commands, session, message, action);
	commands->stats.received++;
	if (!command) {
		message_free(message);
		return room ? -ENOMEM : -ENOBUFS;
	}
	command->session = session;
	command->work = work;
	command->work_free = work_free;
	command_begin(command);
	return 0;
}

struct command *commands_adopt(struct commands *commands, struct message *message, const struct action *action)
{
	static const struct session host = { .kind = SESSION_PORT };
	struct command *command = command_new(commands, &host, message, action);

	if (!command)
		return NULL;
	command->resumed = true;
	queue_move(command, COMMAND_RUNNING);
	return command;
}
