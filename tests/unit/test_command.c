/* SPDX-License-Identifier: MIT */
/* The pure parts of commands: deadlines and the table of actions. The rest is tried with the real binary. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/action_table.h"
#include "agent/command/command.h"

static void the_answer_is_due_before_the_host_gives_up(void **state)
{
	static const struct {
		uint32_t timeout_s;
		uint64_t deadline_ms, term_ms;
	} cases[] = {
		{ 1, 750, 550 },   { 2, 1500, 1100 },  { 4, 3000, 2200 },
		{ 5, 4000, 3000 }, { 10, 9000, 7000 }, { 30, 29000, 27000 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t term_ns, deadline_ns, received_ns = 77 * NS_PER_S;

		command_deadlines(received_ns, cases[i].timeout_s, &term_ns, &deadline_ns);
		assert_int_equal((deadline_ns - received_ns) / NS_PER_MS, cases[i].deadline_ms);
		assert_int_equal((term_ns - received_ns) / NS_PER_MS, cases[i].term_ms);
	}
}

static void the_longest_timeout_does_not_overflow(void **state)
{
	uint64_t term_ns, deadline_ns;

	(void)state;
	command_deadlines(0, MESSAGE_TIMEOUT_MAX_S, &term_ns, &deadline_ns);
	assert_int_equal(deadline_ns, (MESSAGE_TIMEOUT_MAX_S - 1) * NS_PER_S);
}

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
		cmocka_unit_test(the_answer_is_due_before_the_host_gives_up),
		cmocka_unit_test(the_longest_timeout_does_not_overflow),
		cmocka_unit_test(tells_known_unknown_and_foreign_actions_apart),
	};

	return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}
