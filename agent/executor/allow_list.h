/* SPDX-License-Identifier: MIT */
/*
 * The executor's allow-list: for each action of the protocol the programs, verbs and operations that it consists of. An
 * agent that has been taken over can request nothing else. The functions decide and change nothing; the owner's policy
 * is checked too, from the same configuration that the agent reads. Nothing that the agent claims is trusted: programs
 * are looked up in the executor's own directories, and package names with the package manager.
 */
#ifndef AGENT_EXECUTOR_ALLOW_LIST_H
#define AGENT_EXECUTOR_ALLOW_LIST_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/config/config.h"
#include "agent/runner/protocol.h"

/*
 * The configuration as the privileged executor sees it: read by the executor itself from files that only root may have
 * written, and again when they have changed. While the files are unusable nothing is permitted.
 */
struct policy_file {
	const char *dir; /* the directory with infiniservice.conf and conf.d/ */
	struct config config;
	bool usable;
	uint64_t fingerprint; /* of the files when last read; 0: never */
	struct err err;	      /* why the files are unusable */
};

/* Initializes without reading. `dir` NULL: SYSCONFDIR/infiniservice. */
void policy_file_init(struct policy_file *file, const char *dir);
void policy_file_done(struct policy_file *file);

/*
 * Reads the files if they have changed. True if they were read; then `usable` is the result, with the reason in `err`
 * (code 0: usable).
 */
bool policy_file_refresh(struct policy_file *file);

struct rules_verdict {
	const char *refusal; /* NULL: permitted; else the reason, for the agent to report */
	unsigned detached_s; /* longest detached run, seconds; 0: not permitted */
	int stage;	     /* when refused: RUNNER_STAGE_POLICY or _UNIT */
	bool own_program;    /* argv[0] is to be replaced by the executor's own path */
	bool free; /* a command of the host's choice: keeps the environment, directory and user of the request */
};

/* Judges a RUN by the allow-list and by the policy of `config`. */
struct rules_verdict rules_judge_run(const struct runner_command *command, const struct config *config);

/* Whether the argument of the operation is a unit's name. */
bool rules_operation_takes_unit(uint32_t operation);

/*
 * Judges an operation by the allow-list, the policy and the unit's name as requested. The names by which PID 1 knows
 * the unit are judged later, before the call (operation.h).
 */
struct rules_verdict rules_judge_operation(const struct runner_call *call, const struct config *config);

#endif
