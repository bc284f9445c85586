/* SPDX-License-Identifier: MIT */
/*
 * Programs and operations on behalf of a command: from an argv to the command's answer, through runner or executor. An
 * action gives the program and uses its output; starting, watching, killing and refusing are the same for all actions
 * and live here. So does elevation: every action that changes the guest checks here, and nowhere else, whether it can.
 * Operations of the service manager are done by the privileged executor (agent/executor/) alone, and only if it is
 * enabled, even when the agent is root. Programs of an agent that is root are run by its own runner.
 *
 *	run_program ─► executor ─► done(command, outcome) ─► run_answer, or another run_program
 *	      └► refused: the command has been answered
 */
#ifndef AGENT_ACTIONS_RUN_H
#define AGENT_ACTIONS_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/bus/bus.h"
#include "agent/command/action.h"
#include "agent/command/journal.h"
#include "agent/rules/policy.h"
#include "agent/run/exec.h"
#include "agent/runner/protocol.h"
#include "transport/codes.h"

struct action_env;
struct command;
struct json_object;
struct privilege_operation;
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

/* -------------------------------------------------------------------------------------------------- detached runs */

/* The detached run of a command; hangs on it as `unit`. */
struct detached_unit {
	char name[RUNNER_UNIT_SIZE];
	bool attach; /* the command was resumed, and its next program runs already: it is `step` of the action */
	char step[JOURNAL_STEP_SIZE];
	size_t max_output; /* bytes kept of each stream */
};

/* Forgets the unit of a command that has been answered, or whose detached program was never started. */
void run_forget(struct command *command);

/* True while the next program of the command runs already: run_program attaches to it. */
bool run_attaches(const struct command *command);

/*
 * Reads the `note` of the detached run that the command attaches to. *ret is on the heap and the caller's; NULL: there
 * is none.
 */
void run_note_read(struct command *command, char **ret, size_t *ret_len);

/* ------------------------------------------------------------------------------------------------------- elevation */

#define PRIVILEGE_NO_EXECUTOR                                                                                          \
	"the agent has no rights and there is no executor; the owner of this guest enables it by: "                    \
	"systemctl enable --now infiniservice-exec.socket"

/* The reason of INTERNAL when the executor is enabled but can never start. */
#define PRIVILEGE_REASON_FAULT "executor_unusable"

/* Names of errors that an operation may have besides those of its D-Bus peer. */
#define PRIVILEGE_ERROR_ABSENT "org.infinibay.NoExecutor"
#define PRIVILEGE_ERROR_POLICY "org.infinibay.PolicyDenied"
#define PRIVILEGE_ERROR_LOST   "org.infinibay.ExecutorLost"
#define PRIVILEGE_ERROR_FAULT  "org.infinibay.ExecutorUnusable"

/* True when the agent is root: then its own runner runs privileged programs. */
bool privilege_is_root(void);

/*
 * True when there is an executor for an operation; else false with the command answered PERMISSION_DENIED, or INTERNAL
 * where the executor is on and can never start.
 */
bool privilege_require(struct command *command);

/* The same for a program: true as well when this process is root, or the program runs already, detached. */
bool privilege_require_program(struct command *command);

struct privilege_request {
	enum runner_operation operation;
	const char *action; /* name of the action, and its policy group, for the executor's allow-list */
	enum policy_group group;
	const char *unit;     /* "" for the power operations */
	uint64_t deadline_ns; /* CLOCK_MONOTONIC */
};

/*
 * Has the executor do a privileged operation. `done` is called once, never from within this call, with a reply as of a
 * D-Bus call; without an error its text is the result of the job. 0 and *ret, valid until `done` begins, or -errno
 * (-ENOTCONN: there is no executor; -EHOSTDOWN: it can never start).
 */
int privilege_operation_start(struct action_env *env, const struct privilege_request *wanted, bus_reply_fn done,
			      void *data, struct privilege_operation **ret);
/*
 * The reply for an operation that could not be started: the executor's error with its name. Valid until the next call.
 */
struct bus_reply privilege_operation_failure(struct action_env *env, int error);

/* Drops the interest in the result; the operation itself may still be done. Accepts NULL, returns NULL. */
struct privilege_operation *privilege_operation_cancel(struct privilege_operation *operation);

#endif
