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
#ifndef AGENT_ACTIONS_DETACHED_H
#define AGENT_ACTIONS_DETACHED_H

#include <stdbool.h>
#include <stddef.h>

struct bus;
struct command;
struct commands;
struct exec;
struct held_answer;
struct legacy_run;
struct session;

struct detached {
	struct commands *commands;
	struct exec *executor;
	struct bus *bus; /* for the runs of 0.1.0 */
	struct session *host;
	const char *boot_id;
	struct held_answer *held; /* answers for the next session of the host */
	struct legacy_run *legacy;
};

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
void detached_resume(struct detached *detached);

/*
 * The answer in the writer to the host that is there, else it is held for the next one: until then neither the
 * journal nor the files forget the command.
 */
void detached_deliver(struct detached *detached, struct command *command);

/* There is a host. */
void detached_session_began(struct detached *detached);

/* At the end: what is still held is for the next run. Accepts zeroed memory. */
void detached_done(struct detached *detached);

#endif
