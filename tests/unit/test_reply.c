/* SPDX-License-Identifier: MIT */
/* The messages of the guest as the host reads them, and the caps on those that carry output. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "transport/json_check.h"
#include "transport/reply.h"

#define WALL	   1767323045678 /* 2026-01-02T03:04:05.678Z */
#define HEAD(type) "{\"type\":\"" type "\",\"timestamp\":\"2026-01-02T03:04:05.678Z\","

static struct json_writer w;
static struct json_check check;
static char *buffer, *flood;

static int group_setup(void **state)
{
	(void)state;
	buffer = malloc(REPLY_LINE_MAX);
	flood = malloc(REPLY_LINE_MAX);
	json_check_init(&check, 1);
	return buffer && flood ? 0 : -1;
}

static int group_teardown(void **state)
{
	(void)state;
	free(buffer);
	free(flood);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	json_writer_init(&w, buffer, REPLY_LINE_MAX);
	return 0;
}

static void expect(int result, const char *text)
{
	assert_int_equal(result, 0);
	assert_int_equal(w.buf[w.len - 1], '\n');
	w.buf[w.len - 1] = '\0';
	assert_string_equal(w.buf, text);
}

static void says_handshake(void **state)
{
	static const char *const capabilities[] = { "metrics", "commands", NULL };

	(void)state;
	expect(reply_handshake(&w, WALL, "vm-1", "0.1.0", "0123456789abcdef", capabilities),
	       HEAD("handshake") "\"vm_id\":\"vm-1\",\"version\":\"0.1.0\",\"platform\":\"linux\",\"generation\":"
				 "\"0123456789abcdef\",\"capabilities\":["
				 "\"metrics\",\"commands\"]}");
}

static void says_keep_alive(void **state)
{
	(void)state;
	expect(reply_keep_alive(&w, WALL, UINT64_MAX), HEAD("keep_alive") "\"sequence_number\":18446744073709551615}");
}

static void add_detail(struct sink *sink, const void *arg)
{
	sink_str(sink, "line", arg);
}

static void says_error_with_its_details(void **state)
{
	const struct reply_error error = {
		.text = "the line is no JSON",
		.component = "transport",
		.code = CODE_INVALID_MESSAGE,
		.reason = "bad_json",
	};
	const struct reply_error duplicate = {
		.component = "commands",
		.code = CODE_DUPLICATE_ID,
		.id = "c1",
		.details = add_detail,
		.arg = "x",
	};

	(void)state;
	expect(reply_error(&w, WALL, &error),
	       HEAD("error") "\"error\":\"the line is no "
			     "JSON\",\"details\":{\"component\":\"transport\",\"code\":\"INVALID_MESSAGE\","
			     "\"reason\":\"bad_json\",\"id\":null}}");
	expect(reply_error(&w, WALL, &duplicate), HEAD("error") "\"error\":\"DUPLICATE_ID\",\"details\":{\"component\":"
								"\"commands\",\"code\":\"DUPLICATE_ID\","
								"\"reason\":null,\"id\":\"c1\",\"line\":\"x\"}}");
}

static void says_error_report(void **state)
{
	const struct reply_error_report report = { "port_stalled", REPLY_RECOVERABLE, 2, 5, "none", "vm-1" };

	(void)state;
	expect(reply_error_report(&w, WALL, &report),
	       HEAD("error_report") "\"error_type\":\"port_stalled\",\"severity\":\"Recoverable\",\"windows_error_"
				    "code\":null,"
				    "\"retry_attempt\":2,\"max_retries\":5,\"recovery_suggestion\":\"none\",\"vm_id\":"
				    "\"vm-1\"}");
}

static void says_the_state_of_the_circuit_breaker(void **state)
{
	const struct reply_breaker_state open = { REPLY_BREAKER_OPEN, 5, WALL, 30 },
					 closed = { REPLY_BREAKER_CLOSED, 0, -1, -1 };

	(void)state;
	expect(reply_circuit_breaker_state(&w, WALL, &open),
	       HEAD("circuit_breaker_state") "\"state\":\"Open\",\"failure_count\":5,"
					     "\"last_failure_time\":\"2026-01-02T03:04:05.678Z\",\"recovery_eta_"
					     "seconds\":30}");
	expect(reply_circuit_breaker_state(&w, WALL, &closed),
	       HEAD("circuit_breaker_state") "\"state\":\"Closed\",\"failure_count\":0,\"last_failure_time\":null,"
					     "\"recovery_eta_seconds\":null}");
}

static void says_agent_event(void **state)
{
	const struct reply_event event = { REPLY_WARN, "config", "reloaded", NULL, add_detail, "x" };

	(void)state;
	expect(reply_agent_event(&w, WALL, &event), HEAD("agent_event") "\"severity\":\"warn\",\"source\":\"config\","
									"\"message\":\"reloaded\",\"executionId\":null,"
									"\"context\":{\"line\":\"x\"}}");
}

