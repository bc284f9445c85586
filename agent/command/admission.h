/* SPDX-License-Identifier: MIT */
/*
 * The list of commands under way, in the order received, and the slots and places that they take. Internal to the
 * commands (command.c, admission.c).
 *
 * Each source has its own share, which no other source can use. The host has commands.max_concurrent slots and a queue
 * of commands.queue_size. Local clients have one further slot between them and a queue of their own, in which some
 * places are for root alone; the uids that wait there are served in turn.
 */
#ifndef AGENT_COMMAND_ADMISSION_H
#define AGENT_COMMAND_ADMISSION_H

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

/* True when a command of `session` may take a slot of this kind now without overtaking a waiting command. */
bool queue_slot_free(const struct commands *commands, const struct session *session, enum slot_kind kind);

/* Takes the command out of the list. */
void queue_remove(struct command *command);

/* Changes the state of the command and updates the counts of slots and places. */
void queue_move(struct command *command, enum command_state state);

/* The command of a user (not root) that has the slot of local clients while another user waits for it; NULL: none. */
struct command *queue_overstaying(const struct commands *commands);

/* The queued command that starts next and for which a slot is free; NULL: none. */
struct command *queue_startable(const struct commands *commands);

/* ---- batch.c */

/* Member number `index` (from 0) has been answered. May answer the batch. */
void batch_member_done(struct command *batch, unsigned index, bool success, enum error_code code);

/* Cancels all members that have not ended; the batch is answered CANCELLED when all have. */
void batch_cancel(struct command *batch);

/* ---- retry.c: pure */

/*
 * True for a failed program, a lock held by another process, and a shortage of resources. False for errors that would
 * repeat (shape, policy, unknown names), for time-outs and for cancelled commands.
 */
bool retry_helps(enum error_code code, const char *reason);

/*
 * The pause before try number `attempt` (2 is the first retry): 200 ms, for a lock 1 s, doubled for each further try up
 * to 15 s, plus up to a quarter of jitter from `random`.
 */
uint64_t retry_delay_ns(unsigned attempt, const char *reason, uint32_t random);

#endif
