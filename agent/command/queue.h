/* SPDX-License-Identifier: MIT */
/*
 * The list of commands under way, in the order received, and the slots and places that they hold. Within the commands
 * (command.c, command_admit.c) alone: nothing is run or answered here.
 *
 * Each source has its own share, and takes none of another's. The host has commands.max_concurrent slots and a queue of
 * commands.queue_size. Local clients have one further slot between them and a queue of their own, in which root has
 * places that nobody else takes; the uids that wait there are served in turn.
 */
#ifndef AGENT_COMMAND_QUEUE_H
#define AGENT_COMMAND_QUEUE_H

#include <stdbool.h>

#include "agent/command/command.h"

#define QUEUE_LOCAL_SLOTS 1
/* Places in the queue of local clients: of root alone, of all other users together, of one of them. */
#define QUEUE_ROOT_PLACES  16
#define QUEUE_USERS_PLACES 16
#define QUEUE_USER_PLACES  4
/* Questions of local clients that hold no slot and wait for their answers: likewise. */
#define QUEUE_ROOT_WAITING  64
#define QUEUE_USERS_WAITING 64
#define QUEUE_USER_WAITING  8

/*
 * So long a user's command has the slot of local clients at least; then it gives way to another user, or root, who
 * waits.
 */
#define QUEUE_TURN_S 30

/* The kind of slot that commands of an action take. */
enum slot_kind queue_slots_of(const struct action *action);

/* True when a command of `session` that takes such a slot may start now, without passing by one that waits. */
bool queue_slot_free(const struct commands *commands, const struct session *session, enum slot_kind kind);

/*
 * True when its source has a place for one more that is queued (or, without `slot`, waits). *ret_yields, with false:
 * another user has so many that the youngest of theirs has to go, which makes room; else NULL.
 */
bool queue_has_place(const struct commands *commands, const struct session *session, bool slot,
		     struct command **ret_yields);

/* At the end of the list, in its state. */
void queue_add(struct commands *commands, struct command *command);

void queue_remove(struct command *command);

/* Into another state, with what that holds and gives back. */
void queue_move(struct command *command, enum command_state state);

/* The oldest in this state that no program runs for; NULL: none. */
struct command *queue_find(const struct commands *commands, enum command_state state);

/* The command of a user that has the slot of local clients while another one waits for it; NULL: none. */
struct command *queue_overstaying(const struct commands *commands);

/* The one that waits and is next to start, of whom there is a slot for; NULL: none. */
struct command *queue_startable(const struct commands *commands);

#endif
