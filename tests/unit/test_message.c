/* SPDX-License-Identifier: MIT */
/* What a host may say, and how each wrong line is to be answered. "Row n" is a row of the fault matrix. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include <infiniservice/cleanup.h>

#include "transport/frame.h"
#include "transport/message.h"

static struct message_parser parser;
static struct message message;
static struct message_fault fault;

static int setup(void **state)
{
	(void)state;
	message_parser_init(&parser, 1);
	memset(&message, 0, sizeof(message));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	message_free(&message);
	message_parser_free(&parser);
	return 0;
}

static void parse(const char *line)
{
	int result;

	message_free(&message);
	result = message_parse(&parser, line, strlen(line), &message, &fault);
	if (result)
		fail_msg("%s: %s %s", line, code_name(fault.code), fault.text);
}

struct bad {
	const char *line;
	enum error_code code;
	const char *reason;
	const char *id; /* NULL: not readable */
};

static void refuse(const struct bad *bad)
{
	assert_int_equal(message_parse(&parser, bad->line, strlen(bad->line), &message, &fault), -EBADMSG);
	assert_null(message.root);
	if (fault.code != bad->code || strcmp(fault.reason, bad->reason) != 0 || fault.has_id != (bad->id != NULL))
		fail_msg("%s: %s %s, id %s", bad->line, code_name(fault.code), fault.reason,
			 fault.has_id ? fault.id : "null");
	assert_string_equal(fault.id, bad->id ? bad->id : "");
	assert_true(fault.text[0] != '\0');
}

static void refuse_all(const struct bad *bad, size_t count)
{
	for (size_t i = 0; i < count; i++)
		refuse(&bad[i]);
}

static void reads_a_safe_command(void **state)
{
	(void)state;
	parse("{\"type\":\"SafeCommand\",\"id\":\"c1\",\"command_type\":{\"action\":\"SystemInfo\"},\"params\":null,"
	      "\"timeout\":30}");
	assert_int_equal(message.type, MESSAGE_SAFE_COMMAND);
	assert_string_equal(message.id, "c1");
	assert_string_equal(message.action, "SystemInfo");
	assert_true(message.has_timeout);
	assert_int_equal(message.timeout_s, 30);
	assert_false(message.stream);
	assert_int_equal(message.retries, 0);
}

static void takes_null_and_absent_alike(void **state)
{
	(void)state;
	parse("{\"type\":\"SafeCommand\",\"id\":\"c1\",\"command_type\":{\"action\":\"A\",\"params\":null},\"timeout\":"
	      "null,"
	      "\"stream\":null,\"retries\":null}");
	assert_false(message.has_timeout);
	parse("{\"type\":\"UnsafeCommand\",\"id\":\"c1\",\"raw_command\":\"ls\",\"shell\":null,\"env_vars\":null,\"run_"
	      "as\":null}");
	assert_null(message.shell);
	assert_null(message.env_vars);
}

static const char *text_param(const char *name)
{
	const char *text = "absent";

	assert_true(message_param_text(&message, name, &text, &fault) >= 0);
	return text;
}

static void finds_parameters_wherever_the_host_puts_them(void **state)
{
	static const char *const lines[] = {
		"{\"type\":\"SafeCommand\",\"id\":\"1\",\"command_type\":{\"action\":\"ServiceControl\",\"service\":"
		"\"ssh\"}}",
		"{\"type\":\"SafeCommand\",\"id\":\"1\",\"command_type\":{\"action\":\"ServiceControl\",\"params\":{"
		"\"service\":\"ssh\"}}}",
		"{\"type\":\"SafeCommand\",\"id\":\"1\",\"command_type\":{\"action\":\"ServiceControl\"},\"params\":{"
		"\"service\":\"ssh\"}}",
		("{\"type\":\"SafeCommand\",\"id\":\"1\",\"command_type\":{\"action\":\"ServiceControl\",\"service\":"
		 "null,"
		 "\"params\":{\"service\":null}},\"params\":{\"service\":\"ssh\"}}"),
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(lines); i++) {
		parse(lines[i]);
		assert_string_equal(text_param("service"), "ssh");
		assert_string_equal(text_param("operation"), "absent");
		assert_string_equal(text_param("action"), "absent");
		assert_null(message_param(&message, "params"));
	}
	parse("{\"type\":\"SafeCommand\",\"id\":\"1\",\"command_type\":{\"action\":\"A\",\"x\":\"flat\",\"params\":{"
	      "\"x\":\"nested\"}},"
	      "\"params\":{\"x\":\"outer\",\"action\":\"param\"}}");
	assert_string_equal(text_param("x"), "nested");
	assert_string_equal(text_param("action"), "param");
}

