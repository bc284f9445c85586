/* SPDX-License-Identifier: MIT */
/* What passes the gate in front of json-c and what does not. "Row n" is a row of the fault matrix. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "transport/json_check.h"

static struct json_check check;

struct sample {
	const char *text;
	enum json_reason reason;
};

static enum json_reason judge(const char *text, size_t len)
{
	struct json_fault fault = { JSON_OK, 0 };
	/* An exact-size copy, so that a sanitizer sees one byte too many. */
	char *copy = malloc(len ? len : 1);
	int result;

	assert_non_null(copy);
	memcpy(copy, text, len);
	result = json_check_line(&check, copy, len, NULL, &fault);
	free(copy);
	assert_int_equal(result < 0, fault.reason != JSON_OK);
	assert_true(fault.offset <= len);
	return fault.reason;
}

static void judge_all(const struct sample *samples, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		enum json_reason reason = judge(samples[i].text, strlen(samples[i].text));

		if (reason != samples[i].reason)
			fail_msg("%s: %s, expected %s", samples[i].text, json_fault_reason(reason),
				 json_fault_reason(samples[i].reason));
	}
}

static void accepts_valid_objects(void **state)
{
	static const struct sample samples[] = {
		{ "{}", JSON_OK },
		{ " \t{ \"a\" : [ ] , \"b\" : { } }\r", JSON_OK },
		{ "{\"a\":[1,-0,0.5,1e10,1E-10,-1.25e+3,true,false,null,\"\"]}", JSON_OK },
		{ "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\\u0000\"}", JSON_OK },
		{ "{\"a\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\x7f\"}", JSON_OK },
		{ "{\"a\":{\"a\":{\"a\":1}},\"b\":[{\"a\":1},{\"a\":2}]}", JSON_OK },
	};

	(void)state;
	judge_all(samples, ARRAY_SIZE(samples));
}

/* Row 7 */
static void rejects_raw_nul_and_control_bytes(void **state)
{
	static const char in_string[] = "{\"a\":\"x\0y\"}", outside[] = "{}\0";

	(void)state;
	assert_int_equal(judge(in_string, sizeof(in_string) - 1), JSON_BAD_JSON);
	assert_int_equal(judge(outside, sizeof(outside) - 1), JSON_BAD_JSON);
	assert_int_equal(judge("{\"a\":\"x\ty\"}", 10), JSON_BAD_JSON);
	assert_int_equal(judge("{\"a\":\"x\x1fy\"}", 10), JSON_BAD_JSON);
}

/* Row 8 */
static void rejects_bytes_that_are_not_utf8(void **state)
{
	static const char *const bad[] = {
		"\x80",
		"\xbf",
		"\xc0\xaf",
		"\xc1\xbf",
		"\xe0\x80\xaf",
		"\xe0\x9f\xbf",
		"\xf0\x80\x80\xaf",
		"\xf0\x8f\xbf\xbf",
		"\xed\xa0\x80",
		"\xed\xbf\xbf",
		"\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80",
		"\xfe",
		"\xff",
		"\xc3",
		"\xe2\x82",
		"\xf0\x9f\x98",
		"\xc3(",
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		char line[64];

		snprintf(line, sizeof(line), "{\"a\":\"%s\"}", bad[i]);
		assert_int_equal(judge(line, strlen(line)), JSON_BAD_UTF8);
		snprintf(line, sizeof(line), "{\"%s\":1}", bad[i]);
		assert_int_equal(judge(line, strlen(line)), JSON_BAD_UTF8);
	}
}

static char *repeat(const char *before, const char *unit, size_t count, const char *after)
{
	size_t unit_len = strlen(unit), len = strlen(before);
	char *text = malloc(len + unit_len * count + strlen(after) + 1);

	assert_non_null(text);
	memcpy(text, before, len);
	for (size_t i = 0; i < count; i++, len += unit_len)
		memcpy(text + len, unit, unit_len);
	memcpy(text + len, after, strlen(after) + 1);
	return text;
}

static void expect(char *text, enum json_reason reason)
{
	assert_int_equal(judge(text, strlen(text)), reason);
	free(text);
}

/* Row 9 */
static void rejects_nesting_beyond_sixteen_levels(void **state)
{
	(void)state;
	expect(repeat("", "[", 100000, ""), JSON_TOO_DEEP);
	expect(repeat("", "{\"a\":", 100000, ""), JSON_TOO_DEEP);
	expect(repeat("{\"a\":", "[", 15, "]]]]]]]]]]]]]]]}"), JSON_OK);
	expect(repeat("{\"a\":", "[", 16, "]]]]]]]]]]]]]]]]}"), JSON_TOO_DEEP);
}