static void asks_for_pending_scripts(void **state)
{
	(void)state;
	expect(reply_request_pending_scripts(&w, WALL, "vm-1"),
	       HEAD("request_pending_scripts") "\"vm_id\":\"vm-1\",\"request_timestamp\":\"2026-01-02T03:04:05."
					       "678Z\"}");
}

static void says_script_completion(void **state)
{
	const struct reply_script script = { "e1", -1, { "out", 3, 3 }, { NULL, 0, 0 } };

	(void)state;
	expect(reply_script_completion(&w, WALL, &script),
	       HEAD("script_completion") "\"execution_id\":\"e1\",\"exit_code\":-1,\"log_file\":null,\"stdout\":"
					 "\"out\",\"stderr\":\"\","
					 "\"truncated\":false}");
}

static void says_a_successful_response(void **state)
{
	const struct response response = {
		.id = "c1",
		.command_type = "unsafe",
		.success = true,
		.has_exit_code = true,
		.out = { "hi\n", 3, 3 },
		.execution_time_ms = 12,
	};

	(void)state;
	expect(reply_response(&w, WALL, &response),
	       HEAD("response") "\"id\":\"c1\",\"success\":true,\"exit_code\":0,\"execution_time_ms\":12,\"command_"
				"type\":\"unsafe\","
				"\"error\":null,\"error_code\":null,\"data\":null,\"stdout\":\"hi\\n\",\"stderr\":\"\","
				"\"truncated\":false}");
}

static void always_says_why_a_response_failed(void **state)
{
	const struct response response = { .id = "c1", .command_type = "A", .code = CODE_QUEUE_FULL };

	(void)state;
	expect(reply_response(&w, WALL, &response),
	       HEAD("response") "\"id\":\"c1\",\"success\":false,\"exit_code\":1,\"execution_time_ms\":0,\"command_"
				"type\":\"A\","
				"\"error\":\"QUEUE_FULL\",\"error_code\":\"QUEUE_FULL\",\"data\":null,\"stdout\":\"\","
				"\"stderr\":\"\","
				"\"truncated\":false}");
}

static int told_exit_code(const struct response *response)
{
	const char *at;

	assert_int_equal(reply_response(&w, WALL, response), 0);
	w.buf[w.len] = '\0';
	at = strstr(w.buf, "\"exit_code\":");
	assert_non_null(at);
	return atoi(at + strlen("\"exit_code\":"));
}

static void never_says_0_of_a_failure_nor_null_of_anything(void **state)
{
	(void)state;
	for (enum error_code code = CODE_NONE; code < CODES; code++) {
		struct response response = {
			.id = "c1", .command_type = "A", .code = code, .success = code == CODE_NONE
		};

		assert_int_equal(told_exit_code(&response), code != CODE_NONE);
		response.has_exit_code = true;
		assert_int_equal(told_exit_code(&response), code != CODE_NONE);
		response.exit_code = 143;
		assert_int_equal(told_exit_code(&response), 143);
		response.success = false;
		response.exit_code = 0;
		assert_int_equal(told_exit_code(&response), 1);
	}
}

/* The finished line as json-c sees it; it has to be valid and within the limit. */
static struct json_object *line_object(int result)
{
	struct json_object *root;

	assert_int_equal(result, 0);
	assert_true(w.len <= REPLY_LINE_MAX);
	assert_int_equal(json_check_line(&check, w.buf, w.len, NULL, NULL), 0);
	w.buf[w.len - 1] = '\0';
	root = json_tokener_parse(w.buf);
	assert_non_null(root);
	return root;
}

static struct json_object *member(struct json_object *root, const char *key)
{
	return json_object_object_get(root, key);
}

static void caps_streams_on_the_encoded_text(void **state)
{
	const size_t len = 400000;
	const struct response response = {
		.id = "c1",
		.command_type = "unsafe",
		.out = { flood, len, 5000000000 },
		.err = { flood, len, len },
	};
	struct json_object *root;
	size_t encoded;

	(void)state;
	memset(flood, 0xff, len);
	root = line_object(reply_response(&w, WALL, &response));
	encoded = 2 *
		  (size_t)json_object_get_string_len(member(root, "stdout")); /* U+FFFD: 3 bytes here, 6 on the line */
	assert_true(encoded > REPLY_STREAMS_MAX / 2 - 12 && encoded <= REPLY_STREAMS_MAX / 2);
	assert_true(json_object_get_boolean(member(root, "truncated")));
	assert_true(json_object_get_int64(member(root, "stdout_bytes")) == 5000000000);
	assert_int_equal(json_object_get_int64(member(root, "stderr_bytes")), len);
	json_object_put(root);
}