/* Row 15 */
static void judges_the_type_and_range_of_parameters(void **state)
{
	int64_t number = 42;
	bool flag = false;
	const char *text;

	(void)state;
	parse("{\"type\":\"SafeCommand\",\"id\":\"1\",\"command_type\":{\"action\":\"A\",\"i\":5,\"n\":-1,\"r\":1.5,"
	      "\"u\":18446744073709551615,"
	      "\"b\":true,\"s\":\"a\\u0000b\"}}");
	assert_int_equal(message_param_integer(&message, "i", 0, 5, &number, &fault), 0);
	assert_int_equal(number, 5);
	assert_int_equal(message_param_integer(&message, "none", 0, 5, &number, &fault), 1);
	assert_int_equal(message_param_integer(&message, "n", 0, 5, &number, &fault), -EBADMSG);
	assert_string_equal(fault.reason, "out_of_range");
	assert_int_equal(message_param_integer(&message, "u", 0, 1000000, &number, &fault), -EBADMSG);
	assert_string_equal(fault.reason, "out_of_range");
	assert_int_equal(message_param_integer(&message, "r", 0, 5, &number, &fault), -EBADMSG);
	assert_string_equal(fault.reason, "bad_type");
	assert_int_equal(number, 5);
	assert_int_equal(fault.code, CODE_INVALID_PARAMETERS);
	assert_int_equal(message_param_bool(&message, "b", &flag, &fault), 0);
	assert_true(flag);
	assert_int_equal(message_param_bool(&message, "i", &flag, &fault), -EBADMSG);
	assert_int_equal(message_param_text(&message, "s", &text, &fault), -EBADMSG);
	assert_string_equal(fault.reason, "bad_value");
}

static void reads_an_unsafe_command(void **state)
{
	(void)state;
	parse("{\"type\":\"UnsafeCommand\",\"id\":\"c2\",\"raw_command\":\"echo "
	      "$A\",\"shell\":\"BASH\",\"timeout\":5,\"working_dir\":\"/tmp\","
	      "\"env_vars\":{\"A\":\"b\"},\"run_as\":\"nobody\",\"stream\":true,\"retries\":3}");
	assert_int_equal(message.type, MESSAGE_UNSAFE_COMMAND);
	assert_string_equal(message.raw_command, "echo $A");
	assert_string_equal(message.shell, "BASH");
	assert_string_equal(message.working_dir, "/tmp");
	assert_string_equal(message.run_as, "nobody");
	assert_int_equal(json_object_object_length(message.env_vars), 1);
	assert_int_equal(message.timeout_s, 5);
	assert_int_equal(message.retries, 3);
	assert_true(message.stream);
}

static void reads_the_messages_without_an_id(void **state)
{
	(void)state;
	parse("{\"type\":\"keep_alive_request\",\"sequence_number\":18446744073709551615,\"timestamp\":\"x\"}");
	assert_int_equal(message.type, MESSAGE_KEEP_ALIVE_REQUEST);
	assert_true(message.sequence_number == UINT64_MAX);
	parse("{\"type\":\"keep_alive_response\"}");
	assert_int_equal(message.type, MESSAGE_KEEP_ALIVE_RESPONSE);
	parse("{\"type\":\"pending_scripts_response\",\"scripts\":[{\"execution_id\":\"e\"}]}");
	assert_int_equal(message.type, MESSAGE_PENDING_SCRIPTS);
	assert_int_equal(json_object_array_length(message.items), 1);
	parse("{\"type\":\"Metrics\"}");
	assert_int_equal(message.type, MESSAGE_METRICS);
	parse("{\"type\":\"Ack\",\"seq\":9}");
	assert_int_equal(message.sequence_number, 9);
	parse("{\"type\":\"signed\",\"v\":1}");
	assert_int_equal(message.type, MESSAGE_SIGNED);
	assert_string_equal(message.id, "");
}

