/* SPDX-License-Identifier: MIT */
/*
 * What the guest's owner lets a host do: pure decisions over the [commands] lists. Shape comes before policy (an
 * unknown action is UNKNOWN_COMMAND whatever the policy says) and rights come after it.
 */
#ifndef AGENT_RULES_POLICY_H
#define AGENT_RULES_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum policy_group {
	GROUP_OBSERVE,
	GROUP_CONTROL,
	GROUP_PACKAGES,
	GROUP_POWER,
	GROUP_EXEC, /* UnsafeCommand and scripts: granted by allow_unsafe alone */
	GROUPS,
};

/* "observe", … */
const char *policy_group_name(enum policy_group group);

struct policy {
	bool enabled;
	bool allow_unsafe;
	char *const *allow; /* names of actions or groups, NULL at the end; borrowed from the configuration */
	char *const *deny;
};

/*
 * True when the owner has denied it to everybody, or takes no commands at all; what is not denied need not be allowed.
 */
bool policy_denies(const struct policy *policy, const char *action, enum policy_group group);

/* True when `action` of `group` may run. `deny` wins over `allow` and over allow_unsafe. */
bool policy_allows(const struct policy *policy, const char *action, enum policy_group group);

/*
 * Whom a program runs as: `configured` (commands.run_as) where it is set, and then nobody else; else whom the host
 * wants. NULL and "" say nothing; *ret is NULL when neither says anything. "system" and "administrator", in any case,
 * are presets of hosts: they mean `configured`, and root where that is not set. False: the owner has not allowed it.
 */
bool policy_user(const char *configured, const char *wanted, const char **ret);
#define POLICY_USER_WORDS "the policy of this guest lets commands run as the user of commands.run_as alone"

#endif
