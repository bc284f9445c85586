/* SPDX-License-Identifier: MIT */
/* The agent's own table of actions: what it knows, and what it knows to be another platform's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "agent/actions/table.h"

static void tells_known_unknown_and_foreign_actions_apart(void **state)
{
	const struct action *action = NULL;

	(void)state;
	assert_int_equal(action_find(&actions, "SystemInfo", &action), ACTION_KNOWN);
	assert_string_equal(action->name, "SystemInfo");
	assert_int_equal(action_find(&actions, "systeminfo", &action), ACTION_UNKNOWN);
	assert_int_equal(action_find(&actions, "SystemInfo ", &action), ACTION_UNKNOWN);
	assert_int_equal(action_find(&actions, "", &action), ACTION_UNKNOWN);
	assert_int_equal(action_find(&actions, "CheckWindowsUpdates", &action), ACTION_FOREIGN);
	assert_int_equal(action_find(&actions, "ExecutePowerShellScript", &action), ACTION_FOREIGN);
	assert_int_equal(action_find(&actions, "GetDefenderStatus", &action), ACTION_FOREIGN);
	assert_int_equal(action_find(&actions, "GetThreatHistory", &action), ACTION_FOREIGN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_known_unknown_and_foreign_actions_apart),
	};

	return cmocka_run_group_tests_name("action_table", tests, NULL, NULL);
}
