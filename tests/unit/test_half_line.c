/* SPDX-License-Identifier: MIT */
/* Whole messages behind the half lines of hosts that are gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "include/infiniservice/cleanup.h"
#include "transport/half_line.h"

static struct json_check check;

/* Every message that a host may send, in the shapes that serializers give it. */
static const char *const wholes[] = {
	"{\"type\":\"Status\",\"id\":\"w\"}",
	"{ \"type\" : \"Status\" , \"id\" : \"w\" } ",
	"{\t\"type\"\t:\"Status\"}\t",
	"{\"id\":\"w\",\"timestamp\":1,\"type\":\"Status\"}",
	"{\"\\u0074ype\":\"Status\"}",
	"{\"type\":\"keep_alive_request\",\"sequence_number\":18446744073709551615}",
	"{\"type\":\"UnsafeCommand\",\"id\":\"w\",\"raw_command\":\"echo '{\\\"type\\\":\\\"Metrics\\\"}'\"}",
	"{\"type\":\"UnsafeCommand\",\"id\":\"w\",\"raw_command\":\"} ] { [ \\\\\"}",
	"{\"type\":\"UnsafeCommand\",\"id\":\"w\",\"raw_command\":\"\\\\\\\"}\",\"x\":\"{\"}",
	"{\"type\":\"signed\",\"v\":1,\"ts\":1,\"nonce\":\"n\",\"payload\":\"{\\\"type\\\":\\\"Status\\\",\\\"id\\\":"
	"\\\"p\\\"}\",\"sig\":\"00\"}",
	"{\"type\":\"CommandBatch\",\"id\":\"w\",\"commands\":[{\"type\":\"Status\",\"id\":\"m\"},{\"type\":\"Status\","
	"\"id\":\"n\"}]}",
	"{\"type\":\"SafeCommand\",\"id\":\"w\",\"params\":{\"type\":\"x\",\"y\":[[{\"type\":\"z\"}]]}}",
	"{\"type\":\"Status\",\"x\":\"\xc3\xa9\"}",
};

/* What a host may have sent of a line when it died. */
static const char *const heads[] = {
	"{",
	"{\"",
	"{\"type\":",
	"{\"type\":\"",
	"{\"type\":\"SafeCommand\",\"id\":\"half",
	"{\"type\":\"SafeCommand\",\"id\":\"half\",",
	"{\"type\":\"SafeCommand\",\"id\":\"half\",\"params\":{\"type\":\"x\"},\"y\":[",
	"{\"type\":\"SafeCommand\",\"id\":\"half\"}",
	"{\"type\":\"Status\",\"id\":\"one{\"type\":\"Status\",\"id\":\"two{\"type\":\"Status\"}{\"type\":",
	"{\"type\":\"UnsafeCommand\",\"raw_command\":\"echo \\",
	"{\"type\":\"UnsafeCommand\",\"raw_command\":\"echo \\u00",
	"{\"type\":\"x\",\"y\":\"\xc3",
	"}}}]]]\"\"\"",
	"garbage \x01\x02 ",
};

/* The length found of a head and a whole message, both by length: a head may hold anything. */
static size_t found(const char *head, size_t head_len, const char *whole)
{
	size_t len = head_len + strlen(whole), result;
	char *line = malloc(len); /* no NUL behind it: a read too far is seen by a sanitizer */

	assert_non_null(line);
	memcpy(line, head, head_len);
	memcpy(line + head_len, whole, strlen(whole));
	result = half_line_length(&check, line, len, NULL);
	free(line);
	return result;
}

static void every_whole_message_is_found_behind_every_half_of_every_other(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(wholes); i++) {
		for (unsigned j = 0; j < ARRAY_SIZE(heads); j++)
			if (found(heads[j], strlen(heads[j]), wholes[i]) != strlen(heads[j]))
				fail_msg("%s%s", heads[j], wholes[i]);
		for (unsigned j = 0; j < ARRAY_SIZE(wholes); j++)
			for (size_t cut = 1; cut <= strlen(wholes[j]); cut++)
				if (found(wholes[j], cut, wholes[i]) != cut)
					fail_msg("%.*s|%s", (int)cut, wholes[j], wholes[i]);
	}
}

