/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "agent/rules/qga_policy.h"

/* The lists of a configuration are writable text. */
static char w_observe[] = "observe", w_freeze[] = "freeze", w_exec[] = "exec", w_files[] = "files",
	    w_set_time[] = "guest-set-time", w_users[] = "guest-get-users", w_ping[] = "guest-ping";
static char *const nothing[] = { NULL };

static bool may(const struct qga_policy *policy, const char *name)
{
	const struct qga_rule *rule = qga_rule_find(name);

	assert_non_null(rule);
	return qga_policy_allows(policy, rule);
}

static void every_command_stands_once_and_is_found_by_its_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < qga_rule_count; i++) {
		assert_ptr_equal(qga_rule_find(qga_rules[i].name), &qga_rules[i]);
		assert_int_equal(strncmp(qga_rules[i].name, "guest-", 6), 0);
	}
	assert_null(qga_rule_find("guest-pin"));
	assert_null(qga_rule_find(""));
}

static void an_owner_who_allows_nothing_leaves_the_words_that_keep_in_step(void **state)
{
	struct qga_policy none = { .allow = nothing, .deny = nothing };

	(void)state;
	for (size_t i = 0; i < qga_rule_count; i++)
		assert_int_equal(qga_policy_allows(&none, &qga_rules[i]), qga_rules[i].group == QGA_BASIC);
}

static void groups_and_single_commands_are_allowed_and_deny_wins(void **state)
{
	char *const allow[] = { w_observe, w_set_time, w_freeze, NULL };
	char *const deny[] = { w_users, w_freeze, w_ping, NULL };
	struct qga_policy policy = { .allow = allow, .deny = deny };

	(void)state;
	assert_true(may(&policy, "guest-get-osinfo"));
	assert_true(may(&policy, "guest-set-time"));
	assert_false(may(&policy, "guest-set-vcpus"));
	assert_false(may(&policy, "guest-get-users"));
	assert_false(may(&policy, "guest-fsfreeze-freeze"));
	assert_true(may(&policy, "guest-fsfreeze-status"));
	assert_false(may(&policy, "guest-shutdown"));
	assert_false(may(&policy, "guest-ping"));
	assert_true(may(&policy, "guest-sync"));
}

static void what_is_done_as_root_needs_allow_unsafe_and_no_demand_for_signatures(void **state)
{
	char *const allow[] = { w_exec, w_files, NULL }, *const exec[] = { w_exec, NULL };
	struct qga_policy policy = { .allow = allow, .deny = nothing, .unsigned_ok = nothing };

	(void)state;
	assert_false(may(&policy, "guest-exec"));
	assert_false(may(&policy, "guest-file-open"));
	policy.allow_unsafe = true;
	assert_true(may(&policy, "guest-exec"));
	assert_true(may(&policy, "guest-ssh-get-authorized-keys"));
	policy.signatures = true;
	assert_false(may(&policy, "guest-exec"));
	assert_false(may(&policy, "guest-file-open"));
	policy.unsigned_ok = exec;
	assert_true(may(&policy, "guest-exec"));
	assert_false(may(&policy, "guest-file-open"));
	policy.allow = nothing;
	assert_false(may(&policy, "guest-exec"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_command_stands_once_and_is_found_by_its_name),
		cmocka_unit_test(an_owner_who_allows_nothing_leaves_the_words_that_keep_in_step),
		cmocka_unit_test(groups_and_single_commands_are_allowed_and_deny_wins),
		cmocka_unit_test(what_is_done_as_root_needs_allow_unsafe_and_no_demand_for_signatures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
