/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>

#include <string.h>

#include <infiniservice/cleanup.h>
#include <json-c/json.h>

#include "agent/audit/audit.h"
#include "agent/actions/script_read.h"
#include "transport/addition.h"

static void secrets_in_command_lines_are_hidden(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "echo hello", "echo hello" },
		{ "DB_PASSWORD=x1 run", "DB_PASSWORD=*** run" },
		{ "run --password x1 y", "run --password *** y" },
		{ "run --password --verbose", "run --password --verbose" },
		{ "run --token=x1;ls", "run --token=***;ls" },
		{ "run --secret \"x1 x2\" z", "run --secret *** z" },
		{ "curl -H 'Authorization: Bearer x1' u", "curl -H 'Authorization: Bearer ***' u" },
		{ "{\"api_key\": \"x1\", \"a\": 1}", "{\"api_key\": ***, \"a\": 1}" },
		{ "mysql -px1 db", "mysql -p*** db" },
		{ "mkdir -p x1", "mkdir -p x1" },
		{ "git clone https://u:x1@h/p", "git clone https://u:***@h/p" },
		{ "curl http://h:80/x", "curl http://h:80/x" },
		{ "echo u:x1 | chpasswd", "*** (chpasswd)" },
		{ "PGPASSWORD='x1 x2", "PGPASSWORD=***" },
		{ "", "" },
		{ "password=", "password=***" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char out[128];

		audit_redact_text(cases[i].text, out, sizeof(out));
		assert_string_equal(out, cases[i].want);
	}
}

/* The next option is not the value of the name before it, and has a secret of its own. */
static void an_empty_value_does_not_uncover_the_secret_of_the_next_option(void **state)
{
	static const char *const texts[] = { "password= --password hunter2", "--token= --api-key hunter2 x",
					     "secret: --secret=hunter2" };
	const char *const argv[] = { "tool", "password=", "--password", "hunter2", NULL };
	char out[96];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		audit_redact_text(texts[i], out, sizeof(out));
		assert_null(strstr(out, "hunter2"));
		assert_non_null(strstr(out, "***"));
	}
	audit_redact_argv(argv, out, sizeof(out));
	assert_string_equal(out, "tool password= --password ***");
}

static void an_argv_is_quoted_as_a_shell_would_read_it_and_a_cut_is_marked(void **state)
{
	const char *const argv[] = { "echo", "a b", "", "it's", "x=1", NULL };
	const char *const passwords[] = { "sh", "-c", "echo u:x1 | chpasswd", NULL };
	char out[96], small[12];

	(void)state;
	audit_redact_argv(argv, out, sizeof(out));
	assert_string_equal(out, "echo 'a b' '' 'it'\\''s' x=1");
	audit_redact_argv(argv, small, sizeof(small));
	assert_string_equal(small, "echo 'a ...");
	audit_redact_argv(passwords, out, sizeof(out));
	assert_string_equal(out, "*** (chpasswd)");
}

/* What a shell takes for one word is one secret, with the quotes and blanks in it. */
static void no_part_of_a_secret_with_quotes_or_blanks_in_it_is_left(void **state)
{
	static const struct {
		const char *argv[4], *want;
	} argvs[] = {
		{ { "tool", "--password", "hun'ter two" }, "tool --password ***" },
		{ { "tool", "--password=hun ter", "x" }, "tool '--password=***' x" },
		{ { "tool", "--password=hun'ter two", "x" }, "tool '--password=***' x" },
	};
	static const struct {
		const char *text, *want;
	} texts[] = {
		{ "run --token \"a\\\"b c\" d", "run --token *** d" },
		{ "run \"--token=a 'b' c\" d", "run \"--token=***\" d" },
		{ "{\"password\": \"a\\\"b\", \"c\": 1}", "{\"password\": ***, \"c\": 1}" },
		{ "mysql '-pa b' db", "mysql '-p***' db" },
		{ "sh -c 'token=a; rm -r /x'", "sh -c 'token=***; rm -r /x'" },
		{ "run --token 'a\\' b", "run --token *** b" },
		{ "run --token 'a'\\''", "run --token ***" },
	};
	char out[96];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(argvs); i++) {
		audit_redact_argv(argvs[i].argv, out, sizeof(out));
		assert_string_equal(out, argvs[i].want);
	}
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		audit_redact_text(texts[i].text, out, sizeof(out));
		assert_string_equal(out, texts[i].want);
	}
}

