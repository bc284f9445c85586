/* SPDX-License-Identifier: MIT */
#include "agent/base/token_bucket.h"

#include <infiniservice/moment.h>

bool token_bucket_take(struct token_bucket *bucket, unsigned rate_per_s, uint64_t now_ns)
{
	if (rate_per_s == 0)
		return true;
	if (!bucket->started) {
		bucket->started = true;
		bucket->tokens = rate_per_s;
	} else if (now_ns > bucket->filled_ns) {
		bucket->tokens += (double)(now_ns - bucket->filled_ns) * rate_per_s / (double)NS_PER_S;
	}
	bucket->filled_ns = now_ns;
	if (bucket->tokens > rate_per_s)
		bucket->tokens = rate_per_s;
	if (bucket->tokens < 1)
		return false;
	bucket->tokens -= 1;
	return true;
}
