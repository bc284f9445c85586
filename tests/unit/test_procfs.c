/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <signal.h>
#include <sys/wait.h>

#include "collectors/procfs.h"
#include "fixture_dir.h"

static int setup(void **state)
{
	*state = fixture_new();
	return 0;
}

static int teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

static struct scan scan_of(const char *text)
{
	return scan_text(text, strlen(text));
}

static void reads_a_file_and_sees_its_new_content_through_the_kept_fd(void **state)
{
	struct fixture *fixture = *state;
	struct procfs_file file = PROCFS_FILE_SINGLE;
	struct procfs_buffer buffer = { 0 };

	fixture_write(fixture, "proc/value", "first");
	assert_int_equal(procfs_read(&file, fixture->ctx.proc_fd, "value", &buffer), 0);
	assert_int_equal(buffer.len, 5);
	int fd = file.fd;

	fixture_write(fixture, "proc/value", "second!");
	assert_int_equal(procfs_read(&file, fixture->ctx.proc_fd, "value", &buffer), 0);
	assert_int_equal(file.fd, fd);
	assert_int_equal(buffer.len, 7);
	assert_memory_equal(buffer.text, "second!", 7);
	procfs_close(&file);
	procfs_buffer_free(&buffer);
}

static void a_missing_file_is_looked_for_again_at_the_next_read(void **state)
{
	struct fixture *fixture = *state;
	struct procfs_file file = PROCFS_FILE;
	struct procfs_buffer buffer = { 0 };

	assert_int_equal(procfs_read(&file, fixture->ctx.proc_fd, "late", &buffer), -ENOENT);
	assert_int_equal(file.fd, -1);
	fixture_write(fixture, "proc/late", "here");
	assert_int_equal(procfs_read(&file, fixture->ctx.proc_fd, "late", &buffer), 0);
	assert_int_equal(buffer.len, 4);
	procfs_close(&file);
	procfs_buffer_free(&buffer);
}

static void a_kept_fd_of_a_dead_process_is_opened_anew(void **state)
{
	struct fixture *fixture = *state;
	struct procfs_file file = PROCFS_FILE;
	struct procfs_buffer buffer = { 0 };
	char path[32];
	pid_t child = fork();

	if (child == 0) {
		pause();
		_exit(0);
	}
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)child);
	file.fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(file.fd >= 0);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	fixture_write(fixture, "proc/stat", "instead");
	assert_int_equal(procfs_read(&file, fixture->ctx.proc_fd, "stat", &buffer), 0);
	assert_int_equal(buffer.len, 7);
	procfs_close(&file);
	procfs_buffer_free(&buffer);
}

static void a_text_longer_than_the_bound_ends_with_a_whole_line(void **state)
{
	struct fixture *fixture = *state;
	struct procfs_file file = PROCFS_FILE;
	struct procfs_buffer buffer = { .max = 32 };

	fixture_write(fixture, "proc/long", "0123456789\n0123456789\n0123456789\n0123456789\n");
	assert_int_equal(procfs_read(&file, fixture->ctx.proc_fd, "long", &buffer), 0);
	assert_true(buffer.truncated);
	assert_int_equal(buffer.len, 22);
	assert_int_equal(buffer.size, 32);
	procfs_close(&file);
	procfs_buffer_free(&buffer);
}

static void the_buffer_grows_to_a_text_of_many_pages(void **state)
{
	struct fixture *fixture = *state;
	struct procfs_file file = PROCFS_FILE_SINGLE;
	struct procfs_buffer buffer = { 0 };
	static char text[100000];

	memset(text, 'x', sizeof(text));
	fixture_write_bytes(fixture, "proc/big", text, sizeof(text));
	assert_int_equal(procfs_read(&file, fixture->ctx.proc_fd, "big", &buffer), 0);
	assert_int_equal(buffer.len, sizeof(text));
	assert_false(buffer.truncated);
	procfs_close(&file);
	procfs_buffer_free(&buffer);
}

/* The kernel ends a read where a record has no room, not only at the end: what is read must still be whole. */
static void short_records_over_many_pages_are_read_to_the_end(void **state)
{
	int proc_fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct procfs_file plain = PROCFS_FILE, brief = PROCFS_FILE_SHORT;
	struct procfs_buffer one = { 0 }, two = { 0 };
	static const char *const paths[] = { "self/maps", "net/dev", "diskstats", "devices", "interrupts" };

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		if (faccessat(proc_fd, paths[i], R_OK, 0) < 0)
			continue;
		assert_int_equal(procfs_read(&plain, proc_fd, paths[i], &one), 0);
		assert_int_equal(procfs_read(&brief, proc_fd, paths[i], &two), 0);
		assert_int_equal(two.text[two.len - 1], '\n');
		/* As many lines; their numbers may have moved on. */
		for (size_t at = 0, at_two = 0;;) {
			const char *a = memchr(one.text + at, '\n', one.len - at);
			const char *b = memchr(two.text + at_two, '\n', two.len - at_two);

			assert_true(!a == !b);
			if (!a)
				break;
			at = (size_t)(a - one.text) + 1;
			at_two = (size_t)(b - two.text) + 1;
		}
		procfs_close(&plain);
		procfs_close(&brief);
	}
	procfs_buffer_free(&one);
	procfs_buffer_free(&two);
	close(proc_fd);
}

