/* SPDX-License-Identifier: MIT */
/* Output that is sent as it comes: whole characters, numbered chunks, and what a slow peer loses. */
#include "tests/commands_fixture.h"

static struct command *begin_streamed(void)
{
	ask_with(&host, "Program", "a", ",\"stream\":true");
	assert_non_null(find("a")->stream);
	return find("a");
}

static void put(struct command *command, enum exec_stream from, const char *text)
{
	stream_put(command, from, text, strlen(text));
}

/* Line number `at` is a chunk that says so. */
static void assert_chunk(unsigned at, const char *part)
{
	assert_true(at < host.count);
	if (!line_is(host.lines[at], "output", "a") || !strstr(host.lines[at], part))
		fail_msg("'%s' is not in: %s", part, host.lines[at]);
}

static void output_is_sent_as_it_comes_numbered_over_both_streams(void **state)
{
	struct command *command = begin_streamed();

	(void)state;
	put(command, EXEC_STDOUT, "one");
	put(command, EXEC_STDERR, "two");
	assert_chunk(0, "\"stream\":\"stdout\",\"seq\":0,\"data\":\"one\"");
	assert_chunk(1, "\"stream\":\"stderr\",\"seq\":1,\"data\":\"two\"");
	finish("a");
	answered(&host, "a", "\"stream_chunks\":2,\"stream_dropped\":0");
	assert_int_equal(host.count, 3);
}

static void without_being_asked_nothing_is_streamed(void **state)
{
	(void)state;
	ask(&host, "Program", "a");
	assert_null(find("a")->stream);
	finish("a");
	assert_int_equal(host.count, 1);
	assert_null(strstr(host.lines[0], "stream_chunks"));
}

static void a_chunk_has_at_most_8_kib(void **state)
{
	struct command *command = begin_streamed();
	static char bytes[2 * ADDITION_CHUNK_MAX + 1];

	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	stream_put(command, EXEC_STDOUT, bytes, sizeof(bytes));
	assert_int_equal(host.count, 3);
	assert_chunk(2, "\"seq\":2,\"data\":\"x\"");
}

static void a_character_is_never_cut_in_two(void **state)
{
	struct command *command = begin_streamed();

	(void)state;
	put(command, EXEC_STDOUT, "a\xe2\x82");
	assert_int_equal(host.count, 1);
	assert_chunk(0, "\"data\":\"a\"");
	put(command, EXEC_STDERR, "b"); /* that is another stream */
	put(command, EXEC_STDOUT,
	    "\xac"
	    "c");
	assert_chunk(2, "\\u20ac");
	assert_chunk(3, "\"data\":\"c\"");
}

static void a_character_across_the_end_of_a_chunk_begins_the_next(void **state)
{
	struct command *command = begin_streamed();
	char bytes[ADDITION_CHUNK_MAX + 2];

	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	memcpy(bytes + ADDITION_CHUNK_MAX - 1, "\xe2\x82\xac", 3);
	stream_put(command, EXEC_STDOUT, bytes, sizeof(bytes));
	assert_int_equal(host.count, 2);
	assert_chunk(1, "\"data\":\"\\u20ac\"");
}

static void half_a_character_at_the_end_is_sent_with_the_answer(void **state)
{
	struct command *command = begin_streamed();

	(void)state;
	put(command, EXEC_STDOUT, "\xe2\x82");
	put(command, EXEC_STDERR, "\xf0\x9f");
	assert_int_equal(host.count, 0);
	finish("a");
	assert_chunk(0, "\\ufffd");
	assert_chunk(1, "\"stream\":\"stderr\"");
	answered(&host, "a", "\"stream_chunks\":2");
}

static void a_character_that_is_broken_off_takes_nothing_of_the_next_along(void **state)
{
	struct command *command = begin_streamed();

	(void)state;
	put(command, EXEC_STDOUT, "\xe2\x82");
	put(command, EXEC_STDOUT, "\xf0\x9f\x98\x80");
	assert_int_equal(host.count, 2);
	assert_chunk(0, "\\ufffd");
	assert_chunk(1, "\\ud83d\\ude00");
}

static void a_peer_that_does_not_keep_up_loses_chunks_and_not_the_answer(void **state)
{
	struct command *command = begin_streamed();

	(void)state;
	put(command, EXEC_STDOUT, "one");
	host.backlog = 1001;
	put(command, EXEC_STDOUT, "two");
	host.backlog = 0;
	put(command, EXEC_STDOUT, "three");
	assert_chunk(1, "\"seq\":2,\"data\":\"three\"");
	finish("a");
	answered(&host, "a", "\"stream_chunks\":3,\"stream_dropped\":1");
}

static void output_that_nobody_read_is_counted_as_chunks_that_were_dropped(void **state)
{
	struct command *command = begin_streamed();

	(void)state;
	put(command, EXEC_STDOUT, "\xe2");
	stream_put(command, EXEC_STDOUT, NULL, 0);
	stream_put(command, EXEC_STDOUT, NULL, ADDITION_CHUNK_MAX + 1);
	put(command, EXEC_STDOUT, "a"); /* what was held before the gap is gone with it */
	assert_chunk(0, "\"seq\":2,\"data\":\"a\"");
	finish("a");
	answered(&host, "a", "\"stream_chunks\":3,\"stream_dropped\":2");
}

static void with_nobody_who_asked_all_chunks_are_dropped(void **state)
{
	struct command *command = begin_streamed();

	(void)state;
	session_border(&host.session, UINT64_MAX);
	put(command, EXEC_STDOUT, "one");
	finish("a");
	assert_int_equal(host.count, 0);
}

static void the_answer_stands_behind_the_output_of_its_command(void **state)
{
	(void)state;
	begin_streamed();
	ask(&host, "Program", "b");
	assert_int_equal(command_line_class(find("a")), LINE_BULK);
	assert_int_equal(command_line_class(find("b")), LINE_REPLY);
	say(&host, "{\"type\":\"CommandBatch\",\"id\":\"batch\",\"commands\":[{\"type\":\"SafeCommand\",\"id\":\"m\","
		   "\"command_type\":{\"action\":\"Program\"}}]}");
	assert_int_equal(command_line_class(find("batch")), LINE_BULK);
}

static void a_further_try_goes_on_with_the_numbers(void **state)
{
	(void)state;
	ask_with(&host, "Program", "a", ",\"stream\":true,\"retries\":1");
	put(find("a"), EXEC_STDOUT, "one");
	fail_with("a", CODE_COMMAND_FAILED, NULL);
	later(NS_PER_S);
	put(find("a"), EXEC_STDOUT, "two");
	assert_chunk(1, "\"seq\":1,\"data\":\"two\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		commands_test(output_is_sent_as_it_comes_numbered_over_both_streams),
		commands_test(without_being_asked_nothing_is_streamed),
		commands_test(a_chunk_has_at_most_8_kib),
		commands_test(a_character_is_never_cut_in_two),
		commands_test(a_character_across_the_end_of_a_chunk_begins_the_next),
		commands_test(half_a_character_at_the_end_is_sent_with_the_answer),
		commands_test(a_character_that_is_broken_off_takes_nothing_of_the_next_along),
		commands_test(a_peer_that_does_not_keep_up_loses_chunks_and_not_the_answer),
		commands_test(output_that_nobody_read_is_counted_as_chunks_that_were_dropped),
		commands_test(with_nobody_who_asked_all_chunks_are_dropped),
		commands_test(the_answer_stands_behind_the_output_of_its_command),
		commands_test(a_further_try_goes_on_with_the_numbers),
	};

	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
