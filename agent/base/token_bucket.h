/* SPDX-License-Identifier: MIT */
/*
 * A token bucket: `rate_per_s` tokens a second, and as many at most. Rate 0 means no limit. Zeroed memory is a full
 * bucket.
 */
#ifndef AGENT_BASE_TOKEN_BUCKET_H
#define AGENT_BASE_TOKEN_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct token_bucket {
	uint64_t filled_ns;
	double tokens;
	bool started;
};

/* Takes a token if there is one. `now_ns` must always come from the same clock; a step back adds no tokens. */
bool token_bucket_take(struct token_bucket *bucket, unsigned rate_per_s, uint64_t now_ns);

#endif
