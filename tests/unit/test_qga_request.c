/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <json-c/json.h>

#include <infiniservice/cleanup.h>

#include "agent/qga/request.h"

static const struct qga_param params[] = {
	{ "id", QGA_INTEGER, true }, { "path", QGA_TEXT, false },      { "mode", QGA_BOOL, false },
	{ "list", QGA_LIST, false }, { "options", QGA_OBJECT, false }, { NULL, QGA_TEXT, false },
};

static const char *fault_of(const char *text)
{
	static char fault[QGA_FAULT_SIZE];
	struct qga_request request;

	fault[0] = '\0';
	if (qga_request_parse(text, strlen(text), &request, fault) == 0)
		qga_request_check(&request, params, fault);
	qga_request_free(&request);
	return fault;
}

static void faults_are_worded_as_qemus_agent_words_them(void **state)
{
	static const char *const cases[][2] = {
		{ "{}", "QMP input lacks member 'execute'" },
		{ "{\"execute\":1}", "QMP input member 'execute' must be a string" },
		{ "{\"execute\":null}", "QMP input member 'execute' must be a string" },
		{ "{\"execute\":\"x\",\"arguments\":[]}", "QMP input member 'arguments' must be an object" },
		{ "{\"execute\":\"x\",\"foo\":1}", "QMP input member 'foo' is unexpected" },
		{ "{\"exec-oob\":\"x\"}", "QMP input member 'exec-oob' is unexpected" },
		{ "{\"execute\":\"x\"}", "Parameter 'id' is missing" },
		{ "{\"execute\":\"x\",\"arguments\":{}}", "Parameter 'id' is missing" },
		{ "{\"execute\":\"x\",\"arguments\":{\"id\":1,\"foo\":2}}", "Parameter 'foo' is unexpected" },
		{ "{\"execute\":\"x\",\"arguments\":{\"id\":\"1\"}}",
		  "Invalid parameter type for 'id', expected: integer" },
		{ "{\"execute\":\"x\",\"arguments\":{\"id\":1.5}}",
		  "Invalid parameter type for 'id', expected: integer" },
		{ "{\"execute\":\"x\",\"arguments\":{\"id\":null}}",
		  "Invalid parameter type for 'id', expected: integer" },
		{ "{\"execute\":\"x\",\"arguments\":{\"id\":18446744073709551615}}",
		  "Invalid parameter type for 'id', expected: integer" },
		{ "{\"execute\":\"x\",\"arguments\":{\"id\":9223372036854775807}}", "" },
		{ "{\"execute\":\"x\",\"arguments\":{\"id\":-9223372036854775808}}", "" },
		{ "{\"execute\":\"x\",\"arguments\":{\"id\":1,\"mode\":1}}",
		  "Invalid parameter type for 'mode', expected: boolean" },
		{ "{\"execute\":\"x\",\"arguments\":{\"id\":1,\"list\":{}}}",
		  "Invalid parameter type for 'list', expected: array" },
		{ "{\"execute\":\"x\",\"arguments\":{\"id\":1,\"path\":\"a\\u0000b\"}}",
		  "Parameter 'path' holds a NUL" },
		{ "{\"execute\":\"x\",\"arguments\":{\"id\":1,\"options\":{},\"list\":[],\"path\":\"\"},\"id\":{}}",
		  "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(fault_of(cases[i][0]), cases[i][1]);
}

static void arguments_are_read_or_have_their_default(void **state)
{
	static const char text[] =
		"{\"execute\":\"x\",\"arguments\":{\"id\":5,\"path\":\"/a\",\"mode\":true},\"id\":null}";
	struct qga_request request;
	char fault[QGA_FAULT_SIZE];

	(void)state;
	assert_int_equal(qga_request_parse(text, strlen(text), &request, fault), 0);
	assert_string_equal(request.command, "x");
	assert_true(request.has_id);
	assert_null(request.id);
	assert_int_equal(qga_request_integer(&request, "id", 1), 5);
	assert_int_equal(qga_request_integer(&request, "count", 7), 7);
	assert_string_equal(qga_request_text(&request, "path", ""), "/a");
	assert_string_equal(qga_request_text(&request, "buf", "none"), "none");
	assert_true(qga_request_bool(&request, "mode", false));
	assert_false(qga_request_bool(&request, "block", false));
	assert_null(qga_request_get(&request, "list"));
	qga_request_free(&request);
}

static void a_faulty_request_keeps_its_id(void **state)
{
	static const char *const texts[] = { "{\"foo\":1,\"id\":[3]}", "{\"id\":[3],\"execute\":2}" };
	struct qga_request request;
	char fault[QGA_FAULT_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(qga_request_parse(texts[i], strlen(texts[i]), &request, fault), -EBADMSG);
		assert_true(request.has_id && request.id);
		qga_request_free(&request);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_are_worded_as_qemus_agent_words_them),
		cmocka_unit_test(arguments_are_read_or_have_their_default),
		cmocka_unit_test(a_faulty_request_keeps_its_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
