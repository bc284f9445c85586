/* SPDX-License-Identifier: MIT */
/* The list of commands under way, their slots and places, and the choice of the next one to start; see queue.h. */
#include "agent/command/queue.h"

#include "agent/peer/session.h"

/* The number of slots that commands of one kind may take at once. */
static unsigned slot_share(const struct commands *commands, enum slot_kind kind)
{
	unsigned all = (unsigned)commands->config->commands.max_concurrent;

	switch (kind) {
	case SLOTS_PACKAGES:
	case SLOTS_POWER:
		return 1;
	case SLOTS_SCRIPTS:
		return all > 1 ? all - 1 : 1;
	default:
		return all;
	}
}

enum slot_kind queue_slots_of(const struct action *action)
{
	if (action->slots != SLOTS_ANY)
		return action->slots;
	return action->group == GROUP_PACKAGES ? SLOTS_PACKAGES
	       : action->group == GROUP_POWER  ? SLOTS_POWER
					       : SLOTS_ANY;
}

static bool host_slot_free(const struct commands *commands, enum slot_kind kind)
{
	return commands->hooks->host_reads(commands->data) &&
	       commands->host.running < commands->config->commands.max_concurrent &&
	       commands->held[kind] < slot_share(commands, kind);
}

/* Local clients share one slot in turn: a new command does not overtake waiting ones. */
bool queue_slot_free(const struct commands *commands, const struct session *session, enum slot_kind kind)
{
	if (session->kind == SESSION_LOCAL)
		return commands->local.running < QUEUE_LOCAL_SLOTS && commands->local.queued == 0;
	return host_slot_free(commands, kind);
}

static void count_in(struct command_counts *counts, enum command_state state, int by)
{
	unsigned *const counters[] = { [COMMAND_QUEUED] = &counts->queued,
				       [COMMAND_RUNNING] = &counts->running,
				       [COMMAND_WAITING] = &counts->waiting };

	if (state != COMMAND_OVER)
		*counters[state] += (unsigned)by;
}

/* Counts what the command takes in its state: a place and, when running, a slot. `by` is 1 or -1. */
static void count(struct commands *commands, const struct command *command, int by)
{
	count_in(command->from_host ? &commands->host : &commands->local, command->state, by);
	if (command->from_host && command->state == COMMAND_RUNNING)
		commands->held[command->slots] += (unsigned)by;
}

void queue_add(struct commands *commands, struct command *command)
{
	*commands->end = command;
	commands->end = &command->next;
	count(commands, command, 1);
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

struct command *queue_find(const struct commands *commands, enum command_state state)
{
	struct command *command = commands->first;

	/* A command that runs a program without a slot ends when the program does. */
	while (command && (command->state != state || command->job || command->end))
		command = command->next;
	return command;
}

/* ---------------------------------------------------------------------------------------------------- local clients */

static bool is_local(const struct command *command, enum command_state state)
{
	return !command->from_host && command->state == state;
}

static unsigned places_of(const struct commands *commands, enum command_state state, uid_t uid)
{
	unsigned places = 0;

	for (const struct command *command = commands->first; command; command = command->next)
		places += is_local(command, state) && command->uid == uid;
	return places;
}

/* The last command of the user (not root) with the most places. */
static struct command *youngest_of_most(const struct commands *commands, enum command_state state, unsigned *ret_places)
{
	struct command *youngest = NULL;

	*ret_places = 0;
	for (struct command *command = commands->first; command; command = command->next) {
		unsigned places =
			is_local(command, state) && command->uid != 0 ? places_of(commands, state, command->uid) : 0;

		if (places && places >= *ret_places) {
			*ret_places = places;
			youngest = command;
		}
	}
	return youngest;
}

static bool local_has_place(const struct commands *commands, uid_t uid, bool slot, struct command **ret_yields)
{
	enum command_state state = slot ? COMMAND_QUEUED : COMMAND_WAITING;
	unsigned all = slot ? commands->local.queued : commands->local.waiting;
	unsigned roots = places_of(commands, state, 0), own = uid ? places_of(commands, state, uid) : roots, most;
	struct command *youngest;

	if (uid == 0)
		return roots < (slot ? QUEUE_ROOT_PLACES : QUEUE_ROOT_WAITING);
	if (own >= (slot ? QUEUE_USER_PLACES : QUEUE_USER_WAITING))
		return false;
	if (all - roots < (slot ? QUEUE_USERS_PLACES : QUEUE_USERS_WAITING))
		return true;
	/*
	 * A command that waits without a slot may be half done: only a queued command, which has not begun, can yield.
	 */
	youngest = slot ? youngest_of_most(commands, state, &most) : NULL;
	if (youngest && most > own + 1)
		*ret_yields = youngest;
	return false;
}

bool queue_has_place(const struct commands *commands, const struct session *session, bool slot,
		     struct command **ret_yields)
{
	unsigned held = slot ? commands->host.queued : commands->host.waiting;

	*ret_yields = NULL;
	if (session->kind == SESSION_LOCAL)
		return local_has_place(commands, session->uid, slot, ret_yields);
	return held < commands->config->commands.queue_size;
}

/*
 * Round robin over the uids: the oldest command of the next higher uid after the one served last, else of the lowest
 * uid.
 */
static struct command *next_in_turn(const struct commands *commands)
{
	struct command *behind = NULL, *first = NULL;

	for (struct command *command = commands->first; command; command = command->next) {
		if (!is_local(command, COMMAND_QUEUED) || command->pausing)
			continue;
		if (!first || command->uid < first->uid)
			first = command;
		if (command->uid > commands->served_uid && (!behind || command->uid < behind->uid))
			behind = command;
	}
	return behind ? behind : first;
}

/* The oldest command whose kind of slot is free: a command that waits for its kind does not block others. */
static struct command *next_of_host(const struct commands *commands)
{
	struct command *command = commands->first;

	while (command && (!command->from_host || command->state != COMMAND_QUEUED || command->pausing ||
			   !host_slot_free(commands, command->slots)))
		command = command->next;
	return command;
}

struct command *queue_overstaying(const struct commands *commands)
{
	struct command *running = commands->first;
	const struct command *waiting = commands->first;

	while (running && (!is_local(running, COMMAND_RUNNING) || running->uid == 0))
		running = running->next;
	while (running && waiting &&
	       (!is_local(waiting, COMMAND_QUEUED) || waiting->pausing || waiting->uid == running->uid))
		waiting = waiting->next;
	return running && waiting ? running : NULL;
}

struct command *queue_startable(const struct commands *commands)
{
	struct command *command = commands->host.queued ? next_of_host(commands) : NULL;

	if (!command && commands->local.queued && commands->local.running < QUEUE_LOCAL_SLOTS)
		command = next_in_turn(commands);
	return command;
}
