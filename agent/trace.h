/* SPDX-License-Identifier: MIT */
/*
 * What others learn of a command's life: the audit record, the journal of accepted commands, and subscribers of
 * "commands". One call at each turn of a command's life; command.c knows of no other listener.
 */
#ifndef AGENT_TRACE_H
#define AGENT_TRACE_H

#include "transport/codes.h"

struct agent;
struct command;
struct message;
struct response;
struct session;

/* Before any other of these. */
void trace_init(struct agent *agent);

/* It has been admitted: now it is owed an answer, whatever happens to the agent. */
void trace_accepted(struct command *command);

/*
 * It is not answered in the turn it came in, though it holds no slot: from now on it is owed an answer like the others.
 */
void trace_waits(struct command *command);

/* It is about to run. */
void trace_started(struct command *command);

/* A program is about to run for it, with these words. */
void trace_program(struct command *command, const char *const argv[]);

/* Its answer is on its way. */
void trace_answered(struct command *command, const struct response *response);

/* It was not admitted. */
void trace_refused(struct agent *agent, const struct session *session, const struct message *message,
		   enum error_code code);

#endif
