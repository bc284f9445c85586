/* SPDX-License-Identifier: MIT */
/*
 * How often something happens: due times of periodic tasks, and the rates of requests. Pure: time is an argument,
 * always of CLOCK_MONOTONIC, and a test simulates a day in a loop.
 */
#ifndef AGENT_BASE_PACE_H
#define AGENT_BASE_PACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Due times on a fixed grid, so that there is no drift, and at most once after a pause: there is no catch-up burst. */
struct schedule {
	uint64_t period_ns;
	uint64_t due_ns;
	uint64_t skipped; /* grid points missed: the loop was late, or the machine was suspended */
};

/* Starts the schedule: first due one period after `now_ns`. */
void schedule_start(struct schedule *s, uint64_t period_ns, uint64_t now_ns);

/* If due: advances to the next grid point after `now_ns` and returns true. */
bool schedule_due(struct schedule *s, uint64_t now_ns);

/* Changes the period without missing a sample: due at the earlier of the old due time and one new period from now. */
void schedule_change(struct schedule *s, uint64_t period_ns, uint64_t now_ns);

/* A token bucket. Zeroed memory is a full bucket. */
struct token_bucket {
	uint64_t filled_ns;
	double tokens;
	bool started;
};

/*
 * Takes a token if there is one: `rate_per_s`, at least 1, are added a second, up to as many. A step back in time adds
 * none.
 */
bool token_bucket_take(struct token_bucket *bucket, unsigned rate_per_s, uint64_t now_ns);

/*
 * State per source of messages, independent of its connections: the host, or a user of the local socket. A user who
 * closes a client and opens another is the same source.
 */
struct source {
	bool used;
	uid_t uid;
	uint64_t seen_ns;	    /* time of the last request */
	struct token_bucket bucket; /* rate limit of commands */
	uint64_t sample_ns;	    /* when it last got a sample out of turn; 0: never */
};

/* Users remembered at once; a further user replaces the one idle for longest. */
#define SOURCE_USERS_MAX 64

/* Zeroed memory has no users. */
struct sources {
	struct source host;
	struct source users[SOURCE_USERS_MAX];
};

/* The user's state, created if there is none. Never NULL; valid until the next call. */
struct source *source_of_user(struct sources *sources, uid_t uid, uint64_t now_ns);

#endif
