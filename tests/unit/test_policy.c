/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/rules/policy.h"

/* The lists of a configuration are writable text. */
static char w_observe[] = "observe", w_control[] = "control", w_action[] = "ServiceControl", w_exec[] = "exec",
	    w_unsafe[] = "unsafe";
static char *none[] = { NULL }, *observe[] = { w_observe, NULL };

static void decides_by_group_and_by_name(void **state)
{
	static char *control[] = { w_observe, w_control, NULL }, *one[] = { w_action, NULL };
	static const struct {
		bool enabled, unsafe;
		char **allow, **deny;
		const char *action;
		enum policy_group group;
		bool want;
	} cases[] = {
		{ true, false, observe, none, "SystemInfo", GROUP_OBSERVE, true },
		{ true, false, observe, none, "ServiceControl", GROUP_CONTROL, false },
		{ true, false, control, none, "ServiceControl", GROUP_CONTROL, true },
		{ true, false, one, none, "ServiceControl", GROUP_CONTROL, true },
		{ true, false, one, none, "ProcessKill", GROUP_CONTROL, false },
		{ true, false, control, one, "ServiceControl", GROUP_CONTROL, false },
		{ true, false, control, observe, "SystemInfo", GROUP_OBSERVE, false },
		{ false, true, control, none, "SystemInfo", GROUP_OBSERVE, false },
		{ true, false, none, none, "SystemInfo", GROUP_OBSERVE, false },
		{ true, false, observe, none, "systeminfo", GROUP_POWER, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy policy = { .enabled = cases[i].enabled,
					 .allow_unsafe = cases[i].unsafe,
					 .allow = cases[i].allow,
					 .deny = cases[i].deny };

		if (policy_allows(&policy, cases[i].action, cases[i].group) != cases[i].want)
			fail_msg("case %zu", i);
	}
}

/* Listing the group `exec` grants nothing: only allow_unsafe does, and deny takes even that. */
static void exec_is_granted_by_allow_unsafe_alone(void **state)
{
	static char *exec[] = { w_exec, w_unsafe, NULL };
	struct policy policy = { .enabled = true, .allow = exec, .deny = none };

	(void)state;
	assert_false(policy_allows(&policy, "unsafe", GROUP_EXEC));
	policy.allow_unsafe = true;
	assert_true(policy_allows(&policy, "unsafe", GROUP_EXEC));
	policy.deny = exec;
	assert_false(policy_allows(&policy, "unsafe", GROUP_EXEC));
}

static void the_owner_says_who_runs_commands_and_the_host_only_where_he_does_not(void **state)
{
	static const struct {
		const char *configured, *wanted, *user;
		bool allowed;
	} cases[] = {
		{ "", NULL, NULL, true },
		{ "", "", NULL, true },
		{ "", "web", "web", true },
		{ "nobody", NULL, "nobody", true },
		{ "nobody", "", "nobody", true },
		{ "nobody", "nobody", "nobody", true },
		{ "nobody", "root", NULL, false },
		{ "nobody", "nobody2", NULL, false },
		{ NULL, NULL, NULL, true },
		{ "", "system", "root", true },
		{ "", "SYSTEM", "root", true },
		{ NULL, "Administrator", "root", true },
		{ "", "systemd", "systemd", true },
		{ "nobody", "system", "nobody", true },
		{ "nobody", "ADMINISTRATOR", "nobody", true },
		{ "root", "System", "root", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *user = NULL;

		assert_int_equal(policy_user(cases[i].configured, cases[i].wanted, &user), cases[i].allowed);
		if (cases[i].user)
			assert_string_equal(user, cases[i].user);
		else
			assert_null(user);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decides_by_group_and_by_name),
		cmocka_unit_test(exec_is_granted_by_allow_unsafe_alone),
		cmocka_unit_test(the_owner_says_who_runs_commands_and_the_host_only_where_he_does_not),
	};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
