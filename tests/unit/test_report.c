/* SPDX-License-Identifier: MIT */
/* The agent's log on a standard error that is read, that is full, or that is a pipe; see agent/base/report.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include <infiniservice/moment.h>

#include "agent/base/report.h"

static int saved = -1, reader = -1;

/* Standard error becomes one end of a pair, of which the test reads the other. */
static int begin(int fds[2])
{
	saved = dup(STDERR_FILENO);
	reader = fds[0];
	if (saved < 0 || dup2(fds[1], STDERR_FILENO) < 0)
		return -1;
	report_set_level(LOG_INFO);
	return close(fds[1]);
}

static int on_a_socket(void **state)
{
	int fds[2];

	(void)state;
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0 ? -1 : begin(fds);
}

static int on_a_pipe(void **state)
{
	int fds[2];

	(void)state;
	return pipe(fds) < 0 ? -1 : begin(fds);
}

static int restore(void **state)
{
	(void)state;
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(reader);
	report_set_level(LOG_INFO);
	return 0;
}

static const char *next_line(void)
{
	static char line[4096];
	ssize_t len = read(reader, line, sizeof(line) - 1);

	line[len > 0 ? len : 0] = '\0';
	return line;
}

static void a_line_has_its_priority_and_no_control_characters(void **state)
{
	(void)state;
	report(LOG_WARNING, "%s is \x1b[31mred\nor %d", "it", 7);
	assert_string_equal(next_line(), "<4>it is ?[31mred?or 7\n");
}

static void a_long_line_is_cut_and_still_ends(void **state)
{
	char text[5000];
	const char *line;

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	report(LOG_ERR, "%s", text);
	line = next_line();
	assert_true(strlen(line) < 2048);
	assert_int_equal(line[strlen(line) - 1], '\n');
}

static void lines_above_the_level_are_not_written(void **state)
{
	struct report_topic topic = { 0 };

	(void)state;
	report(LOG_DEBUG, "not this");
	report_limited(&topic, 0, LOG_DEBUG, "nor this");
	report_set_level(LOG_DEBUG);
	report(LOG_DEBUG, "but this");
	assert_string_equal(next_line(), "<7>but this\n");
}

static void what_repeats_is_written_once_a_minute_with_the_number_left_out(void **state)
{
	struct report_topic topic = { 0 };
	uint64_t now = 1000 * NS_PER_S;

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		report_limited(&topic, now + i, LOG_ERR, "it fails");
	assert_string_equal(next_line(), "<3>it fails\n");
	report_limited(&topic, now + 60 * NS_PER_S, LOG_ERR, "it fails");
	assert_string_equal(next_line(), "<3>it fails\n");
	assert_string_equal(next_line(), "<3>the message above was repeated 4 times in between\n");
	report_limited(&topic, now + 120 * NS_PER_S, LOG_ERR, "it fails");
	assert_string_equal(next_line(), "<3>it fails\n");
	assert_string_equal(next_line(), "");
}

static void a_log_that_is_stuck_costs_lines_and_no_time(void **state)
{
	uint64_t before = report_lost();
	unsigned i = 0;

	(void)state;
	while (report_lost() == before && i < 100000) {
		report(LOG_INFO, "line %u", i);
		i++;
	}
	assert_int_equal(report_lost(), before + 1);
	assert_string_equal(next_line(), "<6>line 0\n");
}

static void a_pipe_is_written_while_it_has_room(void **state)
{
	uint64_t before = report_lost();
	char text[1024];

	(void)state;
	report(LOG_INFO, "to a pipe");
	assert_string_equal(next_line(), "<6>to a pipe\n");
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	for (unsigned i = 0; i < 1000; i++)
		report(LOG_INFO, "%s", text);
	assert_true(report_lost() > before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_line_has_its_priority_and_no_control_characters, on_a_socket,
						restore),
		cmocka_unit_test_setup_teardown(a_long_line_is_cut_and_still_ends, on_a_socket, restore),
		cmocka_unit_test_setup_teardown(lines_above_the_level_are_not_written, on_a_socket, restore),
		cmocka_unit_test_setup_teardown(what_repeats_is_written_once_a_minute_with_the_number_left_out,
						on_a_socket, restore),
		cmocka_unit_test_setup_teardown(a_log_that_is_stuck_costs_lines_and_no_time, on_a_socket, restore),
		cmocka_unit_test_setup_teardown(a_pipe_is_written_while_it_has_room, on_a_pipe, restore),
	};

	return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
