/* SPDX-License-Identifier: MIT */
/* Lines out of any chunking. "Row n" is a row of the fault matrix. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "transport/frame.h"

#define MAX_LINE 100

/* What came out, as text: "[line]", "LONG ", "GARBLED ". */
struct story {
	struct frame_reader reader;
	char text[4096];
};

static int setup(void **state)
{
	struct story *story = calloc(1, sizeof(*story));

	if (!story)
		return -1;
	frame_init(&story->reader, MAX_LINE);
	*state = story;
	return 0;
}

static int teardown(void **state)
{
	struct story *story = *state;

	frame_free(&story->reader);
	free(story);
	return 0;
}

static void take(struct story *story)
{
	const char *line = NULL;
	size_t len = 0, at;
	int what;

	while ((what = frame_next(&story->reader, &line, &len)) != FRAME_MORE) {
		at = strlen(story->text);
		if (what == FRAME_LINE || what == FRAME_TAIL)
			snprintf(story->text + at, sizeof(story->text) - at, what == FRAME_LINE ? "[%.*s]" : "<%.*s>",
				 (int)len, line);
		else
			snprintf(story->text + at, sizeof(story->text) - at, "%s ",
				 what == FRAME_TOO_LONG ? "LONG" : "GARBLED");
	}
}

static void feed(struct story *story, const char *bytes, size_t len, size_t chunk)
{
	while (len > 0) {
		ssize_t n = frame_feed(&story->reader, bytes, len < chunk ? len : chunk);

		assert_true(n > 0);
		bytes += n;
		len -= (size_t)n;
		take(story);
	}
}

static void feed_text(struct story *story, const char *text)
{
	feed(story, text, strlen(text), SIZE_MAX);
}

/* Row 1 */
static void joins_a_line_that_comes_in_parts(void **state)
{
	struct story *story = *state;

	feed_text(story, "{\"a\"");
	assert_string_equal(story->text, "");
	feed_text(story, ":1}\n");
	assert_string_equal(story->text, "[{\"a\":1}]");
}

/* Row 2 */
static void takes_one_byte_at_a_time_like_everything_at_once(void **state)
{
	static const char text[] = "one\r\n\n{two}\nab\xff{three}\nab\xff\n";
	struct story *story = *state;

	feed(story, text, sizeof(text) - 1, 1);
	assert_string_equal(story->text, "[one][{two}][{three}]GARBLED ");
	story->text[0] = '\0';
	feed(story, text, sizeof(text) - 1, SIZE_MAX);
	assert_string_equal(story->text, "[one][{two}][{three}]GARBLED ");
}

/* Row 2: with a quadratic scan this would take minutes. */
static void costs_the_same_per_byte_when_they_come_singly(void **state)
{
	struct story *story = *state;
	const char *line;
	size_t len;

	story->reader.max_line = 1 << 20;
	for (unsigned i = 0; i < 1 << 20; i++) {
		assert_int_equal(frame_feed(&story->reader, "x", 1), 1);
		assert_int_equal(frame_next(&story->reader, &line, &len), FRAME_MORE);
	}
	assert_int_equal(frame_feed(&story->reader, "\n", 1), 1);
	assert_int_equal(frame_next(&story->reader, &line, &len), FRAME_LINE);
	assert_int_equal(len, 1 << 20);
}

/* Row 3 */
static void gives_many_lines_of_one_read_in_order(void **state)
{
	struct story *story = *state;

	feed_text(story, "1\n2\n3\n4");
	assert_string_equal(story->text, "[1][2][3]");
	assert_int_equal(frame_pending(&story->reader), 1);
}

/* Row 4 */
static void passes_over_blank_lines_and_takes_crlf(void **state)
{
	struct story *story = *state;

	feed_text(story, "\n\r\n  \t\r\na\r\nb\r\r\n");
	assert_string_equal(story->text, "[a][b\r]");
	assert_int_equal(frame_pending(&story->reader), 0);
}

static void feed_line_of(struct story *story, size_t len, const char *line_end)
{
	char *text = malloc(len + 1);

	assert_non_null(text);
	memset(text, 'x', len);
	feed(story, text, len, 4096);
	free(text);
	feed_text(story, line_end);
}

