/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "agent/qga/frame.h"

#define MAX_OBJECT 400
#define PING	   "{\"execute\":\"guest-ping\"}"
#define SYNC	   "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":77}}"

static struct json_check check;

/* What came out: objects, each behind '+'; '!' for broken, '[' for valid JSON that is none, 'L' too long, '^' 0xFF. */
struct seen {
	struct qga_frames frames;
	char text[8192];
	size_t len;
};

static void put(struct seen *seen, const char *text, size_t len)
{
	assert_true(seen->len + len < sizeof(seen->text));
	memcpy(seen->text + seen->len, text, len);
	seen->len += len;
	seen->text[seen->len] = '\0';
}

static void on_object(void *data, const char *text, size_t len)
{
	put(data, "+", 1);
	put(data, text, len);
}

static void on_broken(void *data, enum json_reason reason)
{
	put(data, reason == JSON_NOT_OBJECT ? "[" : reason == JSON_LINE_TOO_LONG ? "L" : "!", 1);
}

static void on_flushed(void *data)
{
	put(data, "^", 1);
}

static const struct qga_frame_events events = { on_object, on_broken, on_flushed };

static void start(struct seen *seen)
{
	memset(seen, 0, sizeof(*seen));
	qga_frames_init(&seen->frames, &check, MAX_OBJECT, &events, seen);
}

/* Fed whole and byte for byte. */
static void expect(const char *input, const char *want)
{
	static struct seen whole, bytes;

	start(&whole);
	start(&bytes);
	assert_int_equal(qga_frames_feed(&whole.frames, input, strlen(input)), 0);
	for (const char *at = input; *at; at++)
		assert_int_equal(qga_frames_feed(&bytes.frames, at, 1), 0);
	assert_string_equal(whole.text, want);
	assert_string_equal(bytes.text, want);
	qga_frames_done(&whole.frames);
	qga_frames_done(&bytes.frames);
}

static void an_object_is_there_as_soon_as_its_braces_balance(void **state)
{
	(void)state;
	expect(PING, "+" PING);
	expect(PING "\n", "+" PING);
	expect(PING PING "\r\n " SYNC, "+" PING "+" PING "+" SYNC);
	expect("{\"execute\":\"guest-ping\"", "");
	expect("{\"a\":\"}{\\\"}\",\"b\":[{}]}", "+{\"a\":\"}{\\\"}\",\"b\":[{}]}");
	expect("{\"a\":\"\\\\\"}" PING, "+{\"a\":\"\\\\\"}+" PING);
}

static void pretty_printed_objects_are_objects(void **state)
{
	(void)state;
	expect("{\n  \"execute\": \"guest-sync\",\n  \"arguments\": {\n    \"id\": 1\n  }\n}\n" PING,
	       "+{\n  \"execute\": \"guest-sync\",\n  \"arguments\": {\n    \"id\": 1\n  }\n}+" PING);
}

static void what_is_no_object_is_told_once_a_line(void **state)
{
	(void)state;
	expect("hello world {}\n" PING, "!+" PING);
	expect("one\ntwo\n" PING, "!!+" PING);
	expect("[" PING "]\n" PING, "[+" PING);
	expect("}\n" PING, "!+" PING);
	expect("[1,2] " PING, "[+" PING);
	expect("\"a{\"\n1\n2" PING, "[[[+" PING);
	expect("\x01\n" PING, "!+" PING);
}

static void a_broken_object_costs_itself_alone(void **state)
{
	(void)state;
	expect("{\"execute\":}" PING, "!+" PING);
	expect("{\"execute\":\"a\" \"b\"}\n" PING, "!+" PING);
	expect("{bad}\n{\"id\":1,\"execute\":\"guest-ping\"}\n", "!+{\"id\":1,\"execute\":\"guest-ping\"}");
	expect("{\"a\":1,\"a\":2}" PING, "!+" PING);
	expect("{\n  \"execute\": bad,\n  \"arguments\": {\n    \"id\": 1\n  }\n}\n" PING, "!+" PING);
}

