/* SPDX-License-Identifier: MIT */
/*
 * The list of commands under way, in the order received, and the slots and places that they take. Internal to the
 * commands (command.c, admit.c); nothing is run or answered here.
 *
 * Each source has its own share, which no other source can use. The host has commands.max_concurrent slots and a queue
 * of commands.queue_size. Local clients have one further slot between them and a queue of their own, in which some
 * places are for root alone; the uids that wait there are served in turn.
 */
#ifndef AGENT_COMMAND_QUEUE_H
#define AGENT_COMMAND_QUEUE_H

#include <stdbool.h>

#include "agent/command/command.h"

#define QUEUE_LOCAL_SLOTS 1
/* Places in the queue of local clients: for root alone, for all other users together, for one other user. */
#define QUEUE_ROOT_PLACES  16
#define QUEUE_USERS_PLACES 16
#define QUEUE_USER_PLACES  4
/* Commands of local clients that take no slot and wait for their answers: likewise. */
#define QUEUE_ROOT_WAITING  64
#define QUEUE_USERS_WAITING 64
#define QUEUE_USER_WAITING  8

/*
 * A command of a user has the slot of local clients for at least this long; then it is cancelled if a command of
 * another user, or of root, waits for the slot.
 */
#define QUEUE_TURN_S 30

/* The kind of slot that commands of an action take. */
enum slot_kind queue_slots_of(const struct action *action);

/* True when a command of `session` may take a slot of this kind now without overtaking a waiting command. */
bool queue_slot_free(const struct commands *commands, const struct session *session, enum slot_kind kind);

/*
 * True when the source has a place for one more queued command (without `slot`: waiting command). When false,
 * *ret_yields is the youngest command of a user with more places, which the caller may end to make room, or NULL.
 */
bool queue_has_place(const struct commands *commands, const struct session *session, bool slot,
		     struct command **ret_yields);

/* Appends the command to the list, in its state. */
void queue_add(struct commands *commands, struct command *command);

void queue_remove(struct command *command);

/* Changes the state of the command and updates the counts of slots and places. */
void queue_move(struct command *command, enum command_state state);

/* The oldest command in this state for which no program runs; NULL: none. */
struct command *queue_find(const struct commands *commands, enum command_state state);

/* The command of a user (not root) that has the slot of local clients while another user waits for it; NULL: none. */
struct command *queue_overstaying(const struct commands *commands);

/* The queued command that starts next and for which a slot is free; NULL: none. */
struct command *queue_startable(const struct commands *commands);

#endif
