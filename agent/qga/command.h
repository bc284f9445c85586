/* SPDX-License-Identifier: MIT */
/* What a command of this language is made of. A new one is a row in a file of its subject, and its line in table.h. */
#ifndef AGENT_QGA_COMMAND_H
#define AGENT_QGA_COMMAND_H

#include "agent/qga/qga.h"
#include "agent/qga/request.h"

/* A request under way. Gets exactly one answer, by qga_return or qga_fail, in `run` or later from the loop. */
struct qga_call {
	const struct qga_env *env;
	struct qga *qga;
	const struct qga_command *command;
	struct qga_request request;
	struct moment begun;
	bool audited, answered, silent;
	/* Set by the dispatcher: it is told of the end, and knows what the owner permits. */
	void (*ended)(struct qga_call *call, bool success);
	bool (*enabled)(const struct qga *qga, const struct qga_rule *rule);
	void *work; /* of a command that answers later; freed by its drop */
};

struct qga_command {
	const char *name;		/* its rule in agent/rules/qga_policy.c */
	const struct qga_param *params; /* NULL: takes no arguments */
	void (*run)(struct qga_call *call);
	/* Of a command that may answer later: frees call->work, after the answer or without one. */
	void (*drop)(struct qga_call *call);
	/* Optional: whether it can be done now. */
	bool (*possible)(const struct qga_env *env);
	bool secret; /* its arguments are not for the record */
};

/* Writes the value of "return" under `key`. */
typedef void (*qga_emit_fn)(struct sink *out, const char *key, const void *arg);

/* The answer. The call must not be used any more by a command that answers later. */
void qga_return(struct qga_call *call, qga_emit_fn emit, const void *arg);
/* An empty object. */
void qga_return_nothing(struct qga_call *call);
/* The same behind a byte 0xFF. */
void qga_return_delimited(struct qga_call *call, qga_emit_fn emit, const void *arg);
/* An error of the class GenericError. */
__attribute__((format(printf, 2, 3))) void qga_fail(struct qga_call *call, const char *format, ...);
/* Ends a call whose success has no answer. */
void qga_return_silently(struct qga_call *call);

#define QGA_CLASS_GENERIC   "GenericError"
#define QGA_CLASS_NOT_FOUND "CommandNotFound"

/* The answer to a request that became no call; `request` may be NULL. */
void qga_answer_fault(const struct qga_env *env, const struct qga_request *request, const char *class,
		      const char *text);

/* The command of that rule; NULL: this agent has none (it is listed, and disabled). */
const struct qga_command *qga_command_find(const char *name);

#endif