/* Row 5 */
static void takes_a_line_of_exactly_the_limit(void **state)
{
	struct story *story = *state;

	feed_line_of(story, MAX_LINE, "\n");
	assert_int_equal(strlen(story->text), MAX_LINE + 2);
	story->text[0] = '\0';
	feed_line_of(story, MAX_LINE, "\r\n");
	assert_int_equal(strlen(story->text), MAX_LINE + 2);
}

/* Row 5 */
static void rejects_a_line_longer_than_the_limit_once(void **state)
{
	static const size_t lens[] = { MAX_LINE + 1, MAX_LINE + 2, 1048577, 3 << 20 };
	struct story *story = *state;

	for (unsigned i = 0; i < 4; i++) {
		story->text[0] = '\0';
		feed_line_of(story, lens[i], "\nnext\n");
		assert_string_equal(story->text, "LONG [next]");
		assert_true(story->reader.cap <= 4 * FRAME_ROOM);
	}
}

/* A whole message may stand behind the half line of a host that is gone, however long that is. */
static void keeps_the_end_of_a_line_that_is_too_long(void **state)
{
	struct story *story = *state;
	char whole[MAX_LINE + 1];

	memset(whole, 'y', MAX_LINE);
	whole[0] = '{';
	whole[MAX_LINE - 1] = '}';
	whole[MAX_LINE] = '\0';
	for (size_t chunk = 1; chunk < 300; chunk = chunk * 2 + 1) {
		static const size_t heads[] = { 1, MAX_LINE, MAX_LINE + 1, 100000 };

		for (unsigned i = 0; i < 4; i++) {
			char *head = malloc(heads[i]), expected[MAX_LINE + 16];

			assert_non_null(head);
			memset(head, i % 2 ? '{' : 'x', heads[i]);
			story->text[0] = '\0';
			feed(story, head, heads[i], chunk);
			feed(story, whole, MAX_LINE, chunk);
			feed_text(story, i % 2 ? "\r\n" : "\n");
			snprintf(expected, sizeof(expected), "LONG <%s>", whole);
			assert_string_equal(story->text, expected);
			assert_int_equal(frame_pending(&story->reader), 0);
			free(head);
		}
	}
	story->text[0] = '\0';
	feed_line_of(story, 5 * MAX_LINE, "{\"a\":1} \t\r\n{}\n");
	assert_string_equal(story->text, "LONG <{\"a\":1} \t>[{}]");
}

/* A line without end that could be full of messages costs memory for one and time for each byte once. */
static void keeps_the_end_of_a_flood_at_little_cost(void **state)
{
	struct story *story = *state;
	static char page[4096];

	story->reader.max_line = 1 << 20;
	memset(page, '{', sizeof(page));
	for (unsigned i = 0; i < 64 << 8; i++) {
		feed(story, page, sizeof(page), SIZE_MAX);
		assert_true(story->reader.cap <= (1 << 20) + (1 << 17) + FRAME_ROOM + 2);
	}
	assert_string_equal(story->text, "LONG ");
	assert_int_equal(frame_pending(&story->reader), 64 << 20);
	story->text[0] = '\0';
	feed_text(story, "\n[next]\n");
	assert_string_equal(story->text, "[[next]]");
	assert_true(story->reader.cap <= 4 * FRAME_ROOM);
}

/* Row 6 */
static void caps_memory_when_no_newline_ever_comes(void **state)
{
	struct story *story = *state;

	feed_line_of(story, 4 << 20, "");
	assert_string_equal(story->text, "LONG ");
	assert_true(story->reader.cap <= 4 * FRAME_ROOM);
	assert_int_equal(frame_pending(&story->reader), 4 << 20);
}

/* Rows 6 and 40 */
static void throws_a_half_line_away_on_reset(void **state)
{
	struct story *story = *state;

	const char *bytes;

	feed_text(story, "one\nHALF");
	assert_int_equal(frame_half(&story->reader, &bytes), 4);
	assert_memory_equal(bytes, "HALF", 4);
	assert_int_equal(frame_reset(&story->reader), 4);
	story->text[0] = '\0';
	assert_int_equal(frame_pending(&story->reader), 0);
	feed_text(story, "whole\n");
	assert_string_equal(story->text, "[whole]");
	feed_line_of(story, 3 * MAX_LINE, "");
	assert_int_equal(frame_reset(&story->reader), 3 * MAX_LINE);
	feed_text(story, "next\n");
	assert_string_equal(story->text, "[whole]LONG [next]");
}