static void redaction_never_writes_beyond_its_room(void **state)
{
	static const char text[] = "run --password x https://u:p@h mysql -pabc Authorization: Basic q";
	char out[96];

	(void)state;
	for (size_t size = 1; size < sizeof(out); size++) {
		memset(out, '#', sizeof(out));
		audit_redact_text(text, out, size);
		assert_true(strlen(out) < size);
		assert_int_equal(out[size], '#');
	}
}

static void secret_parameters_are_hidden_at_any_depth(void **state)
{
	struct json_object *object =
		json_tokener_parse("{\"user\":\"u\",\"password\":\"x1\",\"in\":[{\"secretKey\":{\"a\":\"x1\"}}]}");
	char out[256], tiny[20];

	(void)state;
	audit_redact_object(object, out, sizeof(out));
	assert_string_equal(out, "{\"user\":\"u\",\"password\":\"***\",\"in\":[{\"secretKey\":\"***\"}]}");
	audit_redact_object(object, tiny, sizeof(tiny));
	assert_null(strstr(tiny, "x1"));
	json_object_put(object);
}

static void a_record_is_one_line_and_one_datagram(void **state)
{
	const struct audit_record record = { .phase = AUDIT_FINISHED,
					     .id = "a\nb",
					     .action = "unsafe",
					     .origin = "host",
					     .detail = "x\ny",
					     .error_code = "COMMAND_FAILED",
					     .has_exit_code = true,
					     .exit_code = 3,
					     .duration_ms = 12 };
	static const char want_json[] = "{\"type\":\"audit\",\"timestamp\":\"1970-01-01T00:00:00.000Z\",\"phase\":"
					"\"finished\",\"id\":\"a\\nb\",\"action\":\"unsafe\","
					"\"origin\":\"host\",\"detail\":\"x\\ny\",\"success\":false,\"error_code\":"
					"\"COMMAND_FAILED\",\"exit_code\":3,"
					"\"duration_ms\":12}\n";
	char out[AUDIT_RECORD_MAX];
	int len = audit_record_json(&record, 0, out, sizeof(out));

	(void)state;
	assert_int_equal(len, strlen(want_json));
	assert_memory_equal(out, want_json, strlen(want_json));
	len = audit_record_journal(&record, out, sizeof(out));
	assert_true(len > 0);
	assert_non_null(memmem(out, (size_t)len, "\nINFINISERVICE_ID\n\x03\0\0\0\0\0\0\0a\nb\n", 30));
	assert_non_null(memmem(out, (size_t)len, "\nINFINISERVICE_EXIT_CODE=3\n", 27));
	assert_non_null(memmem(out, (size_t)len, "\nMESSAGE_ID=" AUDIT_MESSAGE_ID "\n", 45));
	assert_int_equal(audit_record_json(&record, 0, out, 40), -ENOBUFS);
	assert_int_equal(audit_record_journal(&record, out, 40), -ENOBUFS);
}

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
		cmocka_unit_test(secrets_in_command_lines_are_hidden),
		cmocka_unit_test(an_empty_value_does_not_uncover_the_secret_of_the_next_option),
		cmocka_unit_test(an_argv_is_quoted_as_a_shell_would_read_it_and_a_cut_is_marked),
		cmocka_unit_test(no_part_of_a_secret_with_quotes_or_blanks_in_it_is_left),
		cmocka_unit_test(redaction_never_writes_beyond_its_room),
		cmocka_unit_test(secret_parameters_are_hidden_at_any_depth),
		cmocka_unit_test(a_record_is_one_line_and_one_datagram),
		cmocka_unit_test(interpreters_are_named_never_given_as_paths),
		cmocka_unit_test(names_of_inputs_become_names_of_variables),
		cmocka_unit_test(only_a_character_that_has_begun_waits_for_its_rest),
		cmocka_unit_test(batches_hold_encoded_samples_as_they_are),
	};

	return cmocka_run_group_tests_name("audit_record", tests, NULL, NULL);
}
