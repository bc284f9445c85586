/* SPDX-License-Identifier: MIT */
/*
 * The record of a command's life: its audit records, its journal entry, and the notices to subscribers of "commands".
 * command.c calls one function here at each change of state.
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
	struct deadline audit_again; /* the next try, while audit records wait for room or are to be summed up */
	struct loop *loop;
};

/* Audit and journal are borrowed. */
void record_init(struct record *record, struct loop *loop, struct audit *audit, struct journal *journal);

/*
 * The command has been admitted: it enters the journal, as its answer is pending from now on, also over a crash of the
 * agent.
 */
void record_accepted(struct command *command);

/* A command without a slot was not answered in the turn it came in: it enters the journal too. */
void record_waits(struct command *command);

/* The command is about to run. */
void record_started(struct command *command);

/* A program with these arguments is about to run for the command. */
void record_program(struct command *command, const char *const argv[]);

/* The command has been answered. */
void record_answered(struct command *command, const struct response *response);

/* The command was not admitted. */
void record_refused(struct commands *commands, const struct session *session, const struct message *message,
		    enum error_code code);

#endif
