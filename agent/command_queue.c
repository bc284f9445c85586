/* SPDX-License-Identifier: MIT */
/* The list of commands under way, what each of them holds, and which may start next; see command_queue.h. */
#include "agent/command_queue.h"

#include "agent/agent.h"

/* How many of the slots commands of one kind may hold at once. */
static unsigned slot_share(const struct commands *commands, enum slot_kind kind)
{
	unsigned all = (unsigned)commands->agent->config.commands.max_concurrent;

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
	return action->group == GROUP_PACKAGES ? SLOTS_PACKAGES : action->group == GROUP_POWER ? SLOTS_POWER : SLOTS_ANY;
}

/*
 * Nothing more is started for a host that does not read the answers it has: what runs already may fill the rest of the queue
 * (five answers of half a megabyte into three quarters of four), and an answer must find room.
 */
static bool host_reads(const struct commands *commands)
{
	const struct agent *agent = commands->agent;

	return port_queued_bytes(agent->port) <= agent->config.port.queue_bytes / 4;
}

bool queue_slot_free(const struct commands *commands, enum slot_kind kind)
{
	return host_reads(commands) && commands->running < commands->agent->config.commands.max_concurrent &&
	       commands->held[kind] < slot_share(commands, kind);
}

/* What it holds in its state: a place there and, when it runs, a slot. */
static void count(struct commands *commands, const struct command *command, int by)
{
	unsigned *counter = command->state == COMMAND_QUEUED ? &commands->queued :
			    command->state == COMMAND_RUNNING ? &commands->running : &commands->waiting;

	*counter += (unsigned)by;
	if (command->state == COMMAND_RUNNING)
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
	struct commands *commands = &command->agent->commands;
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
	struct commands *commands = &command->agent->commands;

	count(commands, command, -1);
	command->state = state;
	count(commands, command, 1);
}

struct command *queue_find(const struct commands *commands, enum command_state state)
{
	struct command *command = commands->first;

	/* What runs a program without a slot ends when that does. */
	while (command && (command->state != state || command->job))
		command = command->next;
	return command;
}

/* The oldest that has a slot to go to: what waits for a slot of its kind holds up nobody behind it. */
struct command *queue_startable(const struct commands *commands)
{
	struct command *command = commands->first;

	while (command && (command->state != COMMAND_QUEUED || command->pausing || !queue_slot_free(commands, command->slots)))
		command = command->next;
	return command;
}
