/* SPDX-License-Identifier: MIT */
/*
 * Commands whose programs outlive the agent: packages, and the making of a golden image. The journal records the unit
 * and the parameters of such a command. The next agent process creates the command again and runs its action, but
 * attaches to the detached run instead of starting its program: it reads the files of the run and waits for its end. So
 * the action goes on where it was and gives its own answer.
 *
 *	run ─► detached_begin ─► journal, unit ─► … ─► answered ─► detached_end
 *	                         └ (the agent ends) ─► detached_resume ─► run, attached ─► answered, or held
 *	                           until there is a host
 */
#ifndef AGENT_ACTIONS_DETACHED_H
#define AGENT_ACTIONS_DETACHED_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/command/journal.h"
#include "agent/runner/protocol.h"

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

/* The detached run of a command; hangs on it as `unit`. */
struct detached_unit {
	char name[RUNNER_UNIT_SIZE];
	bool attach; /* the command was resumed, and its next program runs already: it is `step` of the action */
	char step[JOURNAL_STEP_SIZE];
	size_t max_output; /* bytes kept of each stream */
};

/*
 * Gives the command a new unit for its next program, also in the journal; forgets the previous unit. 0, or -ENOMEM:
 * it has none.
 */
int detached_begin(struct command *command, const char *step, size_t max_output);

/* Forgets the unit of a command that has been answered, or whose detached program was never started. */
void detached_end(struct command *command);

/* True while the next program of the command runs already: run_program attaches to it. */
bool detached_attaches(const struct command *command);

/*
 * The state that the action needs when it is resumed at this step, see run/detached_files.h. *ret is on the heap and
 * the caller's; NULL: there is none.
 */
void detached_note_write(struct command *command, const char *text, size_t len);
void detached_note_read(struct command *command, char **ret, size_t *ret_len);

/*
 * At the start: resumes the commands whose detached runs an earlier agent process left; removes them from the journal's
 * `lost`.
 */
void detached_resume(struct detached *detached);

/*
 * Sends the answer in the writer to the host; without a host it is held for the next session. Until the answer is sent
 * the journal and the files of the run stay.
 */
void detached_deliver(struct detached *detached, struct command *command);

/* A session with the host has started: held answers are sent. */
void detached_session_began(struct detached *detached);

/* At the end: answers still held are left to the next agent process. Accepts zeroed memory. */
void detached_done(struct detached *detached);

#endif
