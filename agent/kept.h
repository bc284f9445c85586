/* SPDX-License-Identifier: MIT */
/*
 * Commands whose programs outlive the agent: packages, and the making of a golden image. The journal remembers the unit
 * that runs for such a command and what it is about. The next agent makes the command anew and begins it like any
 * other; but the first program that is to be kept is not started: its unit is there, and is waited for. So the action
 * goes on where it was, and its answer is its own.
 *
 *	run ─► kept_begin ─► journal, unit ─► … ─► answered ─► kept_end
 *	                     └ (the agent ends) ─► kept_resume ─► run, attached ─► answered, or held
 *	                       until there is a host
 */
#ifndef AGENT_KEPT_H
#define AGENT_KEPT_H

#include <stdbool.h>
#include <stddef.h>

struct agent;
struct command;
struct kept_answer;

/* A new unit for the next program of the command, in its `unit` and in the journal; the one before it is let go. */
void kept_begin(struct command *command, const char *step, size_t max_output);

/*
 * The command has been answered, or what was to be kept was never started: nothing needs to be known of its unit any
 * more.
 */
void kept_end(struct command *command);

/*
 * What the action will have to know when it is resumed at this step, see exec_keep.h; *ret is on the heap, NULL:
 * nothing is known.
 */
void kept_note_write(struct command *command, const char *text, size_t len);
void kept_note_read(struct command *command, char **ret, size_t *ret_len);

/*
 * At the start: goes on with what an earlier run of the agent has left running; those commands leave the journal's
 * `lost`.
 */
void kept_resume(struct agent *agent);

/*
 * The answer in the writer to the host that is there, else it is held for the next one: until then neither journal nor
 * PID 1 forget the command. As of struct command_hooks; `data` is the agent.
 */
void kept_deliver(void *data, struct command *command);

/* There is a host. */
void kept_greet(struct agent *agent);

/* At the end: what is still held is for the next run. */
void kept_done(struct agent *agent);

#endif
