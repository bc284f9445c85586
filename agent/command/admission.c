/* SPDX-License-Identifier: MIT */
/*
 * Admission of commands: shape, policy, rate limit, slot or place in the queue, in this order (see command.h); and the
 * choice of the queued command that starts next.
 */
#include "agent/command/admission.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/peer/session.h"
#include "transport/reply.h"

/* Stands for the host where its session is gone: its commands have the host's rights and places. */
static const struct session absent_host = { .kind = SESSION_PORT };

/* ---------------------------------------------------------------------------------------------------------- actions */

enum action_kind action_find(const struct action_table *table, const char *name, const struct action **ret)
{
	for (size_t i = 0; i < table->count; i++) {
		if (table->rows[i]->type == MESSAGE_SAFE_COMMAND && strcmp(table->rows[i]->name, name) == 0) {
			*ret = table->rows[i];
			return ACTION_KNOWN;
		}
	}
	for (size_t i = 0; table->foreign[i]; i++)
		if (strstr(name, table->foreign[i]))
			return ACTION_FOREIGN;
	return ACTION_UNKNOWN;
}

/* The row of a message type that stands for one command; NULL for SafeCommand and for types that are no commands. */
static const struct action *action_of_type(const struct action_table *table, enum message_type type)
{
	for (size_t i = 0; i < table->count; i++)
		if (type != MESSAGE_SAFE_COMMAND && table->rows[i]->type == type)
			return table->rows[i];
	return NULL;
}

static enum policy_group group_of(const struct action *action, const struct message *message)
{
	return action->group_of ? action->group_of(message) : action->group;
}

static bool needs_slot(const struct action *action, enum policy_group group)
{
	return action->slot && !(action->group_of && group == GROUP_OBSERVE);
}

static enum slot_kind slots_of(const struct action *action)
{
	if (action->slots != SLOTS_ANY)
		return action->slots;
	return action->group == GROUP_PACKAGES ? SLOTS_PACKAGES
	       : action->group == GROUP_POWER  ? SLOTS_POWER
					       : SLOTS_ANY;
}

/* -------------------------------------------------------------------------------------------------- slots and places
 */

static bool host_slot_free(const struct commands *commands, enum slot_kind kind)
{
	unsigned all = (unsigned)commands->config->commands.max_concurrent, share = all;

	if (kind == SLOTS_PACKAGES || kind == SLOTS_POWER)
		share = 1;
	else if (kind == SLOTS_SCRIPTS && all > 1)
		share = all - 1;
	return commands->hooks->host_reads(commands->data) && commands->host.running < all &&
	       commands->held[kind] < share;
}

/* Local clients share one slot in turn: a new command does not overtake waiting ones. */
bool queue_slot_free(const struct commands *commands, const struct session *session, enum slot_kind kind)
{
	if (session->kind == SESSION_LOCAL)
		return commands->local.running < QUEUE_LOCAL_SLOTS && commands->local.queued == 0;
	return host_slot_free(commands, kind);
}

/* Counts what the command takes in its state: a place and, when running, a slot. `by` is 1 or -1. */
static void count(struct commands *commands, const struct command *command, int by)
{
	struct command_counts *counts = command->from_host ? &commands->host : &commands->local;

	switch (command->state) {
	case COMMAND_QUEUED:
	case COMMAND_PAUSING:
		counts->queued += (unsigned)by;
		break;
	case COMMAND_RUNNING:
		counts->running += (unsigned)by;
		if (command->from_host)
			commands->held[command->slots] += (unsigned)by;
		break;
	case COMMAND_WAITING:
		counts->waiting += (unsigned)by;
		break;
	case COMMAND_OVER:
		break;
	}
}

void queue_remove(struct command *command)
{
	struct commands *commands = command->commands;
	struct command **at = &commands->first;

	count(commands, command, -1);
	while (*at != command)
		at = &(*at)->next;
	*at = command->next;
	if (commands->end == &command->next)
		commands->end = at;
}

void queue_move(struct command *command, enum command_state state)
{
	struct commands *commands = command->commands;

	count(commands, command, -1);
	command->state = state;
	count(commands, command, 1);
	if (state == COMMAND_RUNNING && !command->from_host) {
		commands->served_uid = command->uid;
		commands->served_ns = commands->loop->now.mono_ns;
	}
}

/* True if the command has a place of local clients: in the queue, or (without `slot`) among those that wait. */
static bool has_place(const struct command *command, bool slot)
{
	if (command->from_host)
		return false;
	return slot ? command->state == COMMAND_QUEUED || command->state == COMMAND_PAUSING
		    : command->state == COMMAND_WAITING;
}

static unsigned places_of(const struct commands *commands, bool slot, uid_t uid)
{
	unsigned places = 0;

	for (const struct command *command = commands->first; command; command = command->next)
		places += has_place(command, slot) && command->uid == uid;
	return places;
}

/*
 * True when the user has a place for one more queued command (without `slot`: waiting command). When false, *ret_yields
 * is the youngest queued command of the user (not root) with the most, if those are more places, or NULL.
 */
static bool user_has_place(const struct commands *commands, uid_t uid, bool slot, struct command **ret_yields)
{
	unsigned all = slot ? commands->local.queued : commands->local.waiting;
	unsigned roots = places_of(commands, slot, 0), own = uid ? places_of(commands, slot, uid) : roots,
		 most = own + 2;

	if (uid == 0)
		return roots < (slot ? QUEUE_ROOT_PLACES : QUEUE_ROOT_WAITING);
	if (own >= (slot ? QUEUE_USER_PLACES : QUEUE_USER_WAITING))
		return false;
	if (all - roots < (slot ? QUEUE_USERS_PLACES : QUEUE_USERS_WAITING))
		return true;
	/* A command that waits without a slot may be half done: only a queued command, which has not begun, can yield.
	 */
	for (struct command *command = commands->first; slot && command; command = command->next) {
		unsigned places =
			has_place(command, true) && command->uid ? places_of(commands, true, command->uid) : 0;

		if (places >= most) {
			most = places;
			*ret_yields = command;
		}
	}
	return false;
}

