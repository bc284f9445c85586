/* SPDX-License-Identifier: MIT */
/*
 * What is remembered of each source of messages, whoever of its clients sent them: the host, or a user of the local
 * socket. A user who closes a client and opens another one is the same source.
 */
#ifndef AGENT_BASE_SOURCE_H
#define AGENT_BASE_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/base/token_bucket.h"

/* Users remembered at once; a further one takes the place of the one that has been quiet for longest. */
#define SOURCE_USERS_MAX 64

struct source {
	bool used;
	uid_t uid;
	uint64_t seen_ns;	    /* asked for last */
	struct token_bucket bucket; /* of commands */
	uint64_t sample_ns;	    /* when it was given a sample out of turn; 0: never */
};

/* Zeroed memory knows nobody yet. */
struct sources {
	struct source host;
	struct source users[SOURCE_USERS_MAX];
};

/* The user's, begun anew when it is not known. Never NULL; valid until the next call. */
struct source *source_of_user(struct sources *sources, uid_t uid, uint64_t now_ns);

#endif
