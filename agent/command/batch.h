/* SPDX-License-Identifier: MIT */
/*
 * CommandBatch: several commands in one message. Each member is judged, queued, run and answered as if it had come
 * alone; the batch itself is a command that holds no slot, waits for all of them, and is answered last with their
 * results in the order given.
 */
#ifndef AGENT_COMMAND_BATCH_H
#define AGENT_COMMAND_BATCH_H

#include "agent/command/action.h"
#include "transport/codes.h"

#define BATCH_MEMBERS_MAX 100

/* Its row in the table of actions. */
extern const struct action action_command_batch;

/* How member number `index` ended. May answer the batch. */
void batch_member_done(struct command *batch, unsigned index, bool success, enum error_code code);

/* Ends all members that have not ended; the batch is answered CANCELLED when they have. */
void batch_cancel(struct command *batch);

/* Is this command a batch? */
bool batch_is(const struct command *command);

#endif
