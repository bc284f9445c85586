/* SPDX-License-Identifier: MIT */
/*
 * Exponential back-off with jitter, pure: the time and the random bits are arguments. Each failure in a row doubles the
 * wait, from min_ns up to max_ns; the wait is drawn from the upper third of that step, so that many guests that lost
 * the same host do not come back in the same millisecond, and never leaves [min_ns, max_ns].
 */
#ifndef TRANSPORT_BACKOFF_H
#define TRANSPORT_BACKOFF_H

#include <stdint.h>

#include <infiniservice/moment.h>

#define BACKOFF_MIN_NS (100 * NS_PER_MS)
#define BACKOFF_MAX_NS (30 * NS_PER_S)

struct backoff {
	uint64_t min_ns, max_ns;
	unsigned failures; /* in a row */
	uint64_t due_ns;   /* when the next attempt may be made; 0 when it may be made now */
};

/* min_ns of 0 counts as 1, a max_ns below min_ns as min_ns. */
void backoff_init(struct backoff *backoff, uint64_t min_ns, uint64_t max_ns);

/* Counts a failure at `now_ns` and returns when to try next (also kept in due_ns). */
uint64_t backoff_fail(struct backoff *backoff, uint64_t now_ns, uint32_t random);

/* The next attempt may be made at once, and the next failure waits min_ns again. */
void backoff_succeed(struct backoff *backoff);

/* A step of a cheap random generator (xorshift32) for callers without a better source; *state may be any value. */
uint32_t backoff_random(uint32_t *state);

#endif
