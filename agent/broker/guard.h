/* SPDX-License-Identifier: MIT */
/*
 * The configuration as the privileged executor sees it: read by itself, from files that only root may have written, and
 * read again when they have changed. While they cannot be used nothing is allowed.
 */
#ifndef AGENT_BROKER_GUARD_H
#define AGENT_BROKER_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/config/config.h"

struct guard {
	const char *dir; /* with infiniservice.conf and conf.d/ in it */
	struct config config;
	bool usable;
	uint64_t fingerprint; /* of the files when they were read; 0: never */
	struct err err;	      /* why they cannot be used */
};

/* `dir` NULL: SYSCONFDIR/infiniservice. */
void guard_init(struct guard *guard, const char *dir);
void guard_done(struct guard *guard);

/*
 * Looks whether the files have changed and reads them if so. True if they were read (then err tells how it went: code
 * 0 and usable, or not).
 */
bool guard_refresh(struct guard *guard);

#endif