static void reads_the_additions(void **state)
{
	(void)state;
	parse("{\"type\":\"CommandBatch\",\"id\":\"b\",\"commands\":[{}],\"on_error\":\"stop\"}");
	assert_true(message.stop_on_error);
	parse("{\"type\":\"CommandBatch\",\"id\":\"b\",\"commands\":[]}");
	assert_false(message.stop_on_error);
	parse("{\"type\":\"CancelCommand\",\"id\":\"x\",\"target_id\":\"c1\"}");
	assert_string_equal(message.target_id, "c1");
	parse("{\"type\":\"Subscribe\",\"id\":\"s\",\"topics\":[\"metrics\"]}");
	assert_int_equal(json_object_array_length(message.items), 1);
	parse("{\"type\":\"Unsubscribe\",\"id\":\"s\"}");
	assert_null(message.items);
	parse("{\"type\":\"SetConfig\",\"id\":\"k\",\"values\":{\"a.b\":1}}");
	assert_int_equal(json_object_object_length(message.values), 1);
	parse("{\"type\":\"Status\",\"id\":\"q\"}");
	parse("{\"type\":\"GetHistory\",\"id\":\"h\",\"from_seq\":1}");
	assert_string_equal(message.id, "h");
}

static void reads_the_members_of_a_batch_one_by_one(void **state)
{
	struct message member = { 0 };

	(void)state;
	parse("{\"type\":\"CommandBatch\",\"id\":\"b\",\"commands\":[{\"type\":\"SafeCommand\",\"id\":\"b1\",\"command_"
	      "type\":{\"action\":\"A\"}},7]}");
	assert_int_equal(message_from_object(json_object_array_get_idx(message.items, 0), &member, &fault), 0);
	message_free(&message);
	assert_string_equal(member.action, "A");
	message_free(&member);
	assert_int_equal(message_from_object(NULL, &member, &fault), -EBADMSG);
	assert_string_equal(fault.reason, "not_object");
}

/* Rows 7 to 16: the validator's word, the id where it can be read. */
static void answers_damaged_json_by_its_reason(void **state)
{
	static const struct bad bad[] = {
		{ "{\"id\":\"c1\",\"type\":\"SafeCommand\",", CODE_INVALID_MESSAGE, "bad_json", "c1" },
		{ "garbage", CODE_INVALID_MESSAGE, "bad_json", NULL },
		{ "{\"id\":\"c1\",\"a\":\"\xff\"}", CODE_INVALID_MESSAGE, "bad_utf8", "c1" },
		{ "{\"id\":\"c1\",\"a\":[[[[[[[[[[[[[[[[[", CODE_INVALID_MESSAGE, "too_deep", "c1" },
		{ "{\"id\":\"c1\",\"a\":1,\"a\":2}", CODE_INVALID_MESSAGE, "duplicate_key", "c1" },
		{ "{\"id\":\"c1\",\"id\":\"c2\"}", CODE_INVALID_MESSAGE, "duplicate_key", NULL },
		{ "{\"id\":\"c1\",\"a\\u0000\":2}", CODE_INVALID_MESSAGE, "nul_in_key", "c1" },
		{ "{\"id\":\"c1\",\"timeout\":18446744073709551616}", CODE_INVALID_MESSAGE, "out_of_range", "c1" },
		{ "{\"id\":\"c1\",\"timeout\":NaN}", CODE_INVALID_MESSAGE, "bad_json", "c1" },
		{ "[1]", CODE_INVALID_MESSAGE, "not_object", NULL },
	};

	(void)state;
	refuse_all(bad, ARRAY_SIZE(bad));
}

/* Row 10 */
static void answers_a_flood_of_tokens(void **state)
{
	size_t count = 5000, len = 0;
	char *line = malloc(3 * count + 64);

	(void)state;
	assert_non_null(line);
	len += (size_t)sprintf(line, "{\"id\":\"c1\",\"a\":[{}");
	for (size_t i = 0; i < count; i++, len += 3)
		memcpy(line + len, ",{}", 4);
	memcpy(line + len, "]}", 3);
	refuse(&(struct bad){ line, CODE_INVALID_MESSAGE, "too_many_tokens", "c1" });
	free(line);
}

