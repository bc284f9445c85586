/* SPDX-License-Identifier: MIT */
/*
 * What commands of this language have the executor do: one of its verbs as a unit of its own, or an operation. The work
 * outlives a call whose host has left; it is then answered to nobody.
 */
#ifndef AGENT_QGA_ROOT_H
#define AGENT_QGA_ROOT_H

#include "agent/qga/command.h"
#include "agent/run/exec.h"

/* How long a verb may take. */
#define QGA_ROOT_S 60

/* Called once, from the loop; the call is then to be answered. */
typedef void (*qga_root_fn)(struct qga_call *call, const struct exec_outcome *outcome);

/*
 * Runs `infiniservice-exec WORD …`, NULL at the end, with these bytes as its input (NULL: none). A failure to begin is
 * answered. The command's row needs .drop = qga_root_drop.
 */
void qga_root_run(struct qga_call *call, const char *const *words, const char *input, size_t len, qga_root_fn done);

/* Likewise, an operation without a program (enum runner_operation). */
void qga_root_operation(struct qga_call *call, unsigned operation, qga_root_fn done);

void qga_root_drop(struct qga_call *call);

/* True when the verb ended with status 0; else the call is answered, with what it said on stderr. */
bool qga_root_succeeded(struct qga_call *call, const struct exec_outcome *outcome);

/* For a row's `possible`: there is an executor. */
bool qga_root_possible(const struct qga_env *env);

#endif