/* Rows 10 and 11 */
static void rejects_more_tokens_than_the_limit(void **state)
{
	(void)state;
	expect(repeat("[{}", ",{}", 300000, "]"), JSON_TOO_MANY_TOKENS);
	expect(repeat("{\"a\":[1", ",1", JSON_TOKENS_MAX - 4, "]}"), JSON_OK);
	expect(repeat("{\"a\":[1", ",1", JSON_TOKENS_MAX - 3, "]}"), JSON_TOO_MANY_TOKENS);
}

/* Row 11 */
static void rejects_sixty_thousand_keys(void **state)
{
	char *text = malloc(60000 * 12), *at = text;

	(void)state;
	assert_non_null(text);
	*at++ = '{';
	for (unsigned i = 0; i < 60000; i++)
		at += sprintf(at, "%s\"k%u\":1", i ? "," : "", i);
	strcpy(at, "}");
	expect(text, JSON_TOO_MANY_TOKENS);
}

static char *many_keys(unsigned count, const char *last)
{
	char *text = malloc(count * 12 + 100), *at = text;

	assert_non_null(text);
	*at++ = '{';
	for (unsigned i = 0; i < count; i++)
		at += sprintf(at, "\"k%u\":1,", i);
	sprintf(at, "\"%s\":1}", last);
	return text;
}

/* Row 12 */
static void rejects_keys_given_twice_however_written(void **state)
{
	static const struct sample samples[] = {
		{ "{\"a\":1,\"a\":2}", JSON_DUPLICATE_KEY },
		{ "{\"a\":1,\"\\u0061\":2}", JSON_DUPLICATE_KEY },
		{ "{\"\xc3\xa9\":1,\"\\u00E9\":2}", JSON_DUPLICATE_KEY },
		{ "{\"\xf0\x9f\x98\x80\":1,\"\\ud83d\\ude00\":2}", JSON_DUPLICATE_KEY },
		{ "{\"/\":1,\"\\/\":2}", JSON_DUPLICATE_KEY },
		{ "{\"\":1,\"\":2}", JSON_DUPLICATE_KEY },
		{ "{\"x\":{\"b\":1,\"a\":{\"b\":1},\"b\":2}}", JSON_DUPLICATE_KEY },
		{ "{\"a\":1,\"ab\":2,\"A\":3,\"a \":4}", JSON_OK },
	};

	(void)state;
	judge_all(samples, ARRAY_SIZE(samples));
	for (unsigned count = 1; count < 2000; count += count / 8 + 1) {
		char name[16];

		snprintf(name, sizeof(name), "k%u", count / 2);
		expect(many_keys(count, name), JSON_DUPLICATE_KEY);
		expect(many_keys(count, "other"), JSON_OK);
	}
}

/* Row 13 */
static void rejects_nul_in_a_key_but_not_in_a_value(void **state)
{
	static const struct sample samples[] = {
		{ "{\"a\\u0000b\":1}", JSON_NUL_IN_KEY },
		{ "{\"x\":{\"\\u0000\":1}}", JSON_NUL_IN_KEY },
		{ "{\"a\":\"x\\u0000y\"}", JSON_OK },
	};

	(void)state;
	judge_all(samples, ARRAY_SIZE(samples));
}

