/* SPDX-License-Identifier: MIT */
/*
 * State per source of messages, independent of its connections: the host, or a user of the local socket. A user who
 * closes a client and opens another is the same source.
 */
#ifndef AGENT_BASE_SOURCE_H
#define AGENT_BASE_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/base/token_bucket.h"

/* Users remembered at once; a further user replaces the one idle for longest. */
#define SOURCE_USERS_MAX 64

struct source {
	bool used;
	uid_t uid;
	uint64_t seen_ns;	    /* time of the last request */
	struct token_bucket bucket; /* rate limit of commands */
	uint64_t sample_ns;	    /* when it last got a sample out of turn; 0: never */
};

/* Zeroed memory has no users. */
struct sources {
	struct source host;
	struct source users[SOURCE_USERS_MAX];
};

/* The user's state, created if there is none. Never NULL; valid until the next call. */
struct source *source_of_user(struct sources *sources, uid_t uid, uint64_t now_ns);

#endif
