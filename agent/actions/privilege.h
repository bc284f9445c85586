/* SPDX-License-Identifier: MIT */
/*
 * Whether what needs rights can be done: every action that changes something asks here and nowhere else. Operations of
 * the service manager are done by the privileged executor of the installation (agent/executor/) alone, if that is on,
 * whoever the agent is. Programs of an agent that is root run as its own user, by its own runner.
 */
#ifndef AGENT_ACTIONS_PRIVILEGE_H
#define AGENT_ACTIONS_PRIVILEGE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/bus/bus.h"
#include "agent/runner/protocol.h"
#include "agent/rules/policy.h"

struct action_env;
struct command;
struct exec;
struct privilege_operation;

#define PRIVILEGE_NO_EXECUTOR                                                                                          \
	"the agent has no rights and there is no executor; the owner of this guest enables it by: "                    \
	"systemctl enable --now infiniservice-exec.socket"

/* The reason of INTERNAL when there is an executor that can never start. */
#define PRIVILEGE_REASON_FAULT "executor_unusable"

/* Names of errors that an operation may have besides those of its D-Bus peer. */
#define PRIVILEGE_ERROR_ABSENT "org.infinibay.NoExecutor"
#define PRIVILEGE_ERROR_POLICY "org.infinibay.PolicyDenied"
#define PRIVILEGE_ERROR_LOST   "org.infinibay.ExecutorLost"
#define PRIVILEGE_ERROR_FAULT  "org.infinibay.ExecutorUnusable"

/* True when programs with rights are run by our own runner: this process is root. */
bool privilege_is_root(void);

/*
 * True when there is an executor for an operation; else false with the command answered PERMISSION_DENIED, or INTERNAL
 * where the executor is on and can never start.
 */
bool privilege_require(struct command *command);

/* The same for a program: true as well when this process is root, or the program runs already, detached. */
bool privilege_require_program(struct command *command);

/*
 * Answers for a command that the executor cannot take: -ENOTCONN (it is off) or -EHOSTDOWN (it can never start), as of
 * exec_start.
 */
void privilege_fail(struct command *command, struct exec *exec, int error);

struct privilege_request {
	enum runner_operation operation;
	const char *action; /* what it is part of, */
	enum policy_group group;
	const char *unit;     /* "" for the power operations */
	uint64_t deadline_ns; /* CLOCK_MONOTONIC */
};

/*
 * Has an operation done by the executor. `done` is called once, never from within this call: as of a call on the bus,
 * but its text is the result of the job when there is no error. 0 and *ret, valid until `done` begins, or -errno
 * (-ENOTCONN: there is no executor; -EHOSTDOWN: it can never start).
 */
int privilege_operation_start(struct action_env *env, const struct privilege_request *wanted, bus_reply_fn done,
			      void *data, struct privilege_operation **ret);
/*
 * What an operation that could not be started is told as: an error of the executor, with a name. Valid until the next
 * call.
 */
struct bus_reply privilege_operation_failure(struct action_env *env, int error);

/* Forgets it: what was asked may still happen. Accepts NULL, returns NULL. */
struct privilege_operation *privilege_operation_cancel(struct privilege_operation *operation);

#endif
