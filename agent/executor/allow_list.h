/* SPDX-License-Identifier: MIT */
/*
 * What the privileged executor does at all: for each action of the protocol the programs, verbs and operations it is
 * made of. An agent that has been taken over can ask for nothing else, whatever it says it is for. Pure decisions; the
 * policy of the guest's owner comes on top of them, out of the same configuration that the agent reads. What the agent
 * says is not believed: programs are those that are found here, and names are looked up.
 */
#ifndef AGENT_EXECUTOR_ALLOW_LIST_H
#define AGENT_EXECUTOR_ALLOW_LIST_H

#include <stdbool.h>

#include "agent/runner/protocol.h"

struct config;

struct rules_verdict {
	const char *refusal; /* NULL: it may be done; else words for whoever asked */
	unsigned detached_s; /* so long may it go on without the agent; 0: not at all */
	int stage;	     /* of a refusal: RUNNER_STAGE_POLICY or _UNIT */
	bool own_program;    /* argv[0] is ours: to be replaced by our own path */
	bool free;	     /* a command of the host's choice: with the environment, directory and user it brings */
};

/* The program of a RUN, with the policy of `config`. */
struct rules_verdict rules_judge_run(const struct runner_command *command, const struct config *config);

/* Whether the operation is about a unit, in its argument. */
bool rules_operation_takes_unit(uint32_t operation);

/* The same for an operation, by the name of its unit alone: what PID 1 calls the unit is asked before it is done
 * (operation.h). */
struct rules_verdict rules_judge_operation(const struct runner_call *call, const struct config *config);

#endif
