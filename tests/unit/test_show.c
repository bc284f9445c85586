/* SPDX-License-Identifier: MIT */
/* What reaches a terminal holds nothing that it obeys, and JSON that was escaped for it is the same JSON. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "tools/show/show.h"
#include "transport/printable.h"

/* Each with what stands for it in a line. */
static const struct {
	const char *in, *want;
} hostile[] = {
	{ "plain", "plain" },
	{ "a\x1b[31mred", "a?[31mred" },
	{ "title\x1b]0;x\x07", "title?]0;x?" },
	{ "line\nbreak\ttab\x7f\rback", "line?break?tab??back" },
	{ "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80" },
	{ "\x9b"
	  "31m raw C1",
	  "?31m raw C1" },
	{ "\xc2\x9b"
	  "31m C1",
	  "?31m C1" },
	{ "\xc2\x80\xc2\x9f\xc2\xa0", "??\xc2\xa0" },
	{ "\xe2\x80\xae"
	  "override",
	  "?override" },
	{ "\xe2\x81\xa6"
	  "isolate\xe2\x81\xa9",
	  "?isolate?" },
	{ "\xe2\x80\x8e\xe2\x80\x8f\xd8\x9c marks", "??? marks" },
	{ "zero\xe2\x80\x8bwidth\xe2\x80\x8d\xef\xbb\xbf\xc2\xad", "zero?width???" },
	{ "\xe2\x80\xa8line\xe2\x80\xa9paragraph", "?line?paragraph" },
	{ "\xf3\xa0\x81\x81tag", "?tag" },
	{ "\xff\xc0\xaf\xed\xa0\x80\xe2\x82", "???????" },
	{ "\xf4\x90\x80\x80 too high", "???? too high" },
	{ "\xe2\x80", "?" },
};

static char *text;
static size_t size;

static FILE *begin(void)
{
	free(text);
	text = NULL;
	return open_memstream(&text, &size);
}

static int teardown(void **state)
{
	(void)state;
	free(text);
	text = NULL;
	return 0;
}

static void text_for_a_terminal_holds_nothing_that_it_obeys(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		FILE *out = begin();

		show_text(out, hostile[i].in, strlen(hostile[i].in));
		fclose(out);
		assert_string_equal(text, hostile[i].want);
		out = begin();
		show(out, "%s\n", hostile[i].in);
		fclose(out);
		assert_int_equal(text[size - 1], '\n');
		text[size - 1] = '\0';
		assert_string_equal(text, hostile[i].want);
	}
}

static void what_is_cleaned_in_place_is_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		char copy[64];
		size_t len;

		assert_true(strlen(hostile[i].in) < sizeof(copy));
		strcpy(copy, hostile[i].in);
		len = printable_clean(copy, strlen(copy));
		assert_int_equal(len, strlen(hostile[i].want));
		assert_memory_equal(copy, hostile[i].want, len);
	}
}

/* A guest's JSON may hold each of them, DEL and C1 unescaped. */
static void escaped_json_is_the_same_json(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		struct json_object *before = json_object_new_object(), *after;
		bool valid = true;
		FILE *out = begin();

		json_object_object_add(before, hostile[i].in, json_object_new_string(hostile[i].in));
		show_json(out, json_object_to_json_string_ext(before, JSON_C_TO_STRING_PRETTY));
		fclose(out);
		for (const unsigned char *p = (unsigned char *)text, *end = p + size; p < end;) {
			int step = printable_step(p, end);

			assert_true(step > 0 || *p == '\n');
			p += step < 0 ? -step : step;
		}
		after = json_tokener_parse(text);
		assert_non_null(after);
		for (const unsigned char *p = (const unsigned char *)hostile[i].in, *end = p + strlen(hostile[i].in);
		     p < end;) {
			uint32_t code;
			int n = utf8_decode(p, end, &code);

			valid &= n > 0;
			p += n < 0 ? -n : n;
		}
		assert_int_equal(valid, json_object_equal(before, after));
		json_object_put(before);
		json_object_put(after);
	}
}

/* Blanks between values stay blanks; a control inside a string, which JSON forbids, becomes its escape. */
static void json_of_any_form_becomes_json(void **state)
{
	static const struct {
		const char *in, *want;
	} cases[] = {
		{ "{\r\n\t\"a\": 1}\r", "{ \n\t\"a\": 1} " },
		{ "\"a\tb\nc\rd\"", "\"a\\u0009b\\u000ac\\u000dd\"" },
		{ "\"a\\\"\x7f\", \"\\\\\"\x7f", "\"a\\\"\\u007f\", \"\\\\\"?" },
		{ "\"\xff\xf3\xa0\x81\x81\"", "\"\\ufffd\\udb40\\udc41\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		FILE *out = begin();

		show_json(out, cases[i].in);
		fclose(out);
		assert_string_equal(text, cases[i].want);
	}
}

static void long_text_is_cut_between_characters(void **state)
{
	FILE *out = begin();

	(void)state;
	show_cut(out,
		 "abc\xc3\xa9"
		 "def",
		 4);
	show_cut(out, NULL, 4);
	show_cut(out, "|\x1b|", 4);
	fclose(out);
	assert_string_equal(text, "abc\xc3\xa9...|?|");
}

static void our_own_words_keep_their_lines(void **state)
{
	FILE *out = begin();

	(void)state;
	show_words(out, "one\n\ttwo\r\nthree\r\x1b[2J\n");
	fclose(out);
	assert_string_equal(text, "one\n\ttwo\nthree??[2J\n");
}

static void into_a_file_the_bytes_go_as_they_are(void **state)
{
	static const char bytes[] = "a\x1b[31m\0\xff\n";
	FILE *out = begin();

	(void)state;
	show_stream(out, bytes, sizeof(bytes));
	show_json_line(out, "{\"a\":\"\x7f\"}", 9);
	fclose(out);
	assert_int_equal(size, sizeof(bytes) + 10);
	assert_memory_equal(text, bytes, sizeof(bytes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(text_for_a_terminal_holds_nothing_that_it_obeys, teardown),
		cmocka_unit_test(what_is_cleaned_in_place_is_the_same),
		cmocka_unit_test_teardown(escaped_json_is_the_same_json, teardown),
		cmocka_unit_test_teardown(json_of_any_form_becomes_json, teardown),
		cmocka_unit_test_teardown(long_text_is_cut_between_characters, teardown),
		cmocka_unit_test_teardown(our_own_words_keep_their_lines, teardown),
		cmocka_unit_test_teardown(into_a_file_the_bytes_go_as_they_are, teardown),
	};

	return cmocka_run_group_tests_name("show", tests, NULL, NULL);
}
