/* SPDX-License-Identifier: MIT */
/*
 * Faults that last: how many are kept, and which. What hosts are told of them is in tests/integration/test_standing.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/agent.h"

static int setup(void **state)
{
	struct agent *agent = calloc(1, sizeof(*agent));

	if (!agent)
		return -1;
	standing_init(&agent->standing);
	*state = agent;
	return 0;
}

static int teardown(void **state)
{
	struct agent *agent = *state;

	standing_done(&agent->standing);
	free(agent);
	return 0;
}

static void a_fault_is_kept_once_however_often_it_is_found(void **state)
{
	struct agent *agent = *state;

	for (int i = 0; i < 5; i++)
		standing_set(agent, REPLY_WARN, "collector", "disk", "words %d", i / 3);
	standing_set(agent, REPLY_WARN, "collector", "cpu", "words");
	standing_set(agent, REPLY_WARN, "log", "", "words");
	assert_int_equal(agent->standing.count, 3);
	standing_clear(agent, "collector", "disk", NULL);
	standing_clear(agent, "collector", "disk", "again");
	standing_clear(agent, "collector", "network", "never failed");
	assert_int_equal(agent->standing.count, 2);
}

static void more_faults_than_there_is_room_for_cost_nothing(void **state)
{
	struct agent *agent = *state;
	char subject[200], words[2000];

	memset(words, 'w', sizeof(words) - 1);
	words[sizeof(words) - 1] = '\0';
	for (int turn = 0; turn < 3; turn++) {
		for (int i = 0; i < 1000; i++) {
			snprintf(subject, sizeof(subject), "%d %150s", i, "long");
			standing_set(agent, REPLY_ERROR, "collector", subject, "%s", words);
		}
		assert_int_equal(agent->standing.count, STANDING_MAX);
		for (int i = 999; i >= 0; i--) {
			snprintf(subject, sizeof(subject), "%d %150s", i, "long");
			standing_clear(agent, "collector", subject, "over");
		}
		assert_int_equal(agent->standing.count, 0);
		assert_null(agent->standing.first);
	}
}

/* Taking one out of the middle or off the end leaves the others, and the next one has its place. */
static void the_list_stays_whole_whichever_fault_is_over(void **state)
{
	struct agent *agent = *state;
	static const char *const names[] = { "a", "b", "c" };

	for (unsigned gone = 0; gone < 3; gone++) {
		for (unsigned i = 0; i < 3; i++)
			standing_set(agent, REPLY_WARN, "collector", names[i], "words");
		standing_clear(agent, "collector", names[gone], NULL);
		standing_set(agent, REPLY_WARN, "collector", "d", "words");
		assert_int_equal(agent->standing.count, 3);
		for (unsigned i = 0; i < 3; i++)
			standing_clear(agent, "collector", names[i], NULL);
		assert_int_equal(agent->standing.count, 1);
		standing_clear(agent, "collector", "d", NULL);
		assert_int_equal(agent->standing.count, 0);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_fault_is_kept_once_however_often_it_is_found),
		TEST(more_faults_than_there_is_room_for_cost_nothing),
		TEST(the_list_stays_whole_whichever_fault_is_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