static void half_a_request_of_a_host_that_left_does_not_cost_the_next_one(void **state)
{
	static const char *const places[] = { "{\"execute\":\"guest-pi",
					      "{\"execute\":\"guest-ping\"",
					      "{\"execute\":\"guest-ping\",",
					      "{\"execute\"",
					      "{",
					      "{\"exec",
					      "{\"execute\":\"x\",\"arguments\":{\"path\":\"/a" };
	char text[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		snprintf(text, sizeof(text), "%s" SYNC "\n", places[i]);
		expect(text, "!+" SYNC);
	}
	/* The rest of one, whose head went to another agent. */
	expect("-ping\"}" SYNC "\n", "!+" SYNC);
	expect("{\"execute\":\"guest-pi" SYNC "\n" PING "\n", "!+" SYNC "+" PING);
	expect("{\"execute\":\"a" SYNC PING "\n", "!+" SYNC "+" PING);
}

static void a_byte_that_no_text_holds_drops_what_is_half_read(void **state)
{
	(void)state;
	expect("{\"execute\":\"guest-pi\xFF" SYNC, "^+" SYNC);
	expect("\xFF" SYNC, "^+" SYNC);
	expect("garbage \xFF" SYNC, "!^+" SYNC);
	expect("{\"a\":\"\\\xFF" SYNC, "^+" SYNC);
	expect(PING "\xFF\xFF" SYNC, "+" PING "^^+" SYNC);
}

static void a_request_inside_of_a_text_is_text(void **state)
{
	(void)state;
	expect("{\"a\":\"{\\\"execute\\\":\\\"guest-ping\\\"}\"", "");
	expect("{\"a\":\"{\\\"execute\\\":\\\"guest-ping\\\"}\"\n,,}\n" SYNC, "!+" SYNC);
	/* What was given out behind a broken object is not given out again when more of it is broken. */
	expect("{\"execute\":\"a{\"execute\":\"b\",\"id\":{\"execute\":\"c\"}}{\"execute\":\"d\n",
	       "!+{\"execute\":\"b\",\"id\":{\"execute\":\"c\"}}");
}

static void too_much_is_refused_once_and_forgotten(void **state)
{
	static char text[4096];
	size_t len = 0;

	(void)state;
	len += (size_t)snprintf(text, sizeof(text), "{\"a\":\"");
	memset(text + len, 'x', 1000);
	len += 1000;
	snprintf(text + len, sizeof(text) - len, "\"}\n" PING);
	expect(text, "L+" PING);
	memset(text, '{', 1000);
	snprintf(text + 1000, sizeof(text) - 1000, "\n" PING);
	expect(text, "L+" PING);
	memset(text, '[', 100);
	snprintf(text + 100, sizeof(text) - 100, "\n" PING);
	expect(text, "!+" PING);
}

static void a_host_that_goes_takes_its_half_request_along(void **state)
{
	static struct seen seen;

	(void)state;
	start(&seen);
	qga_frames_feed(&seen.frames, "{\"execute\":\"gue", 15);
	assert_int_equal(qga_frames_pending(&seen.frames), 15);
	qga_frames_reset(&seen.frames);
	assert_int_equal(qga_frames_pending(&seen.frames), 0);
	qga_frames_feed(&seen.frames, SYNC, strlen(SYNC));
	assert_string_equal(seen.text, "+" SYNC);
	qga_frames_done(&seen.frames);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_object_is_there_as_soon_as_its_braces_balance),
		cmocka_unit_test(pretty_printed_objects_are_objects),
		cmocka_unit_test(what_is_no_object_is_told_once_a_line),
		cmocka_unit_test(a_broken_object_costs_itself_alone),
		cmocka_unit_test(half_a_request_of_a_host_that_left_does_not_cost_the_next_one),
		cmocka_unit_test(a_byte_that_no_text_holds_drops_what_is_half_read),
		cmocka_unit_test(a_request_inside_of_a_text_is_text),
		cmocka_unit_test(too_much_is_refused_once_and_forgotten),
		cmocka_unit_test(a_host_that_goes_takes_its_half_request_along),
	};

	json_check_init(&check, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
