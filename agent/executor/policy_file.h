/* SPDX-License-Identifier: MIT */
/*
 * The configuration as the privileged executor sees it: read by itself, from files that only root may have written, and
 * read again when they have changed. While they cannot be used nothing is allowed.
 */
#ifndef AGENT_EXECUTOR_POLICY_FILE_H
#define AGENT_EXECUTOR_POLICY_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/config/config.h"

struct policy_file {
	const char *dir; /* with infiniservice.conf and conf.d/ in it */
	struct config config;
	bool usable;
	uint64_t fingerprint; /* of the files when they were read; 0: never */
	struct err err;	      /* why they cannot be used */
};

/* `dir` NULL: SYSCONFDIR/infiniservice. */
void policy_file_init(struct policy_file *guard, const char *dir);
void policy_file_done(struct policy_file *guard);

/*
 * Looks whether the files have changed and reads them if so. True if they were read (then err tells how it went: code
 * 0 and usable, or not).
 */
bool policy_file_refresh(struct policy_file *guard);

#endif
