/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>

#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/script.h"
#include "transport/addition.h"

static void interpreters_are_named_never_given_as_paths(void **state)
{
	static const char *const none[] = { "powershell", "cmd", "/bin/sh", "sh ", "bash -c", "../sh", "node" };

	(void)state;
	assert_string_equal(script_interpreter(NULL), "sh");
	assert_string_equal(script_interpreter("BaSh"), "bash");
	assert_string_equal(script_interpreter("Python"), "python3");
	assert_string_equal(script_interpreter("PERL"), "perl");
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		assert_null(script_interpreter(none[i]));
}

static void names_of_inputs_become_names_of_variables(void **state)
{
	char out[32];

	(void)state;
	assert_true(script_input_name("a-b.c=d", false, out, sizeof(out)));
	assert_string_equal(out, "INPUT_a_b_c_d");
	assert_true(script_input_name("a\xc3\xa4", true, out, sizeof(out)));
	assert_string_equal(out, "INPUT_A__");
	assert_false(script_input_name("", false, out, sizeof(out)));
	assert_true(script_input_name("1234567890123456789012345", false, out, sizeof(out)));
	assert_false(script_input_name("12345678901234567890123456", false, out, sizeof(out)));
}

static void only_a_character_that_has_begun_waits_for_its_rest(void **state)
{
	static const struct {
		const char *bytes;
		size_t whole;
	} cases[] = {
		{ "", 0 },
		{ "abc", 3 },
		{ "a\xc3", 1 },
		{ "a\xc3\xa4", 3 },
		{ "\xe2\x82", 0 },
		{ "x\xe2", 1 },
		{ "\xe2\x82\xac", 3 },
		{ "\xf0\x9f\x90", 0 },
		{ "\xf0\x9f\x90\xa7", 4 },
		{ "a\xff", 2 },
		{ "\x80\x80\x80\x80", 4 },
		{ "\xc0", 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(addition_whole_characters(cases[i].bytes, strlen(cases[i].bytes)), cases[i].whole);
}

static void batches_hold_encoded_samples_as_they_are(void **state)
{
	static const char samples[] = "{\"seq\":1},{\"seq\":2}";
	struct json_writer writer;
	char text[512];

	(void)state;
	json_writer_init(&writer, text, sizeof(text));
	assert_int_equal(addition_metrics_batch(&writer, 0, NULL, samples, strlen(samples), true), 0);
	text[writer.len] = '\0';
	assert_string_equal(
		text,
		"{\"type\":\"metrics_batch\",\"timestamp\":\"1970-01-01T00:00:00.000Z\",\"id\":null,\"last\":true,"
		"\"samples\":[{\"seq\":1},{\"seq\":2}]}\n");
	assert_int_equal(addition_metrics_batch(&writer, 0, "i", NULL, 0, false), 0);
	text[writer.len] = '\0';
	assert_non_null(strstr(text, "\"id\":\"i\",\"last\":false,\"samples\":[]}"));
	json_writer_init(&writer, text, 60);
	assert_int_equal(addition_metrics_batch(&writer, 0, NULL, samples, strlen(samples), true), -EMSGSIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(interpreters_are_named_never_given_as_paths),
		cmocka_unit_test(names_of_inputs_become_names_of_variables),
		cmocka_unit_test(only_a_character_that_has_begun_waits_for_its_rest),
		cmocka_unit_test(batches_hold_encoded_samples_as_they_are),
	};

	return cmocka_run_group_tests_name("addition", tests, NULL, NULL);
}