/* Rows 14 and 15 */
static void rejects_numbers_that_are_none_or_do_not_fit(void **state)
{
	static const struct sample samples[] = {
		{ "{\"a\":NaN}", JSON_BAD_JSON },
		{ "{\"a\":Infinity}", JSON_BAD_JSON },
		{ "{\"a\":-Infinity}", JSON_BAD_JSON },
		{ "{\"a\":1e999}", JSON_OUT_OF_RANGE },
		{ "{\"a\":-1e309}", JSON_OUT_OF_RANGE },
		{ "{\"a\":1e99999999999999999999}", JSON_OUT_OF_RANGE },
		{ "{\"a\":0.00001e314}", JSON_OUT_OF_RANGE },
		{ "{\"a\":1.7976931348623157e308}", JSON_OK },
		{ "{\"a\":1.7976931348623159e308}", JSON_OUT_OF_RANGE },
		{ "{\"a\":0.00017976931348623157e312}", JSON_OK },
		{ "{\"a\":0e999}", JSON_OK },
		{ "{\"a\":1e-999}", JSON_OK },
		{ "{\"a\":18446744073709551615}", JSON_OK },
		{ "{\"a\":18446744073709551616}", JSON_OUT_OF_RANGE },
		{ "{\"a\":-9223372036854775808}", JSON_OK },
		{ "{\"a\":-9223372036854775809}", JSON_OUT_OF_RANGE },
		{ "{\"a\":99999999999999999999999}", JSON_OUT_OF_RANGE },
		{ "{\"a\":01}", JSON_BAD_JSON },
		{ "{\"a\":-}", JSON_BAD_JSON },
		{ "{\"a\":+1}", JSON_BAD_JSON },
		{ "{\"a\":.5}", JSON_BAD_JSON },
		{ "{\"a\":1.}", JSON_BAD_JSON },
		{ "{\"a\":1e}", JSON_BAD_JSON },
		{ "{\"a\":0x10}", JSON_BAD_JSON },
		{ "{\"a\":1", JSON_BAD_JSON },
	};

	(void)state;
	judge_all(samples, ARRAY_SIZE(samples));
}

/* Row 16 */
static void rejects_what_is_no_single_strict_object(void **state)
{
	static const struct sample samples[] = {
		{ "[]", JSON_NOT_OBJECT },
		{ "\"x\"", JSON_NOT_OBJECT },
		{ "12", JSON_NOT_OBJECT },
		{ "null", JSON_NOT_OBJECT },
		{ "", JSON_BAD_JSON },
		{ "{} {}", JSON_BAD_JSON },
		{ "{}x", JSON_BAD_JSON },
		{ "{'a':1}", JSON_BAD_JSON },
		{ "{\"a\":'x'}", JSON_BAD_JSON },
		{ "{a:1}", JSON_BAD_JSON },
		{ "{\"a\":1,}", JSON_BAD_JSON },
		{ "{\"a\":[1,]}", JSON_BAD_JSON },
		{ "{\"a\":[,1]}", JSON_BAD_JSON },
		{ "{,}", JSON_BAD_JSON },
		{ "{\"a\" 1}", JSON_BAD_JSON },
		{ "{\"a\":1 \"b\":2}", JSON_BAD_JSON },
		{ "{\"a\":[1}}", JSON_BAD_JSON },
		{ "{\"a\":{1]}", JSON_BAD_JSON },
		{ "{\"a\":1}/*x*/", JSON_BAD_JSON },
		{ "{\"a\":1 // x", JSON_BAD_JSON },
		{ "{\"a\":TRUE}", JSON_BAD_JSON },
		{ "{\"a\":tru", JSON_BAD_JSON },
		{ "{\"a\":\"x", JSON_BAD_JSON },
		{ "{\"a\":\"\\x41\"}", JSON_BAD_JSON },
		{ "{\"a\":\"\\u12g4\"}", JSON_BAD_JSON },
		{ "{\"a\":\"\\u12", JSON_BAD_JSON },
		{ "{\"a\":\"\\", JSON_BAD_JSON },
		{ "{\"a\":\"\\ud800\"}", JSON_BAD_JSON },
		{ "{\"a\":\"\\udc00\"}", JSON_BAD_JSON },
		{ "{\"a\":\"\\ud800\\u0041\"}", JSON_BAD_JSON },
		{ "\xef\xbb\xbf{}", JSON_BAD_JSON },
	};

	(void)state;
	judge_all(samples, ARRAY_SIZE(samples));
}

static void says_where_the_fault_is(void **state)
{
	struct json_fault fault;

	(void)state;
	assert_true(json_check_line(&check, "{\"a\":1,\"a\":2}", 13, NULL, &fault) < 0);
	assert_int_equal(fault.offset, 8);
	assert_true(json_check_line(&check, "{\"a\":\"\xff\"}", 9, NULL, &fault) < 0);
	assert_int_equal(fault.offset, 6);
}

static void obeys_lower_limits(void **state)
{
	const struct json_limits limits = { .depth = 2, .tokens = 4 };
	struct json_fault fault;

	(void)state;
	assert_int_equal(json_check_line(&check, "{\"a\":[1]}", 9, &limits, &fault), 0);
	assert_true(json_check_line(&check, "{\"a\":[[]]}", 10, &limits, &fault) < 0);
	assert_int_equal(fault.reason, JSON_TOO_DEEP);
	assert_true(json_check_line(&check, "{\"a\":[1,2]}", 11, &limits, &fault) < 0);
	assert_int_equal(fault.reason, JSON_TOO_MANY_TOKENS);
}

