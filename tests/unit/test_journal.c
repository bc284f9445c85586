/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/journal.h"

static char dir[64];

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/test-journal-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static void path_of(char out[128])
{
	snprintf(out, 128, "%s/" JOURNAL_NAME, dir);
}

static int teardown(void **state)
{
	char path[128];

	(void)state;
	path_of(path);
	unlink(path);
	return rmdir(dir);
}

static unsigned lost_count(const struct journal *journal)
{
	unsigned count = 0;

	for (const struct journal_entry *entry = journal->lost; entry; entry = entry->next)
		count++;
	return count;
}

static void append_text(const char *text)
{
	char path[128];
	FILE *file;

	path_of(path);
	file = fopen(path, "a");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static off_t file_size(void)
{
	struct stat st;
	char path[128];

	path_of(path);
	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

static void what_was_not_answered_is_found_again_in_order(void **state)
{
	struct journal journal;
	uint64_t second;

	(void)state;
	assert_int_equal(journal_open(&journal, dir), 0);
	journal_accepted(&journal, JOURNAL_COMMAND, "unsafe", "one");
	second = journal_accepted(&journal, JOURNAL_COMMAND, "unsafe", "two");
	journal_accepted(&journal, JOURNAL_SCRIPT, "script", "three \n%\x80 four");
	journal_answered(&journal, second);
	journal_close(&journal);

	assert_int_equal(journal_open(&journal, dir), 0);
	assert_int_equal(lost_count(&journal), 2);
	assert_string_equal(journal.lost->id, "one");
	assert_int_equal(journal.lost->kind, JOURNAL_COMMAND);
	assert_string_equal(journal.lost->next->id, "three \n%\x80 four");
	assert_int_equal(journal.lost->next->kind, JOURNAL_SCRIPT);
	assert_string_equal(journal.lost->next->action, "script");
	journal_answered(&journal, journal.lost->serial);
	journal_close(&journal);

	assert_int_equal(journal_open(&journal, dir), 0);
	assert_int_equal(lost_count(&journal), 1);
	journal_close(&journal);
}

static void numbers_go_on_over_a_restart(void **state)
{
	struct journal journal;
	uint64_t first;

	(void)state;
	journal_open(&journal, dir);
	first = journal_accepted(&journal, JOURNAL_COMMAND, "a", "b");
	journal_close(&journal);
	journal_open(&journal, dir);
	assert_true(journal_accepted(&journal, JOURNAL_COMMAND, "a", "c") > first);
	journal_close(&journal);
}

static void a_torn_or_foreign_line_is_passed_over(void **state)
{
	struct journal journal;

	(void)state;
	journal_open(&journal, dir);
	journal_accepted(&journal, JOURNAL_COMMAND, "a", "kept");
	journal_close(&journal);
	append_text("nonsense\n- \n- 999\n+ 5 x a b\n+ 0 c a b\n+ 6 c a %0\n+ 7 c a\n\n+ 8 c torn i");
	assert_int_equal(journal_open(&journal, dir), 0);
	assert_int_equal(lost_count(&journal), 1);
	assert_string_equal(journal.lost->id, "kept");
	journal_close(&journal);
}

static void the_file_is_written_anew_before_it_grows_large(void **state)
{
	struct journal journal;
	char id[100];

	(void)state;
	memset(id, 'i', sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	journal_open(&journal, dir);
	for (unsigned i = 0; i < 10000; i++)
		journal_answered(&journal, journal_accepted(&journal, JOURNAL_COMMAND, "unsafe", id));
	assert_true(file_size() < 300 * 1024);
	assert_int_equal(journal.open_count, 0);
	journal_close(&journal);
}

static void open_entries_are_bounded(void **state)
{
	struct journal journal;

	(void)state;
	journal_open(&journal, dir);
	for (unsigned i = 0; i < JOURNAL_OPEN_MAX; i++)
		assert_true(journal_accepted(&journal, JOURNAL_COMMAND, "a", "b") > 0);
	assert_int_equal(journal_accepted(&journal, JOURNAL_COMMAND, "a", "b"), 0);
	assert_int_equal(journal.unrecorded, 1);
	journal_answered(&journal, 0);
	journal_close(&journal);
}

static void a_directory_that_is_not_there_costs_the_record_only(void **state)
{
	struct journal journal;

	(void)state;
	assert_int_equal(journal_open(&journal, "/nonexistent/directory"), -ENOENT);
	assert_int_equal(journal_accepted(&journal, JOURNAL_COMMAND, "a", "b"), 0);
	journal_answered(&journal, 0);
	journal_close(&journal);
}

static void a_line_that_parses_prints_the_same(void **state)
{
	static const char *const lines[] = { "+ 1 c unsafe id\n", "+ 18446744073709 s script a%20b%0A%25\n" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct journal_entry *entry = NULL;
		char out[256];
		uint64_t serial;

		assert_int_equal(journal_parse(lines[i], strlen(lines[i]) - 1, &entry, &serial), 1);
		assert_int_equal(journal_format(entry, out, sizeof(out)), strlen(lines[i]));
		assert_string_equal(out, lines[i]);
		free(entry);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_not_answered_is_found_again_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(numbers_go_on_over_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(a_torn_or_foreign_line_is_passed_over, setup, teardown),
		cmocka_unit_test_setup_teardown(the_file_is_written_anew_before_it_grows_large, setup, teardown),
		cmocka_unit_test_setup_teardown(open_entries_are_bounded, setup, teardown),
		cmocka_unit_test(a_directory_that_is_not_there_costs_the_record_only),
		cmocka_unit_test(a_line_that_parses_prints_the_same),
	};

	return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