/* Row 7: judged by the validator, so it has to arrive. */
static void hands_on_a_nul_byte(void **state)
{
	struct story *story = *state;
	const char *line;
	size_t len;

	assert_int_equal(frame_feed(&story->reader, "a\0b\n", 4), 4);
	assert_int_equal(frame_next(&story->reader, &line, &len), FRAME_LINE);
	assert_int_equal(len, 3);
	assert_memory_equal(line, "a\0b", 3);
}

static void forgets_what_stands_before_a_byte_ff(void **state)
{
	struct story *story = *state;

	feed_text(story, "HALF\xff{\"a\":1}\n\xff{\"b\":1}\n\xff\n");
	assert_string_equal(story->text, "[{\"a\":1}][{\"b\":1}]");
}

/* Row 8: the line is bad and has to be answered, once. */
static void reports_a_line_that_a_byte_ff_has_ruined(void **state)
{
	struct story *story = *state;

	feed_text(story, "{\"id\":\"x\xff\"}\nnext\n");
	assert_string_equal(story->text, "GARBLED [next]");
}

static void reports_a_long_line_with_bytes_ff_in_it_once(void **state)
{
	struct story *story = *state;

	feed_line_of(story, MAX_LINE + 9, "\xff\xff");
	feed_line_of(story, MAX_LINE + 9, "\xffrest\n{next}\n");
	assert_string_equal(story->text, "LONG [{next}]");
}

static void shrinks_after_a_large_line(void **state)
{
	struct story *story = *state;
	const char *line;
	size_t len;

	story->reader.max_line = 1 << 20;
	for (unsigned i = 0; i < 1 << 20; i += 4096) {
		static const char page[4096] = { 'x' };

		assert_int_equal(frame_feed(&story->reader, page, 4096), 4096);
	}
	assert_true(story->reader.cap >= 1 << 20);
	feed_text(story, "");
	assert_int_equal(frame_feed(&story->reader, "\n", 1), 1);
	assert_int_equal(frame_next(&story->reader, &line, &len), FRAME_LINE);
	assert_int_equal(len, 1 << 20);
	assert_int_equal(frame_next(&story->reader, &line, &len), FRAME_MORE);
	assert_true(story->reader.cap <= 4 * FRAME_ROOM);
}

static void refuses_more_room_until_lines_are_taken(void **state)
{
	struct story *story = *state;
	char *buf;
	size_t room;
	int result;

	for (unsigned i = 0; i < 100; i++) {
		result = frame_reserve(&story->reader, &buf, &room);
		if (result)
			break;
		assert_true(room >= FRAME_ROOM || room >= MAX_LINE);
		memset(buf, '\n', room);
		frame_commit(&story->reader, room);
	}
	assert_int_equal(result, -ENOBUFS);
	take(story);
	assert_int_equal(frame_reserve(&story->reader, &buf, &room), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(joins_a_line_that_comes_in_parts),
		TEST(takes_one_byte_at_a_time_like_everything_at_once),
		TEST(costs_the_same_per_byte_when_they_come_singly),
		TEST(gives_many_lines_of_one_read_in_order),
		TEST(passes_over_blank_lines_and_takes_crlf),
		TEST(takes_a_line_of_exactly_the_limit),
		TEST(rejects_a_line_longer_than_the_limit_once),
		TEST(keeps_the_end_of_a_line_that_is_too_long),
		TEST(keeps_the_end_of_a_flood_at_little_cost),
		TEST(caps_memory_when_no_newline_ever_comes),
		TEST(throws_a_half_line_away_on_reset),
		TEST(hands_on_a_nul_byte),
		TEST(forgets_what_stands_before_a_byte_ff),
		TEST(reports_a_line_that_a_byte_ff_has_ruined),
		TEST(reports_a_long_line_with_bytes_ff_in_it_once),
		TEST(shrinks_after_a_large_line),
		TEST(refuses_more_room_until_lines_are_taken),
	};

	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
