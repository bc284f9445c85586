/* SPDX-License-Identifier: MIT */
/*
 * Programs on behalf of a command: from an argv to the command's answer, through the executor. An action gives the
 * program and uses its output; starting, watching, killing and refusing are the same for all actions and live here.
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
	bool privileged;	       /* changes the guest or needs rights; false: it runs as the agent's own user */
	bool optional;	  /* if the program cannot be started `done` is called all the same, and the command goes on */
	bool question;	  /* the output is for the action alone: it is not streamed */
	const char *step; /* name of this step of the action, for detached.h; NULL: the action has only one */
	/* State that the action needs to go on after a restart of the agent, if this run outlives it; NULL: none. */
	const struct exec_output *note;
	size_t max_output_bytes; /* kept per stream; 0: commands.max_output_bytes */
	/* Called once when the program has exited, was killed or was lost. NULL: run_answer without data. */
	void (*done)(struct command *command, struct exec_outcome *outcome);
};

/*
 * Starts the program within the command's deadlines. If it cannot be started the command has been answered, unless the
 * run is `optional`. May be called again from `done` for a further step of the same command. Programs of the groups
 * packages and power become detached runs where there is an executor (detached.h).
 */
void run_program(struct command *command, const struct run *run);

/* True if a privileged program of this command gets its rights: the host sent the command, or the agent is root. */
bool run_has_rights(const struct command *command);

/* True if the program ran to its end with exit code 0. */
bool run_succeeded(const struct exec_outcome *outcome);

/*
 * Answers with the streams, the exit code, and the error for the way the program ended; `data` as in struct response,
 * or NULL.
 */
void run_answer(struct command *command, const struct exec_outcome *outcome,
		void (*data)(struct sink *sink, const char *key, const void *arg), const void *arg);

/* Answers with the streams and the exit code of the program, but with the error that the action gives. */
void run_answer_as(struct command *command, const struct exec_outcome *outcome, enum error_code code,
		   const char *reason, const char *error);

/*
 * Writes to `out` the path of the executable `name` in the fixed directories /usr/local/sbin … /bin; false if there is
 * none.
 */
bool run_find(const char *name, char *out, size_t size);

#endif
