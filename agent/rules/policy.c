/* SPDX-License-Identifier: MIT */
#include "agent/rules/policy.h"

#include <string.h>
#include <strings.h>

const char *policy_group_name(enum policy_group group)
{
	static const char *const names[GROUPS] = { "observe", "control", "packages", "power", "exec" };

	return names[group];
}

/* Whether the list has the action or its group; names are case-sensitive, as in the protocol. */
static bool listed(char *const *list, const char *action, enum policy_group group)
{
	for (; list && *list; list++)
		if (strcmp(*list, action) == 0 || strcmp(*list, policy_group_name(group)) == 0)
			return true;
	return false;
}

bool policy_denies(const struct policy *policy, const char *action, enum policy_group group)
{
	return !policy->enabled || listed(policy->deny, action, group);
}

bool policy_allows(const struct policy *policy, const char *action, enum policy_group group)
{
	if (policy_denies(policy, action, group))
		return false;
	if (group == GROUP_EXEC)
		return policy->allow_unsafe;
	return listed(policy->allow, action, group);
}

bool policy_user(const char *configured, const char *wanted, const char **ret)
{
	bool set = configured && *configured, wants = wanted && *wanted;

	/* These presets of hosts are no user names: they mean commands.run_as, or root where that is not set. */
	if (wants && (strcasecmp(wanted, "system") == 0 || strcasecmp(wanted, "administrator") == 0))
		wanted = set ? configured : "root";
	if (set && wants && strcmp(configured, wanted) != 0)
		return false;
	*ret = wants ? wanted : set ? configured : NULL;
	return true;
}
