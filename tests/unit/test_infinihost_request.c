/* SPDX-License-Identifier: MIT */
/* From words on a command line to values in a message. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "tools/infinihost/commands.h"
#include "tools/infinihost/request.h"

static void a_value_is_json_where_it_can_be_and_text_otherwise(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "limit=5", "{\"limit\":5}" },
		{ "ratio=0.5", "{\"ratio\":0.5}" },
		{ "force=true", "{\"force\":true}" },
		{ "force=null", "{\"force\":null}" },
		{ "more={\"a\":[1,\"x\"]}", "{\"more\":{\"a\":[1,\"x\"]}}" },
		{ "targets=[\"a\",\"b\"]", "{\"targets\":[\"a\",\"b\"]}" },
		{ "id=\"5\"", "{\"id\":\"5\"}" },
		{ "name=nginx", "{\"name\":\"nginx\"}" },
		{ "name=", "{\"name\":\"\"}" },
		{ "name=a=b", "{\"name\":\"a=b\"}" },
		{ "name=12 monkeys", "{\"name\":\"12 monkeys\"}" },
		{ "name='x'", "{\"name\":\"'x'\"}" },
		{ "name=NaN", "{\"name\":\"NaN\"}" },
		{ "name=Infinity", "{\"name\":\"Infinity\"}" },
		{ "name=-Infinity", "{\"name\":\"-Infinity\"}" },
		{ "name={broken", "{\"name\":\"{broken\"}" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct json_object *into = json_object_new_object();

		assert_int_equal(request_parameter(into, cases[i].text), 0);
		assert_string_equal(json_object_to_json_string_ext(into, JSON_C_TO_STRING_PLAIN), cases[i].want);
		json_object_put(into);
	}
}

static void what_is_no_parameter_is_refused(void **state)
{
	static const char *const cases[] = { "limit", "=5", "", "action=Other" };
	struct json_object *into = json_object_new_object();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(request_parameter(into, cases[i]), -EINVAL);
	assert_int_equal(json_object_object_length(into), 0);
	json_object_put(into);
}

static void one_word_is_a_shell_line_and_several_are_quoted(void **state)
{
	static char one[] = "echo $HOME | wc", printf_[] = "printf", format[] = "%s", quote[] = "it's", empty[] = "";
	char *single[] = { one }, *several[] = { printf_, format, quote, empty };
	char *line = request_shell_line(1, single);

	(void)state;
	assert_string_equal(line, "echo $HOME | wc");
	free(line);
	line = request_shell_line(4, several);
	assert_string_equal(line, "'printf' '%s' 'it'\\''s' ''");
	free(line);
}

static void seconds_are_finite_and_not_negative(void **state)
{
	static const char *const bad[] = { "", "-1", "nan", "inf", "5s", "1e9", "x" };
	double s = -1;

	(void)state;
	assert_int_equal(command_seconds("0.25", &s), 0);
	assert_true(s > 0.24 && s < 0.26);
	assert_int_equal(command_seconds("30", &s), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(command_seconds(bad[i], &s), -EINVAL);
	assert_true(s > 29 && s < 31);
	assert_true(command_deadline(-1) == TIME_NEVER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_value_is_json_where_it_can_be_and_text_otherwise),
		cmocka_unit_test(what_is_no_parameter_is_refused),
		cmocka_unit_test(one_word_is_a_shell_line_and_several_are_quoted),
		cmocka_unit_test(seconds_are_finite_and_not_negative),
	};

	return cmocka_run_group_tests_name("infinihost_request", tests, NULL, NULL);
}