static void half_after_half_is_passed_over(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(heads); i++)
		for (unsigned j = 0; j < ARRAY_SIZE(heads); j++) {
			char head[512];

			snprintf(head, sizeof(head), "%s%s", heads[i], heads[j]);
			if (found(head, strlen(head), wholes[0]) != strlen(head))
				fail_msg("%s", head);
		}
}

/* A line that is whole, and one that is cut, hold nothing that could be taken for a message of its own. */
static void nothing_inside_of_a_message_is_taken_for_one(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(wholes); i++) {
		size_t len = strlen(wholes[i]);

		assert_int_equal(half_line_length(&check, wholes[i], len, NULL), 0);
		/* A batch or parameters that are cut behind a member look like a half line with that behind it. */
		if (strstr(wholes[i], "[{\"type") || strstr(wholes[i], "{\"type\":\"x"))
			continue;
		for (size_t cut = 1; cut < len; cut++) {
			size_t at = half_line_length(&check, wholes[i], cut, NULL);

			if (at != cut && at != 0)
				fail_msg("%.*s", (int)cut, wholes[i]);
		}
	}
}

/* Blanks before a message are no half of another. */
static void blanks_are_no_half_line(void **state)
{
	static const char line[] = " \t {\"type\":\"Bogus\",\"id\":\"x\"}";

	(void)state;
	assert_int_equal(half_line_length(&check, line, strlen(line), NULL), 0);
}

static void what_is_no_whole_message_is_not_found(void **state)
{
	static const char *const lines[] = {
		"{\"type\":\"Status\",\"id\":\"half",
		"{\"type\":\"Status\"}x",
		"x{\"type\":\"Status\",}",
		"x{\"type\":7}",
		"x{}",
		"x{\"a\":{\"type\":\"Status\"}}",
		"x[{\"type\":\"Status\"}]",
		"x{\"type\":\"a\",\"type\":\"b\"}",
		"x{\"type\":\"\"}",
		"x{\"x\":1}",
		"}",
		"x}",
		"\"}",
		"",
		" ",
		"\\\"}",
		"{\"type\":\"Status\"}]",
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(lines); i++)
		if (half_line_length(&check, lines[i], strlen(lines[i]), NULL) != strlen(lines[i]))
			fail_msg("%s", lines[i]);
}

/*
 * A megabyte made to be looked at again and again is looked at once: these would take hours if the work were quadratic.
 */
static void a_hostile_megabyte_is_looked_at_once(void **state)
{
	static const char *const patterns[] = { "{\"type\":", "{\"type\":{",	  "\\", "\\\"", "\"",
						"{}",	      "{\"type\":\"a\"}", "[",	"}",	"{\"" };
	const size_t len = 16 << 20;
	char *line = malloc(len);

	(void)state;
	assert_non_null(line);
	for (unsigned i = 0; i < ARRAY_SIZE(patterns); i++) {
		size_t n = strlen(patterns[i]);

		for (size_t at = 0; at < len; at++)
			line[at] = patterns[i][at % n];
		line[len - 1] = '}';
		half_line_length(&check, line, len, NULL);
		line[len - 2] = '"';
		half_line_length(&check, line, len, NULL);
	}
	free(line);
}

static int setup(void **state)
{
	(void)state;
	json_check_init(&check, 1);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_whole_message_is_found_behind_every_half_of_every_other),
		cmocka_unit_test(half_after_half_is_passed_over),
		cmocka_unit_test(nothing_inside_of_a_message_is_taken_for_one),
		cmocka_unit_test(blanks_are_no_half_line),
		cmocka_unit_test(what_is_no_whole_message_is_not_found),
		cmocka_unit_test(a_hostile_megabyte_is_looked_at_once),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
