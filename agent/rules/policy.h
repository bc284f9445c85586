/* SPDX-License-Identifier: MIT */
/*
 * What the guest's owner permits a host to do: pure decisions over the [commands] lists. A request is parsed before the
 * policy is checked (an unknown action is UNKNOWN_COMMAND, independent of the policy); privileges are checked after it.
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
	GROUP_EXEC, /* UnsafeCommand and scripts: permitted by allow_unsafe alone */
	GROUPS,
};

/* The name in the configuration, such as "observe". */
const char *policy_group_name(enum policy_group group);

struct policy {
	bool enabled;
	bool allow_unsafe;
	char *const *allow; /* names of actions or groups, NULL at the end; owned by the configuration */
	char *const *deny;
};

/*
 * True when the owner denies the action to every client, or has disabled commands. Not denied does not mean permitted.
 */
bool policy_denies(const struct policy *policy, const char *action, enum policy_group group);

/* True when `action` of `group` is permitted. `deny` wins over `allow` and over allow_unsafe. */
bool policy_allows(const struct policy *policy, const char *action, enum policy_group group);

/*
 * The user that a program runs as: `configured` (commands.run_as) where it is set, and then no other; else the user
 * that the host requests. NULL and "" mean unset; *ret is NULL when both are unset. "system" and "administrator", in
 * any case, are presets of hosts: they mean `configured`, or root where that is unset. False: the owner does not permit
 * the requested user.
 */
bool policy_user(const char *configured, const char *wanted, const char **ret);
#define POLICY_USER_WORDS "the policy of this guest lets commands run as the user of commands.run_as alone"

#endif
