/* SPDX-License-Identifier: MIT */
/*
 * CommandBatch: several commands in one message. Each member is admitted, queued, run and answered as if it had come
 * alone; the batch itself is a command that takes no slot, waits for all members, and is answered last with their
 * results in the order given.
 */
#ifndef AGENT_COMMAND_BATCH_H
#define AGENT_COMMAND_BATCH_H

#include "agent/command/action.h"
#include "transport/codes.h"

#define BATCH_MEMBERS_MAX 100

/* Its row in the table of actions. */
extern const struct action action_command_batch;

/* Member number `index` (from 0) has been answered. May answer the batch. */
void batch_member_done(struct command *batch, unsigned index, bool success, enum error_code code);

/* Cancels all members that have not ended; the batch is answered CANCELLED when all have. */
void batch_cancel(struct command *batch);

/* True if the command is a batch. */
bool batch_is(const struct command *command);

#endif
