/* SPDX-License-Identifier: MIT */
/*
 * Commands whose programs outlive the agent: packages, and the making of a golden image. The journal remembers the unit
 * of the detached run for such a command and what it is about. The next agent makes the command anew and begins it like
 * any other; but its first detached program is not started: its files are there, and its end is waited for. So the
 *action goes on where it was, and its answer is its own.
 *
 *	run ─► detached_begin ─► journal, unit ─► … ─► answered ─► detached_end
 *	                         └ (the agent ends) ─► detached_resume ─► run, attached ─► answered, or held
 *	                           until there is a host
 */
#ifndef AGENT_DETACHED_H
#define AGENT_DETACHED_H

#include <stdbool.h>
#include <stddef.h>

struct agent;
struct command;
struct held_answer;

/* A new unit for the next program of the command, in its `unit` and in the journal; the one before it is forgotten. */
void detached_begin(struct command *command, const char *step, size_t max_output);

/*
 * The command has been answered, or its detached program was never started: nothing needs to be known of its unit any
 * more.
 */
void detached_end(struct command *command);

/*
 * What the action will have to know when it is resumed at this step, see run/detached_files.h; *ret is on the heap,
 * NULL: nothing is known.
 */
void detached_note_write(struct command *command, const char *text, size_t len);
void detached_note_read(struct command *command, char **ret, size_t *ret_len);

/*
 * At the start: goes on with what an earlier run of the agent has left running; those commands leave the journal's
 * `lost`.
 */
void detached_resume(struct agent *agent);

/*
 * The answer in the writer to the host that is there, else it is held for the next one: until then neither the
 * journal nor the files forget the command. As of struct command_hooks; `data` is the agent.
 */
void detached_deliver(void *data, struct command *command);

/* There is a host. */
void detached_session(struct agent *agent);

/* At the end: what is still held is for the next run. */
void detached_done(struct agent *agent);

#endif
