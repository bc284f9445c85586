/* SPDX-License-Identifier: MIT */
#include "agent/rules/qga_policy.h"

#include <string.h>

#include <infiniservice/cleanup.h>

const char *qga_group_name(enum qga_group group)
{
	static const char *const names[QGA_GROUPS] = { "basic",	  "observe", "shutdown", "freeze",
						       "control", "exec",    "files" };

	return names[group];
}

const struct qga_rule qga_rules[] = {
	{ "guest-sync-delimited", QGA_BASIC, false },
	{ "guest-sync", QGA_BASIC, false },
	{ "guest-ping", QGA_BASIC, false },
	{ "guest-info", QGA_BASIC, false },
	{ "guest-get-time", QGA_OBSERVE, false },
	{ "guest-set-time", QGA_CONTROL, false },
	{ "guest-get-osinfo", QGA_OBSERVE, false },
	{ "guest-get-host-name", QGA_OBSERVE, false },
	{ "guest-get-timezone", QGA_OBSERVE, false },
	{ "guest-get-users", QGA_OBSERVE, false },
	{ "guest-network-get-interfaces", QGA_OBSERVE, false },
	{ "guest-network-get-route", QGA_OBSERVE, false },
	{ "guest-get-fsinfo", QGA_OBSERVE, false },
	{ "guest-get-disks", QGA_OBSERVE, false },
	{ "guest-get-diskstats", QGA_OBSERVE, false },
	{ "guest-get-cpustats", QGA_OBSERVE, false },
	{ "guest-get-load", QGA_OBSERVE, false },
	{ "guest-get-vcpus", QGA_OBSERVE, false },
	{ "guest-set-vcpus", QGA_CONTROL, false },
	{ "guest-get-memory-blocks", QGA_OBSERVE, false },
	{ "guest-set-memory-blocks", QGA_CONTROL, false },
	{ "guest-get-memory-block-info", QGA_OBSERVE, false },
	{ "guest-get-devices", QGA_OBSERVE, false },
	{ "guest-shutdown", QGA_SHUTDOWN, true },
	{ "guest-suspend-disk", QGA_CONTROL, true },
	{ "guest-suspend-ram", QGA_CONTROL, true },
	{ "guest-suspend-hybrid", QGA_CONTROL, true },
	{ "guest-fsfreeze-status", QGA_OBSERVE, false },
	{ "guest-fsfreeze-freeze", QGA_FREEZE, false },
	{ "guest-fsfreeze-freeze-list", QGA_FREEZE, false },
	{ "guest-fsfreeze-thaw", QGA_FREEZE, false },
	{ "guest-fstrim", QGA_FREEZE, false },
	{ "guest-exec", QGA_EXEC, false },
	{ "guest-exec-status", QGA_EXEC, false },
	{ "guest-set-user-password", QGA_EXEC, false },
	{ "guest-ssh-get-authorized-keys", QGA_FILES, false },
	{ "guest-ssh-add-authorized-keys", QGA_EXEC, false },
	{ "guest-ssh-remove-authorized-keys", QGA_EXEC, false },
	{ "guest-file-open", QGA_FILES, false },
	{ "guest-file-close", QGA_FILES, false },
	{ "guest-file-read", QGA_FILES, false },
	{ "guest-file-write", QGA_FILES, false },
	{ "guest-file-seek", QGA_FILES, false },
	{ "guest-file-flush", QGA_FILES, false },
};

const size_t qga_rule_count = ARRAY_SIZE(qga_rules);

const struct qga_rule *qga_rule_find(const char *name)
{
	for (size_t i = 0; i < qga_rule_count; i++)
		if (strcmp(qga_rules[i].name, name) == 0)
			return &qga_rules[i];
	return NULL;
}

static bool listed(char *const *list, const struct qga_rule *rule)
{
	for (; list && *list; list++)
		if (strcmp(*list, rule->name) == 0 || strcmp(*list, qga_group_name(rule->group)) == 0)
			return true;
	return false;
}

bool qga_policy_allows(const struct qga_policy *policy, const struct qga_rule *rule)
{
	bool root = rule->group == QGA_EXEC || rule->group == QGA_FILES;

	if (listed(policy->deny, rule))
		return false;
	if (rule->group == QGA_BASIC)
		return true;
	if (root && (!policy->allow_unsafe || (policy->signatures && !listed(policy->unsigned_ok, rule))))
		return false;
	return listed(policy->allow, rule);
}