static void reading_once_stops_at_the_size_given(void **state)
{
	struct fixture *fixture = *state;
	char text[4];

	fixture_write(fixture, "proc/1/stat", "123456");
	assert_int_equal(procfs_read_once(fixture->ctx.proc_fd, "1/stat", text, sizeof(text)), 4);
	assert_memory_equal(text, "1234", 4);
	assert_int_equal(procfs_read_once(fixture->ctx.proc_fd, "2/stat", text, sizeof(text)), -ENOENT);
}

static void lines_end_at_a_newline_or_at_the_end_of_the_text(void **state)
{
	struct scan text = scan_of("one\n\nthree"), line;

	(void)state;
	assert_true(scan_line(&text, &line) && scan_equals(&line, "one"));
	assert_true(scan_line(&text, &line) && scan_equals(&line, ""));
	assert_true(scan_line(&text, &line) && scan_equals(&line, "three"));
	assert_false(scan_line(&text, &line));
	text = scan_text(NULL, 0);
	assert_false(scan_line(&text, &line));
}

static void fields_are_separated_by_any_number_of_blanks(void **state)
{
	struct scan line = scan_of("  a \t bc  "), field;

	(void)state;
	assert_true(scan_field(&line, &field) && scan_equals(&field, "a"));
	assert_true(scan_field(&line, &field) && scan_equals(&field, "bc"));
	assert_false(scan_field(&line, &field));
	line = scan_of("1 2 3");
	assert_true(scan_skip(&line, 2));
	assert_true(scan_field(&line, &field) && scan_equals(&field, "3"));
	assert_false(scan_skip(&line, 1));
}

static void unsigned_numbers_are_digits_within_64_bits(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		uint64_t value;
	} cases[] = {
		{ "0", true, 0 },
		{ " \t42 kB", true, 42 },
		{ "18446744073709551615", true, UINT64_MAX },
		{ "18446744073709551616", false, 0 },
		{ "99999999999999999999999999", false, 0 },
		{ "000000000000000000000000007", true, 7 },
		{ "", false, 0 },
		{ "-1", false, 0 },
		{ "+1", false, 0 },
		{ "12x", false, 0 },
		{ "x", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct scan line = scan_of(cases[i].text);
		uint64_t value = 99;

		assert_int_equal(scan_u64(&line, &value), cases[i].ok);
		assert_true(value == (cases[i].ok ? cases[i].value : 99));
	}
}

static void signed_numbers_reach_both_limits(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		int64_t value;
	} cases[] = {
		{ "-1", true, -1 },
		{ " 7", true, 7 },
		{ "9223372036854775807", true, INT64_MAX },
		{ "-9223372036854775808", true, INT64_MIN },
		{ "9223372036854775808", false, 0 },
		{ "-9223372036854775809", false, 0 },
		{ "- 1", false, 0 },
		{ "--1", false, 0 },
		{ "-", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct scan line = scan_of(cases[i].text);
		int64_t value = 99;

		assert_int_equal(scan_i64(&line, &value), cases[i].ok);
		assert_true(value == (cases[i].ok ? cases[i].value : 99));
	}
}

static void decimals_do_not_depend_on_the_locale_and_need_digits(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		double value;
	} cases[] = {
		{ "0.52 1", true, 0.52 }, { "1234.5600", true, 1234.56 },
		{ "7", true, 7 },	  { "0.05", true, 0.05 },
		{ ".5", false, 0 },	  { "1.", false, 0 },
		{ "1,5", false, 0 },	  { "nan", false, 0 },
		{ "1.2.3", false, 0 },	  { "1e5", false, 0 },
		{ "", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct scan line = scan_of(cases[i].text);
		double value = 99;

		assert_int_equal(scan_decimal(&line, &value), cases[i].ok);
		assert_true(fabs(value - (cases[i].ok ? cases[i].value : 99)) < 1e-9);
	}
}

static void keys_and_parts_move_the_cursor_only_when_they_are_there(void **state)
{
	struct scan line = scan_of("MemTotal: 12"), part;

	(void)state;
	assert_false(scan_key(&line, "MemFree"));
	assert_false(scan_until(&line, ';', &part));
	assert_true(scan_key(&line, "Mem"));
	assert_true(scan_until(&line, ':', &part) && scan_equals(&part, "Total"));
	assert_false(scan_byte(&line, 'x'));
	assert_true(scan_byte(&line, ' '));
	assert_int_equal(scan_len(&line), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reads_a_file_and_sees_its_new_content_through_the_kept_fd, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_missing_file_is_looked_for_again_at_the_next_read, setup, teardown),
		cmocka_unit_test_setup_teardown(a_kept_fd_of_a_dead_process_is_opened_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(a_text_longer_than_the_bound_ends_with_a_whole_line, setup, teardown),
		cmocka_unit_test_setup_teardown(the_buffer_grows_to_a_text_of_many_pages, setup, teardown),
		cmocka_unit_test(short_records_over_many_pages_are_read_to_the_end),
		cmocka_unit_test_setup_teardown(reading_once_stops_at_the_size_given, setup, teardown),
		cmocka_unit_test(lines_end_at_a_newline_or_at_the_end_of_the_text),
		cmocka_unit_test(fields_are_separated_by_any_number_of_blanks),
		cmocka_unit_test(unsigned_numbers_are_digits_within_64_bits),
		cmocka_unit_test(signed_numbers_reach_both_limits),
		cmocka_unit_test(decimals_do_not_depend_on_the_locale_and_need_digits),
		cmocka_unit_test(keys_and_parts_move_the_cursor_only_when_they_are_there),
	};

	return cmocka_run_group_tests_name("procfs", tests, NULL, NULL);
}
