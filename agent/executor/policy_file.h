/* SPDX-License-Identifier: MIT */
/*
 * The configuration as the privileged executor sees it: read by the executor itself from files that only root may have
 * written, and again when they have changed. While the files are unusable nothing is permitted.
 */
#ifndef AGENT_EXECUTOR_POLICY_FILE_H
#define AGENT_EXECUTOR_POLICY_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/config/config.h"

struct policy_file {
	const char *dir; /* the directory with infiniservice.conf and conf.d/ */
	struct config config;
	bool usable;
	uint64_t fingerprint; /* of the files when last read; 0: never */
	struct err err;	      /* why the files are unusable */
};

/* Initializes without reading. `dir` NULL: SYSCONFDIR/infiniservice. */
void policy_file_init(struct policy_file *guard, const char *dir);
void policy_file_done(struct policy_file *guard);

/*
 * Reads the files if they have changed. True if they were read; then `usable` is the result, with the reason in `err`
 * (code 0: usable).
 */
bool policy_file_refresh(struct policy_file *guard);

#endif
