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
#include <infiniservice/moment.h>

#include "agent/command/journal.h"

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

/* Nothing that we write is that long; what somebody else wrote must fit no buffer by chance. */
static void a_line_longer_than_any_of_ours_is_passed_over(void **state)
{
	static const size_t lengths[] = { 4000, 4095, 4096, 4097, 4098, 8192, 100000 };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		char *line = malloc(lengths[i] + 32);
		struct journal_entry *entry;
		uint64_t serial;

		assert_non_null(line);
		for (int kind = 0; kind < 3; kind++) {
			size_t head = (size_t)sprintf(line, "%s",
						      kind == 0	  ? "+ 9 c a "
						      : kind == 1 ? "k 9 infiniservice-keep-1 "
								  : "- 9");

			memset(line + head, 'x', lengths[i] - head);
			assert_int_equal(journal_parse(line, lengths[i], &entry, &serial), -EBADMSG);
		}
		free(line);
	}
}

static void a_long_line_in_the_file_costs_itself_alone(void **state)
{
	struct journal journal;
	char *line = malloc(20000);

	(void)state;
	assert_non_null(line);
	memset(line, 'y', 19999);
	memcpy(line, "+ 7 c a ", 8);
	line[19998] = '\n';
	line[19999] = '\0';
	journal_open(&journal, dir);
	journal_accepted(&journal, JOURNAL_COMMAND, "a", "before");
	journal_close(&journal);
	append_text(line);
	append_text("+ 8 c a behind\n");
	free(line);
	assert_int_equal(journal_open(&journal, dir), 0);
	assert_int_equal(lost_count(&journal), 2);
	assert_string_equal(journal.lost->id, "before");
	assert_string_equal(journal.lost->next->id, "behind");
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
		journal_entry_free(entry);
	}
}

static struct journal_run apt(const char *unit)
{
	static char request[] = "{\"package\": \"a b\"}";
	struct journal_run run = { .boot_id = "0123456789abcdef0123456789abcdef",
				   .step = "update-all",
				   .received_ns = 1,
				   .term_ns = 2,
				   .deadline_ns = TIME_NEVER,
				   .max_output = 4096,
				   .request = request };

	strcpy(run.unit, unit);
	return run;
}

static void what_outlives_us_is_found_again_with_its_last_unit(void **state)
{
	struct journal_run first = apt("1-1"), second = apt("1-2");
	struct journal journal;
	uint64_t serial;

	(void)state;
	second.request = NULL;
	second.step[0] = '\0';
	journal_open(&journal, dir);
	serial = journal_accepted(&journal, JOURNAL_COMMAND, "PackageInstall", "i");
	journal_detach(&journal, serial, &first);
	journal_detach(&journal, 0, &first);
	journal_detach(&journal, 99, &first);
	journal_close(&journal);
	for (int i = 0; i < 2; i++) { /* the second time from a file that was written anew */
		assert_int_equal(journal_open(&journal, dir), 0);
		assert_int_equal(lost_count(&journal), 1);
		assert_non_null(journal.lost->run);
		assert_string_equal(journal.lost->run->unit, "1-1");
		assert_string_equal(journal.lost->run->boot_id, first.boot_id);
		assert_string_equal(journal.lost->run->step, "update-all");
		assert_string_equal(journal.lost->run->request, first.request);
		assert_true(journal.lost->run->deadline_ns == TIME_NEVER && journal.lost->run->max_output == 4096);
		if (i == 0)
			journal_close(&journal);
	}
	journal_adopt(&journal, serial);
	assert_null(journal.lost);
	journal_detach(&journal, serial, &second);
	journal_close(&journal);

	journal_open(&journal, dir);
	assert_string_equal(journal.lost->run->unit, "1-2");
	assert_string_equal(journal.lost->run->step, "");
	assert_null(journal.lost->run->request);
	journal_adopt(&journal, serial);
	journal_answered(&journal, serial);
	journal_close(&journal);
	journal_open(&journal, dir);
	assert_int_equal(lost_count(&journal), 0);
	journal_close(&journal);
}

