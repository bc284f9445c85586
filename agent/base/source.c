/* SPDX-License-Identifier: MIT */
#include "agent/base/source.h"

#include <stddef.h>

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