/* Rows 15, 16 and 27 */
static void answers_wrong_types_and_ranges(void **state)
{
#define COMMAND(rest) "{\"type\":\"SafeCommand\",\"id\":\"c1\",\"command_type\":{\"action\":\"A\"}," rest "}"
#define UNSAFE(rest)  "{\"type\":\"UnsafeCommand\",\"id\":\"c1\",\"raw_command\":\"ls\"," rest "}"
	static const struct bad bad[] = {
		{ COMMAND("\"timeout\":1.5"), CODE_INVALID_PARAMETERS, "bad_type", "c1" },
		{ COMMAND("\"timeout\":\"30\""), CODE_INVALID_PARAMETERS, "bad_type", "c1" },
		{ COMMAND("\"timeout\":0"), CODE_INVALID_PARAMETERS, "out_of_range", "c1" },
		{ COMMAND("\"timeout\":-1"), CODE_INVALID_PARAMETERS, "out_of_range", "c1" },
		{ COMMAND("\"timeout\":18446744073709551615"), CODE_INVALID_PARAMETERS, "out_of_range", "c1" },
		{ COMMAND("\"retries\":11"), CODE_INVALID_PARAMETERS, "out_of_range", "c1" },
		{ COMMAND("\"stream\":1"), CODE_INVALID_PARAMETERS, "bad_type", "c1" },
		{ COMMAND("\"params\":[]"), CODE_INVALID_PARAMETERS, "bad_type", "c1" },
		{ UNSAFE("\"shell\":1"), CODE_INVALID_PARAMETERS, "bad_type", "c1" },
		{ UNSAFE("\"env_vars\":{\"A\":1}"), CODE_INVALID_PARAMETERS, "bad_type", "c1" },
		{ UNSAFE("\"env_vars\":{\"A\":null}"), CODE_INVALID_PARAMETERS, "bad_type", "c1" },
		{ UNSAFE("\"env_vars\":{\"A=B\":\"c\"}"), CODE_INVALID_PARAMETERS, "bad_value", "c1" },
		{ UNSAFE("\"working_dir\":\"/\\u0000\""), CODE_INVALID_PARAMETERS, "bad_value", "c1" },
		{ "{\"type\":\"keep_alive_request\",\"sequence_number\":-1}", CODE_INVALID_MESSAGE, "out_of_range",
		  NULL },
		{ "{\"type\":\"CommandBatch\",\"id\":\"c1\",\"commands\":[],\"on_error\":\"x\"}",
		  CODE_INVALID_PARAMETERS, "bad_value", "c1" },
	};

	(void)state;
	refuse_all(bad, ARRAY_SIZE(bad));
}

static void answers_missing_fields(void **state)
{
	static const struct bad bad[] = {
		{ "{}", CODE_INVALID_MESSAGE, "missing_field", NULL },
		{ "{\"id\":\"c1\"}", CODE_INVALID_MESSAGE, "missing_field", "c1" },
		{ "{\"type\":7,\"id\":\"c1\"}", CODE_INVALID_MESSAGE, "bad_type", "c1" },
		{ "{\"type\":\"SafeCommand\",\"id\":\"c1\"}", CODE_INVALID_MESSAGE, "missing_field", "c1" },
		{ "{\"type\":\"SafeCommand\",\"id\":\"c1\",\"command_type\":\"A\"}", CODE_INVALID_MESSAGE, "bad_type",
		  "c1" },
		{ "{\"type\":\"SafeCommand\",\"id\":\"c1\",\"command_type\":{}}", CODE_INVALID_MESSAGE, "missing_field",
		  "c1" },
		{ "{\"type\":\"SafeCommand\",\"id\":\"c1\",\"command_type\":{\"action\":\"\"}}", CODE_INVALID_MESSAGE,
		  "bad_value", "c1" },
		{ "{\"type\":\"UnsafeCommand\",\"id\":\"c1\"}", CODE_INVALID_MESSAGE, "missing_field", "c1" },
		{ "{\"type\":\"UnsafeCommand\",\"id\":\"c1\",\"raw_command\":\"\"}", CODE_INVALID_MESSAGE, "bad_value",
		  "c1" },
		{ "{\"type\":\"keep_alive_request\"}", CODE_INVALID_MESSAGE, "missing_field", NULL },
		{ "{\"type\":\"pending_scripts_response\"}", CODE_INVALID_MESSAGE, "missing_field", NULL },
		{ "{\"type\":\"CancelCommand\",\"id\":\"c1\"}", CODE_INVALID_MESSAGE, "missing_field", "c1" },
	};

	(void)state;
	refuse_all(bad, ARRAY_SIZE(bad));
}

