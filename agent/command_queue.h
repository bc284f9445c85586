/* SPDX-License-Identifier: MIT */
/*
 * The list of commands under way, in the order received, and the slots that they hold. Within the commands (command.c,
 * command_admit.c) alone: nothing is run or answered here.
 */
#ifndef AGENT_COMMAND_QUEUE_H
#define AGENT_COMMAND_QUEUE_H

#include <stdbool.h>

#include "agent/command.h"

/* The kind of slot that commands of an action take. */
enum slot_kind queue_slots_of(const struct action *action);

/* True when a command that takes such a slot may start now. */
bool queue_slot_free(const struct commands *commands, enum slot_kind kind);

/* At the end of the list, in its state. */
void queue_add(struct commands *commands, struct command *command);

void queue_remove(struct command *command);

/* Into another state, with what that holds and gives back. */
void queue_move(struct command *command, enum command_state state);

/* The oldest in this state that no program runs for; NULL: none. */
struct command *queue_find(const struct commands *commands, enum command_state state);

/* The oldest that waits and has a slot to go to; NULL: none. */
struct command *queue_startable(const struct commands *commands);

#endif
