/* SPDX-License-Identifier: MIT */
/*
 * Elevation: every action that changes the guest checks here, and nowhere else, whether it can. Operations of the
 * service manager are done by the privileged executor (agent/executor/) alone, and only if it is enabled, even when the
 * agent is root. Programs of an agent that is root are run by its own runner.
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

/*
 * Answers a command that the executor cannot take; `error` is that of exec_start: -ENOTCONN (the executor is off) or
 * -EHOSTDOWN (it can never start).
 */
void privilege_fail(struct command *command, struct exec *exec, int error);

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
