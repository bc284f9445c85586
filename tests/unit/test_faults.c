/* SPDX-License-Identifier: MIT */
/*
 * Faults that last: which are kept, and what is told of them. What reaches hosts is in
 * tests/integration/test_standing.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/base/standing.h"

static struct loop loop = { .now = { .wall_ms = 1700000000123 } };

/* What was told: how often, and the last. */
static struct {
	unsigned count;
	enum reply_level level;
	char source[64], message[1024], lines[1024];
} told;

static void on_tell(void *data, const struct reply_event *event)
{
	assert_ptr_equal(data, &told);
	told.count++;
	told.level = event->severity;
	snprintf(told.source, sizeof(told.source), "%s", event->source);
	snprintf(told.message, sizeof(told.message), "%s", event->message);
	if (strlen(told.lines) + strlen(event->message) + 2 < sizeof(told.lines))
		strcat(strcat(told.lines, event->message), "\n");
}

static struct standing standing;

static int setup(void **state)
{
	(void)state;
	memset(&told, 0, sizeof(told));
	standing_init(&standing, &loop, on_tell, &told);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	standing_done(&standing);
	assert_int_equal(standing.count, 0);
	return 0;
}

static void a_fault_is_kept_once_however_often_it_is_found(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++)
		standing_set(&standing, REPLY_WARN, "collector", "disk", "words %d", i / 3);
	standing_set(&standing, REPLY_WARN, "collector", "cpu", "words");
	standing_set(&standing, REPLY_WARN, "log", "", "words");
	assert_int_equal(standing.count, 3);
	standing_clear(&standing, "collector", "disk", NULL);
	standing_clear(&standing, "collector", "disk", "again");
	standing_clear(&standing, "collector", "network", "never failed");
	assert_int_equal(standing.count, 2);
}

static void a_fault_is_told_when_it_begins_changes_or_is_over_and_not_in_between(void **state)
{
	(void)state;
	standing_set(&standing, REPLY_WARN, "collector", "disk", "%s", "EIO");
	assert_int_equal(told.count, 1);
	assert_int_equal(told.level, REPLY_WARN);
	assert_string_equal(told.source, "collector");
	assert_string_equal(told.message, "disk: EIO");
	standing_set(&standing, REPLY_WARN, "collector", "disk", "EIO");
	assert_int_equal(told.count, 1);
	standing_set(&standing, REPLY_WARN, "collector", "disk", "ENOENT");
	assert_int_equal(told.count, 2);
	standing_set(&standing, REPLY_ERROR, "collector", "disk", "ENOENT");
	assert_int_equal(told.count, 3);
	standing_clear(&standing, "collector", "disk", "works again");
	assert_int_equal(told.count, 4);
	assert_int_equal(told.level, REPLY_INFO);
	assert_string_equal(told.message, "disk: works again");
	standing_clear(&standing, "collector", "disk", "works again");
	assert_int_equal(told.count, 4);
	standing_set(&standing, REPLY_WARN, "log", "", "words");
	assert_string_equal(told.message, "words");
	standing_clear(&standing, "log", "", NULL);
	assert_int_equal(told.count, 5);
}

static void all_that_stands_is_told_again_the_oldest_first(void **state)
{
	(void)state;
	standing_set(&standing, REPLY_WARN, "collector", "b", "words");
	standing_set(&standing, REPLY_WARN, "collector", "a", "words");
	standing_set(&standing, REPLY_WARN, "log", "", "words");
	standing_clear(&standing, "collector", "b", NULL);
	standing_set(&standing, REPLY_WARN, "collector", "c", "words");
	memset(&told, 0, sizeof(told));
	standing_each(&standing, on_tell, &told);
	assert_string_equal(told.lines, "a: words\nwords\nc: words\n");
}

static void more_faults_than_there_is_room_for_cost_nothing(void **state)
{
	char subject[200], words[2000];

	(void)state;
	memset(words, 'w', sizeof(words) - 1);
	words[sizeof(words) - 1] = '\0';
	for (int turn = 0; turn < 3; turn++) {
		for (int i = 0; i < 1000; i++) {
			snprintf(subject, sizeof(subject), "%d %150s", i, "long");
			standing_set(&standing, REPLY_ERROR, "collector", subject, "%s", words);
		}
		assert_int_equal(standing.count, STANDING_MAX);
		for (int i = 999; i >= 0; i--) {
			snprintf(subject, sizeof(subject), "%d %150s", i, "long");
			standing_clear(&standing, "collector", subject, "over");
		}
		assert_int_equal(standing.count, 0);
		assert_null(standing.first);
	}
}

/* Taking one out of the middle or off the end leaves the others, and the next one has its place. */
static void the_list_stays_whole_whichever_fault_is_over(void **state)
{
	static const char *const names[] = { "a", "b", "c" };

	(void)state;
	for (unsigned gone = 0; gone < 3; gone++) {
		for (unsigned i = 0; i < 3; i++)
			standing_set(&standing, REPLY_WARN, "collector", names[i], "words");
		standing_clear(&standing, "collector", names[gone], NULL);
		standing_set(&standing, REPLY_WARN, "collector", "d", "words");
		assert_int_equal(standing.count, 3);
		for (unsigned i = 0; i < 3; i++)
			standing_clear(&standing, "collector", names[i], NULL);
		assert_int_equal(standing.count, 1);
		standing_clear(&standing, "collector", "d", NULL);
		assert_int_equal(standing.count, 0);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_fault_is_kept_once_however_often_it_is_found),
		TEST(a_fault_is_told_when_it_begins_changes_or_is_over_and_not_in_between),
		TEST(all_that_stands_is_told_again_the_oldest_first),
		TEST(more_faults_than_there_is_room_for_cost_nothing),
		TEST(the_list_stays_whole_whichever_fault_is_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