/* Row 17 */
static void answers_a_bad_id_without_one(void **state)
{
	static const struct bad bad[] = {
		{ "{\"type\":\"Status\"}", CODE_INVALID_MESSAGE, "missing_id", NULL },
		{ "{\"type\":\"Status\",\"id\":null}", CODE_INVALID_MESSAGE, "missing_id", NULL },
		{ "{\"type\":\"Status\",\"id\":\"\"}", CODE_INVALID_MESSAGE, "bad_id", NULL },
		{ "{\"type\":\"Status\",\"id\":7}", CODE_INVALID_MESSAGE, "bad_id", NULL },
		{ "{\"type\":\"Status\",\"id\":\"a\\u0000\"}", CODE_INVALID_MESSAGE, "bad_id", NULL },
	};
	char line[256];

	(void)state;
	refuse_all(bad, ARRAY_SIZE(bad));
	snprintf(line, sizeof(line), "{\"type\":\"Status\",\"id\":\"%0129d\"}", 0);
	refuse(&(struct bad){ line, CODE_INVALID_MESSAGE, "bad_id", NULL });
	snprintf(line, sizeof(line), "{\"type\":\"Status\",\"id\":\"%0128d\"}", 0);
	parse(line);
	assert_int_equal(strlen(message.id), 128);
}

/* Row 19: an unknown type is refused, an unknown field ignored. */
static void answers_an_unknown_type_and_ignores_unknown_fields(void **state)
{
	(void)state;
	refuse(&(struct bad){ "{\"type\":\"Nope\",\"id\":\"c1\"}", CODE_UNKNOWN_COMMAND, "unknown_type", "c1" });
	refuse(&(struct bad){ "{\"type\":\"safecommand\"}", CODE_UNKNOWN_COMMAND, "unknown_type", NULL });
	parse("{\"type\":\"Status\",\"id\":\"c1\",\"new\":{\"field\":[1]}}");
}

/* Rows 5, 6 and 8 */
static void words_the_faults_of_framing(void **state)
{
	(void)state;
	message_fault_of_frame(FRAME_TOO_LONG, &fault);
	assert_int_equal(fault.code, CODE_TOO_LARGE);
	assert_string_equal(fault.reason, "line_too_long");
	message_fault_of_frame(FRAME_GARBLED, &fault);
	assert_string_equal(fault.reason, "bad_utf8");
	assert_false(fault.has_id);
}

static void parses_on_after_a_huge_string(void **state)
{
	size_t size = 1 << 20;
	char *line = malloc(size + 100);
	size_t len;

	(void)state;
	assert_non_null(line);
	len = (size_t)sprintf(line, "{\"type\":\"UnsafeCommand\",\"id\":\"c1\",\"raw_command\":\"");
	memset(line + len, 'x', size);
	memcpy(line + len + size, "\"}", 3);
	parse(line);
	free(line);
	assert_int_equal(strlen(message.raw_command), size);
	assert_null(parser.tokener);
	parse("{\"type\":\"Metrics\"}");
}

static void takes_the_deepest_nesting_allowed(void **state)
{
	(void)state;
	parse("{\"type\":\"Metrics\",\"a\":[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]}");
	parse(" {\"type\":\"Metrics\",\"a\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]} \t");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(reads_a_safe_command),
		TEST(takes_null_and_absent_alike),
		TEST(finds_parameters_wherever_the_host_puts_them),
		TEST(judges_the_type_and_range_of_parameters),
		TEST(reads_an_unsafe_command),
		TEST(reads_the_messages_without_an_id),
		TEST(reads_the_additions),
		TEST(reads_the_members_of_a_batch_one_by_one),
		TEST(answers_damaged_json_by_its_reason),
		TEST(answers_a_flood_of_tokens),
		TEST(answers_wrong_types_and_ranges),
		TEST(answers_missing_fields),
		TEST(answers_a_bad_id_without_one),
		TEST(answers_an_unknown_type_and_ignores_unknown_fields),
		TEST(words_the_faults_of_framing),
		TEST(parses_on_after_a_huge_string),
		TEST(takes_the_deepest_nesting_allowed),
	};

	return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
