/* SPDX-License-Identifier: MIT */
#include "agent/rules/questions.h"

#include <stddef.h>
#include <string.h>

#define ARGV(...) ((const char *const[]){ __VA_ARGS__, NULL })

const char *const *const questions[QUESTIONS] = {
	[QUESTION_SSHD] = ARGV("sshd", "-T"),
	[QUESTION_NFT] = ARGV("nft", "-j", "list", "ruleset"),
	[QUESTION_APT] = ARGV("apt-config", "dump"),
	[QUESTION_APPARMOR] = ARGV("cat", "/sys/kernel/security/apparmor/profiles"),
	[QUESTION_IPTABLES] = ARGV("cat", "/proc/net/ip_tables_names"),
	[QUESTION_IP6TABLES] = ARGV("cat", "/proc/net/ip6_tables_names"),
};

bool question_of_action(const char *action)
{
	static const char *const actions[] = { "CheckLinuxSecurity", "GetLinuxSecurityStatus", "GetLinuxFirewallStatus",
					       "CheckFirewallStatus", "CheckSecurityModules" };

	for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++)
		if (strcmp(actions[i], action) == 0)
			return true;
	return false;
}