static void lets_one_stream_use_what_the_other_leaves(void **state)
{
	const struct response response = {
		.id = "c1",
		.command_type = "unsafe",
		.out = { flood, 600000, 600000 },
		.err = { "err", 3, 3 },
	};
	struct json_object *root;

	(void)state;
	memset(flood, 'x', 600000);
	root = line_object(reply_response(&w, WALL, &response));
	assert_int_equal(json_object_get_string_len(member(root, "stdout")), REPLY_STREAMS_MAX - 3);
	assert_string_equal(json_object_get_string(member(root, "stderr")), "err");
	json_object_put(root);
}

static void says_so_when_the_child_wrote_more_than_was_kept(void **state)
{
	const struct response response = { .id = "c1", .command_type = "unsafe", .out = { "abc", 3, 100 } };
	struct json_object *root = line_object(reply_response(&w, WALL, &response));

	(void)state;
	assert_true(json_object_get_boolean(member(root, "truncated")));
	assert_int_equal(json_object_get_int64(member(root, "stdout_bytes")), 100);
	json_object_put(root);
}

static void write_too_much(struct sink *sink, const char *key, const void *arg)
{
	(void)arg;
	sink_text(sink, key, flood, 600000, 600000);
}

static void leaves_data_out_that_is_too_large(void **state)
{
	const struct response response = { .id = "c1", .command_type = "A", .success = true, .data = write_too_much };
	struct json_object *root;

	(void)state;
	memset(flood, 'x', 600000);
	root = line_object(reply_response(&w, WALL, &response));
	assert_null(member(root, "data"));
	assert_true(json_object_get_boolean(member(root, "truncated")));
	json_object_put(root);
}

static void write_cut_list(struct sink *sink, const char *key, const void *arg)
{
	(void)arg;
	sink_object_begin(sink, key);
	sink_array_begin(sink, "items");
	for (unsigned i = 0; i < 1000000; i++) {
		struct sink_mark mark = sink_mark(sink);

		sink_uint(sink, NULL, 1000000000 + i);
		if (sink_full(sink)) {
			sink_rewind(sink, mark);
			break;
		}
	}
	sink_array_end(sink);
	sink_bool(sink, "truncated", true);
	sink_uint(sink, "total_count", 1000000);
	sink_object_end(sink);
}

static void keeps_a_line_of_full_data_and_full_streams_within_the_limit(void **state)
{
	const struct response response = {
		.id = "c1",
		.command_type = "A",
		.data = write_cut_list,
		.data_truncated = true,
		.out = { flood, 600000, 600000 },
		.err = { flood, 600000, 600000 },
		.code = CODE_COMMAND_FAILED,
	};
	struct json_object *root;

	(void)state;
	memset(flood, 'x', 600000);
	assert_int_equal(reply_response(&w, WALL, &response), 0);
	assert_true(w.len <= REPLY_LINE_MAX);
	assert_true(w.len > REPLY_LINE_MAX - 8192);
	w.buf[w.len - 1] = '\0';
	root = json_tokener_parse(w.buf);
	assert_non_null(root);
	assert_true(json_object_array_length(member(member(root, "data"), "items")) > 40000);
	assert_true(json_object_get_boolean(member(member(root, "data"), "truncated")));
	json_object_put(root);
}

static void fits_streams_into_a_small_buffer(void **state)
{
	const struct response response = {
		.id = "c1", .command_type = "A", .data = write_too_much, .out = { flood, 60000, 60000 }
	};
	const struct reply_script script = { "e1", 0, { flood, 60000, 60000 }, { flood, 60000, 60000 } };
	struct json_object *root;

	(void)state;
	memset(flood, '\n', 600000);
	json_writer_init(&w, buffer, 8192);
	root = line_object(reply_response(&w, WALL, &response));
	assert_true(json_object_get_string_len(member(root, "stdout")) > 2000);
	json_object_put(root);
	root = line_object(reply_script_completion(&w, WALL, &script));
	assert_true(json_object_get_string_len(member(root, "stderr")) > 1000);
	json_object_put(root);
	json_writer_init(&w, buffer, 100);
	assert_int_equal(reply_response(&w, WALL, &response), -EMSGSIZE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		TEST(says_handshake),
		TEST(says_keep_alive),
		TEST(says_error_with_its_details),
		TEST(says_error_report),
		TEST(says_the_state_of_the_circuit_breaker),
		TEST(says_agent_event),
		TEST(asks_for_pending_scripts),
		TEST(says_script_completion),
		TEST(says_a_successful_response),
		TEST(always_says_why_a_response_failed),
		TEST(never_says_0_of_a_failure_nor_null_of_anything),
		TEST(caps_streams_on_the_encoded_text),
		TEST(lets_one_stream_use_what_the_other_leaves),
		TEST(says_so_when_the_child_wrote_more_than_was_kept),
		TEST(leaves_data_out_that_is_too_large),
		TEST(keeps_a_line_of_full_data_and_full_streams_within_the_limit),
		TEST(fits_streams_into_a_small_buffer),
	};

	return cmocka_run_group_tests_name("reply", tests, group_setup, group_teardown);
}
