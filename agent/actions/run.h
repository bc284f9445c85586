/* SPDX-License-Identifier: MIT */
/*
 * Programs on behalf of a command: from an argv to the command's answer, through the executor. An action says what to
 * run and what to make of its output; how it is started, watched, killed and refused is the same for all and lives
 * here.
 *
 *	run_program ─► executor ─► done(command, outcome) ─► run_answer, or another run_program
 *	      └► refused: the command has been answered
 */
#ifndef AGENT_ACTIONS_RUN_H
#define AGENT_ACTIONS_RUN_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/command/action.h"
#include "agent/run/exec.h"
#include "transport/codes.h"

struct json_object;
struct response;
struct sink;

struct run {
	const char *const *argv;       /* argv[0] is an absolute path; names from a host come after "--" */
	struct json_object *variables; /* further environment: an object of texts; NULL: none */
	const char *cwd;	       /* NULL: "/" */
	const int *input;	       /* as of struct exec_request; NULL: none */
	const char *user;	       /* NULL: the executor's own */
	bool privileged;	       /* changes something or needs rights: else it runs as the agent does */
	bool optional;		       /* if it cannot be started, `done` is told so: the command goes on without it */
	bool question;		       /* what it writes is for the action alone: it is not streamed */
	const char *step;	       /* its name in the action, for detached.h; NULL: the action has but one */
	/*
	 * What the action has to know to go on after a restart of the agent, should this run outlive it; NULL: nothing.
	 */
	const struct exec_output *note;
	size_t max_output_bytes; /* kept per stream; 0: commands.max_output_bytes */
	/* Called once when the program has ended, in whatever way. NULL: run_answer without data. */
	void (*done)(struct command *command, struct exec_outcome *outcome);
};

/*
 * Programs of the groups packages and power outlive the agent where there is an executor (detached.h).
 *
 * Starts the program within the command's deadlines. If it cannot be started the command has been
 * answered. May be called again from `done` for a further step of the same command.
 */
void run_program(struct command *command, const struct run *run);

/*
 * True if a run of this command that asks for rights may have them: of a host, or where we are root ourselves.
 */
bool run_has_rights(const struct command *command);

/* True if the program ran to its end with exit code 0. */
bool run_succeeded(const struct exec_outcome *outcome);

/*
 * Answers with the streams, the exit code, and the error that fits how it ended; `data` as in struct response, or NULL.
 */
void run_answer(struct command *command, const struct exec_outcome *outcome,
		void (*data)(struct sink *sink, const char *key, const void *arg), const void *arg);

/*
 * The same for a program that ran and failed in a way the action understands: with its streams and exit code, but this
 * error.
 */
void run_answer_as(struct command *command, const struct exec_outcome *outcome, enum error_code code,
		   const char *reason, const char *error);

/*
 * The path of `name` in the fixed directories /usr/local/sbin … /bin where it is executable, in `out`; false if
 * nowhere.
 */
bool run_find(const char *name, char *out, size_t size);

#endif