static void a_journal_from_before_there_were_units_is_read(void **state)
{
	struct journal journal;

	(void)state;
	append_text("+ 1 c PackageInstall a\n+ 2 s script b\n- 1\n+ 3 c unsafe c\n");
	assert_int_equal(journal_open(&journal, dir), 0);
	assert_int_equal(lost_count(&journal), 2);
	assert_null(journal.lost->run);
	assert_string_equal(journal.lost->next->id, "c");
	journal_close(&journal);
}

static void a_hostile_unit_is_no_unit(void **state)
{
	static const char *const lines[] = {
		"k 1 1-1 0a - 1 2 3 4",	      /* too short */
		"k 1 1-1 0a - 1 2 3 4 - x",   /* and too long */
		"k 0 1-1 0a - 1 2 3 4 -",     /* of no command */
		"k 1 ../../x 0a - 1 2 3 4 -", /* no name of a unit */
		"k 1 1-1.service 0a - 1 2 3 4 -",
		"k 1 1 0a - 1 2 3 4 -",
		"k 1 11111111111111111-1 0a - 1 2 3 4 -",
		"k 1 1-1 0a/ - 1 2 3 4 -", /* no boot */
		"k 1 1-1 0a - 3 2 3 4 -",  /* out of order */
		"k 1 1-1 0a - 1 3 2 4 -",
		"k 1 1-1 0a a;b 1 2 3 4 -", /* not written by us */
		"k 1 1-1 0a abcdefghijklmnopqrstuvwxyz 1 2 3 4 -",
		"k 1 1-1 0a - 1 2 3 4 %00",
		"k 1 1-1 0a - 1 2 3 4 {}",
		"k 1 1-1 0123456789abcdef0123456789abcdef0 - 1 2 3 4 -",
		"k",
		"k 1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct journal_entry *entry = NULL;
		uint64_t serial;

		assert_int_equal(journal_parse(lines[i], strlen(lines[i]), &entry, &serial), -EBADMSG);
		assert_null(entry);
	}
}

static void a_unit_is_read_as_it_was_written(void **state)
{
	struct journal_run run = apt("ffffffffffffffff-0123456789abcdef");
	char request[JOURNAL_REQUEST_MAX + 1], line[8192];
	struct journal_entry *entry = NULL;
	uint64_t serial;
	int len;

	(void)state;
	memset(request, '"', JOURNAL_REQUEST_MAX); /* three characters each */
	request[JOURNAL_REQUEST_MAX] = '\0';
	run.request = request;
	len = journal_format_run(7, &run, line, sizeof(line));
	assert_true(len > 0);
	assert_int_equal(journal_parse(line, (size_t)len - 1, &entry, &serial), 3);
	assert_int_equal(entry->serial, 7);
	assert_string_equal(entry->run->unit, run.unit);
	assert_string_equal(entry->run->request, request);
	journal_entry_free(entry);
	assert_int_equal(journal_format_run(7, &run, line, 100), -ENOBUFS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_not_answered_is_found_again_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(numbers_go_on_over_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(what_outlives_us_is_found_again_with_its_last_unit, setup, teardown),
		cmocka_unit_test_setup_teardown(a_journal_from_before_there_were_units_is_read, setup, teardown),
		cmocka_unit_test(a_hostile_unit_is_no_unit),
		cmocka_unit_test(a_unit_is_read_as_it_was_written),
		cmocka_unit_test_setup_teardown(a_torn_or_foreign_line_is_passed_over, setup, teardown),
		cmocka_unit_test_setup_teardown(a_line_longer_than_any_of_ours_is_passed_over, setup, teardown),
		cmocka_unit_test_setup_teardown(a_long_line_in_the_file_costs_itself_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(the_file_is_written_anew_before_it_grows_large, setup, teardown),
		cmocka_unit_test_setup_teardown(open_entries_are_bounded, setup, teardown),
		cmocka_unit_test(a_directory_that_is_not_there_costs_the_record_only),
		cmocka_unit_test(a_line_that_parses_prints_the_same),
	};

	return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