static void forgets_the_keys_of_earlier_lines_even_after_the_counter_wraps(void **state)
{
	(void)state;
	check.round = UINT32_MAX - 2;
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(judge("{\"a\":1}", 7), JSON_OK);
		assert_int_equal(judge("{\"a\":1,\"a\":1}", 13), JSON_DUPLICATE_KEY);
	}
}

/* Row 17 and the readable ids of rows 7 to 16 */
static void reads_an_id_from_a_faulty_line(void **state)
{
	static const struct {
		const char *line, *id;
	} samples[] = {
		{ "{\"id\":\"c1\",\"a\":NaN}", "c1" },
		{ "{\"a\":NaN,\"id\":\"c1\"}", "c1" },
		{ "{\"id\":\"c1\"", "c1" },
		{ "{\"a\":{\"id\":\"inner\"},\"b\":[\"]\"],\"id\":\"c1\",}", "c1" },
		{ "{\"a\":\"\\\"\",\"id\":\"c\\u0031\"} x", "c1" },
		{ "{\"\\u0069d\":\"c1\",\"a\":1,\"a\":2}", "c1" },
		{ "{\"a\":\"\xff\",\"id\":\"c1\"}", "c1" },
		{ "{\"id\":\"a\",\"id\":\"b\"}", NULL },
		{ "{\"id\":\"\",\"a\":NaN}", NULL },
		{ "{\"id\":7,\"a\":NaN}", NULL },
		{ "{\"id\":\"a\\u0000\",\"a\":NaN}", NULL },
		{ "{\"id\":\"a\xff\"}", NULL },
		{ "{\"id\":\"c1", NULL },
		{ "{'x':\"y\",\"id\":\"c1\"}", NULL },
		{ "{\"a\":'x,\"id\":\"c1\"}", NULL },
		{ "[\"id\",\"c1\"]", NULL },
		{ "{\"a\":[{\"id\":\"c1\"}", NULL },
		{ "", NULL },
		{ "{\"type\":\"Status\",\"id\":\"half{\"type\":\"Status\",\"id\":\"whole\"}", NULL },
		{ "{\"id\":\"half{\"id\":\"whole\"}", NULL },
	};
	char id[JSON_ID_MAX + 1];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(samples); i++) {
		size_t len = json_scan_id(samples[i].line, strlen(samples[i].line), id);

		if ((len > 0) != (samples[i].id != NULL))
			fail_msg("%s: %zu", samples[i].line, len);
		if (samples[i].id)
			assert_string_equal(id, samples[i].id);
	}
}

/* Row 17 */
static void reads_no_id_that_is_too_long(void **state)
{
	char id[JSON_ID_MAX + 1];
	char *fits = repeat("{\"id\":\"", "x", JSON_ID_MAX, "\",}"),
	     *over = repeat("{\"id\":\"", "x", JSON_ID_MAX + 1, "\",}");

	(void)state;
	assert_int_equal(json_scan_id(fits, strlen(fits), id), JSON_ID_MAX);
	assert_int_equal(json_scan_id(over, strlen(over), id), 0);
	free(fits);
	free(over);
}

static int setup(void **state)
{
	(void)state;
	json_check_init(&check, 12345);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_valid_objects),
		cmocka_unit_test(rejects_raw_nul_and_control_bytes),
		cmocka_unit_test(rejects_bytes_that_are_not_utf8),
		cmocka_unit_test(rejects_nesting_beyond_sixteen_levels),
		cmocka_unit_test(rejects_more_tokens_than_the_limit),
		cmocka_unit_test(rejects_sixty_thousand_keys),
		cmocka_unit_test(rejects_keys_given_twice_however_written),
		cmocka_unit_test(rejects_nul_in_a_key_but_not_in_a_value),
		cmocka_unit_test(rejects_numbers_that_are_none_or_do_not_fit),
		cmocka_unit_test(rejects_what_is_no_single_strict_object),
		cmocka_unit_test(says_where_the_fault_is),
		cmocka_unit_test(obeys_lower_limits),
		cmocka_unit_test(forgets_the_keys_of_earlier_lines_even_after_the_counter_wraps),
		cmocka_unit_test(reads_an_id_from_a_faulty_line),
		cmocka_unit_test(reads_no_id_that_is_too_long),
	};

	return cmocka_run_group_tests_name("json_check", tests, setup, NULL);
}
