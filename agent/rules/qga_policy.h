/* SPDX-License-Identifier: MIT */
/*
 * The commands of the QEMU guest agent's language (qga/qapi-schema.json of QEMU), and what the guest's owner permits of
 * them: a policy of its own, [qga], of which nothing is inherited from [commands]. Agent and executor judge by it
 * alike, each over the configuration it has read itself.
 */
#ifndef AGENT_RULES_QGA_POLICY_H
#define AGENT_RULES_QGA_POLICY_H

#include <stdbool.h>
#include <stddef.h>

enum qga_group {
	QGA_BASIC, /* keeps the two sides in step: permitted unless named by the owner */
	QGA_OBSERVE,
	QGA_SHUTDOWN,
	QGA_FREEZE,
	QGA_CONTROL,
	QGA_EXEC, /* EXEC and FILES are root's power: allow_unsafe too, and see `signatures` */
	QGA_FILES,
	QGA_GROUPS,
};

/* The name in the configuration, such as "observe". */
const char *qga_group_name(enum qga_group group);

struct qga_rule {
	const char *name; /* "guest-ping" */
	enum qga_group group;
	bool silent; /* success has no answer (guest-info: success-response false) */
};

/* All commands of the language on Linux and those that Linux has not, in the order of guest-info. */
extern const struct qga_rule qga_rules[];
extern const size_t qga_rule_count;

/* The command of that name, or NULL. */
const struct qga_rule *qga_rule_find(const char *name);

struct qga_policy {
	char *const *allow; /* names of commands or groups, NULL at the end; owned by the configuration */
	char *const *deny;
	bool allow_unsafe;
	bool signatures;	  /* [auth] demands them, which this language cannot give: no EXEC, no FILES, */
	char *const *unsigned_ok; /* but those named in [auth] unsigned_qga */
};

/* True when the owner permits the command. `deny` wins over everything else. */
bool qga_policy_allows(const struct qga_policy *policy, const struct qga_rule *rule);

#endif
