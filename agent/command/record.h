/* SPDX-License-Identifier: MIT */
/*
 * What others learn of a command's life: the audit record, the journal of accepted commands, and subscribers of
 * "commands". One call at each turn of a command's life; command.c knows of no other listener.
 */
#ifndef AGENT_COMMAND_RECORD_H
#define AGENT_COMMAND_RECORD_H

#include "agent/audit/audit.h"
#include "agent/base/loop.h"
#include "agent/command/journal.h"
#include "transport/codes.h"

struct command;
struct commands;
struct message;
struct response;
struct session;

struct record {
	struct audit *audit;
	struct journal *journal;
	struct deadline audit_again; /* of what waits for room in the audit, or is to be counted there */
	struct loop *loop;
};

/* Audit and journal are borrowed. */
void record_init(struct record *record, struct loop *loop, struct audit *audit, struct journal *journal);

/* It has been admitted: now it is owed an answer, whatever happens to the agent. */
void record_accepted(struct command *command);

/*
 * It is not answered in the turn it came in, though it holds no slot: from now on it is owed an answer like the others.
 */
void record_waits(struct command *command);

/* It is about to run. */
void record_started(struct command *command);

/* A program is about to run for it, with these words. */
void record_program(struct command *command, const char *const argv[]);

/* Its answer is on its way. */
void record_answered(struct command *command, const struct response *response);

/* It was not admitted. */
void record_refused(struct commands *commands, const struct session *session, const struct message *message,
		    enum error_code code);

#endif