/*
 * True when the source has, or gets, a place for one more queued command (without `slot`: waiting command). A user with
 * few places takes one from the user with the most, so that no user can fill the queue.
 */
static bool find_place(struct commands *commands, const struct session *session, bool slot)
{
	struct command *yields = NULL;

	if (session->kind == SESSION_PORT)
		return (slot ? commands->host.queued : commands->host.waiting) < commands->config->commands.queue_size;
	if (user_has_place(commands, session->uid, slot, &yields))
		return true;
	if (!yields)
		return false;
	commands->stats.queue_full++;
	command_fail(yields, CODE_QUEUE_FULL, "busy", "its place was given to another user, who had fewer");
	return user_has_place(commands, session->uid, slot, &yields);
}

struct command *queue_overstaying(const struct commands *commands)
{
	struct command *running = commands->first;
	const struct command *waiting = commands->first;

	while (running && (running->from_host || running->state != COMMAND_RUNNING || running->uid == 0))
		running = running->next;
	while (running && waiting &&
	       (waiting->from_host || waiting->state != COMMAND_QUEUED || waiting->uid == running->uid))
		waiting = waiting->next;
	return running && waiting ? running : NULL;
}

struct command *queue_startable(const struct commands *commands)
{
	struct command *command = commands->host.queued ? commands->first : NULL, *behind = NULL, *first = NULL;

	/* The oldest command whose kind of slot is free: a command that waits for its kind does not block others. */
	while (command &&
	       (!command->from_host || command->state != COMMAND_QUEUED || !host_slot_free(commands, command->slots)))
		command = command->next;
	if (command || !commands->local.queued || commands->local.running == QUEUE_LOCAL_SLOTS)
		return command;
	/*
	 * Round robin over the uids: the oldest command of the next higher uid after the one served last, else of the
	 * lowest uid.
	 */
	for (command = commands->first; command; command = command->next) {
		if (command->from_host || command->state != COMMAND_QUEUED)
			continue;
		if (!first || command->uid < first->uid)
			first = command;
		if (command->uid > commands->served_uid && (!behind || command->uid < behind->uid))
			behind = command;
	}
	return behind ? behind : first;
}

/* -------------------------------------------------------------------------------------------------------- admission */

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
	return permitted(command->commands, command->session ? command->session : &absent_host, action, action->group);
}

/* All clients of one user are one source. */
static bool takes_rate(struct commands *commands, const struct session *session)
{
	uint64_t rate_per_s = commands->config->commands.rate_per_s, now_ns = commands->loop->now.mono_ns;
	struct source *source;

	if (rate_per_s == 0)
		return true;
	source = session->kind == SESSION_PORT ? &commands->sources.host
					       : source_of_user(&commands->sources, session->uid, now_ns);
	return token_bucket_take(&source->bucket, (unsigned)rate_per_s, now_ns);
}

/* Makes all checks of admission, in the order of the protocol. NULL: the command was refused. */
static const struct action *admissible(struct commands *commands, struct session *session,
				       const struct message *message)
{
	const struct action *action = NULL;
	enum policy_group group;
	bool slot;

	for (const struct command *command = commands->first; command; command = command->next) {
		/* A `response` would end the first command of this id on the host: this one is refused by an `error`.
		 */
		if (command->session == session && command->state != COMMAND_OVER && !command->action->encode &&
		    strcmp(command->message.id, message->id) == 0) {
			commands->stats.refused++;
			commands->refusal = CODE_DUPLICATE_ID;
			session_error(session, "commands", CODE_DUPLICATE_ID, "duplicate_id", message->id,
				      "a command with this id is still being worked on");
			return NULL;
		}
	}
	if (message->type != MESSAGE_SAFE_COMMAND) {
		action = action_of_type(commands->actions, message->type);
		if (!action)
			return NULL;
	} else {
		switch (action_find(commands->actions, message->action, &action)) {
		case ACTION_KNOWN:
			break;
		case ACTION_FOREIGN:
			refuse(commands, session, message, CODE_UNSUPPORTED_PLATFORM, NULL,
			       "this action exists on Windows guests only");
			return NULL;
		case ACTION_UNKNOWN:
			refuse(commands, session, message, CODE_UNKNOWN_COMMAND, "unknown_action",
			       "this agent knows no such action");
			return NULL;
		}
	}
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
	} else if (commands->frozen && !action->always && (slot || group != GROUP_OBSERVE)) {
		refuse(commands, session, message, CODE_COMMAND_FAILED, "frozen",
		       "the file systems of this guest are frozen: nothing is written and no program started");
	} else if (slot && !queue_slot_free(commands, session, slots_of(action)) &&
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
	command->slots = slots_of(action);
	command->state = command->slot ? COMMAND_QUEUED : COMMAND_WAITING;
	deadline_init(&command->timer, commands->loop, command_on_deadline, command);
	*commands->end = command;
	commands->end = &command->next;
	count(commands, command, 1);
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
	room = queue_slot_free(commands, session, slots_of(action)) || find_place(commands, session, true);
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
	struct command *command = command_new(commands, &absent_host, message, action);

	if (!command)
		return NULL;
	command->resumed = true;
	queue_move(command, COMMAND_RUNNING);
	return command;
}
