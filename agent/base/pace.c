/* SPDX-License-Identifier: MIT */
#include "agent/base/pace.h"

#include <stddef.h>

#include <infiniservice/moment.h>

void schedule_start(struct schedule *s, uint64_t period_ns, uint64_t now_ns)
{
	*s = (struct schedule){ .period_ns = period_ns, .due_ns = now_ns + period_ns };
}

bool schedule_due(struct schedule *s, uint64_t now_ns)
{
	uint64_t behind;

	if (now_ns < s->due_ns)
		return false;
	behind = (now_ns - s->due_ns) / s->period_ns;
	s->skipped += behind;
	s->due_ns += (behind + 1) * s->period_ns;
	return true;
}

void schedule_change(struct schedule *s, uint64_t period_ns, uint64_t now_ns)
{
	uint64_t due = now_ns + period_ns;

	s->period_ns = period_ns;
	if (due < s->due_ns)
		s->due_ns = due;
}

bool token_bucket_take(struct token_bucket *bucket, unsigned rate_per_s, uint64_t now_ns)
{
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

struct source *source_of_user(struct sources *sources, uid_t uid, uint64_t now_ns)
{
	struct source *quietest = &sources->users[0];

	for (size_t i = 0; i < SOURCE_USERS_MAX; i++) {
		struct source *user = &sources->users[i];

		if (user->used && user->uid == uid) {
			user->seen_ns = now_ns;
			return user;
		}
		if (quietest->used && (!user->used || user->seen_ns < quietest->seen_ns))
			quietest = user;
	}
	*quietest = (struct source){ .used = true, .uid = uid, .seen_ns = now_ns };
	return quietest;
}
