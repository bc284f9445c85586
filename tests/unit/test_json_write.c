/* SPDX-License-Identifier: MIT */
/* What the sink turns values into, and what it does when there is no room. */
#include <errno.h>
#include <float.h>
#include <math.h>
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

#include "transport/json_check.h"
#include "transport/json_write.h"

static char buffer[8192];
static struct json_writer w;
static struct sink *out;

static int setup(void **state)
{
	(void)state;
	json_writer_init(&w, buffer, sizeof(buffer));
	out = &w.sink;
	return 0;
}

/* Ends the line, compares it without its newline. */
static void expect(const char *text)
{
	const char *line;
	size_t len;

	assert_int_equal(json_writer_finish(&w, &line, &len), 0);
	assert_int_equal(line[len - 1], '\n');
	if (len - 1 != strlen(text) || memcmp(line, text, len - 1) != 0)
		fail_msg("%.*s, expected %s", (int)len - 1, line, text);
	json_writer_reset(&w);
}

static void nests_objects_and_arrays(void **state)
{
	(void)state;
	sink_object_begin(out, NULL);
	sink_array_begin(out, "a");
	sink_array_end(out);
	sink_array_begin(out, "b");
	sink_int(out, NULL, 1);
	sink_object_begin(out, NULL);
	sink_object_end(out);
	sink_null(out, NULL);
	sink_array_end(out);
	sink_bool(out, "c", true);
	sink_bool(out, "d", false);
	sink_str(out, "e", "x");
	sink_str(out, "f", NULL);
	sink_object_end(out);
	expect("{\"a\":[],\"b\":[1,{},null],\"c\":true,\"d\":false,\"e\":\"x\",\"f\":null}");
}

static void writes_the_ends_of_the_integer_ranges(void **state)
{
	(void)state;
	sink_array_begin(out, NULL);
	sink_int(out, NULL, INT64_MIN);
	sink_int(out, NULL, INT64_MAX);
	sink_uint(out, NULL, UINT64_MAX);
	sink_int(out, NULL, 0);
	sink_int(out, NULL, -10);
	sink_uint(out, NULL, 12345);
	sink_array_end(out);
	expect("[-9223372036854775808,9223372036854775807,18446744073709551615,0,-10,12345]");
}

static void writes_reals_with_the_decimals_asked_for(void **state)
{
	static const struct {
		double value;
		unsigned decimals;
		const char *text;
	} samples[] = {
		{ 0, 2, "0.0" },
		{ -0.0, 2, "0.0" },
		{ 12.5, 2, "12.5" },
		{ 99.999, 2, "100.0" },
		{ 0.125, 2, "0.13" },
		{ -1.25, 1, "-1.3" },
		{ -0.001, 2, "0.0" },
		{ 3.7, 0, "4" },
		{ 1e15, 2, "1000000000000000.0" },
		{ 0.000001, 6, "0.000001" },
		{ 1.005e3, 3, "1005.0" },
		{ 1e20, 2, "1000000000000000e5" },
		{ NAN, 2, "null" },
		{ INFINITY, 2, "null" },
		{ -INFINITY, 0, "null" },
		{ 0.5, 99, "0.5" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(samples); i++) {
		sink_real(out, NULL, samples[i].value, samples[i].decimals);
		expect(samples[i].text);
	}
}

static void writes_every_finite_real_near_its_value(void **state)
{
	static const double values[] = { DBL_MAX,      -DBL_MAX, 1e300, 9007199254740993.0, 1.8446744073709552e19,
					 123456789.125 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
		sink_real(out, NULL, values[i], 6);
		assert_int_equal(json_writer_finish(&w, NULL, NULL), 0);
		buffer[w.len] = '\0';
		assert_true(fabs(strtod(buffer, NULL) / values[i] - 1) < 1e-14);
		json_writer_reset(&w);
	}
}

static void escapes_everything_that_is_not_plain_ascii(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		const char *json;
	} samples[] = {
		{ "plain text, 20 bytes", 20, "\"plain text, 20 bytes\"" },
		{ "\"\\/\b\f\n\r\t", 8, "\"\\\"\\\\/\\b\\f\\n\\r\\t\"" },
		{ "\x01\x1b\x1f\x7f", 4, "\"\\u0001\\u001b\\u001f\\u007f\"" },
		{ "\xc2\x85", 2, "\"\\u0085\"" },
		{ "\xc3\xa9\xe2\x82\xac", 5, "\"\\u00e9\\u20ac\"" },
		{ "\xf0\x9f\x98\x80", 4, "\"\\ud83d\\ude00\"" },
		{ "a\0b", 3, "\"a\\ufffdb\"" },
		{ "\xff\xfe", 2, "\"\\ufffd\\ufffd\"" },
		{ "\xe2\x82x", 3, "\"\\ufffdx\"" },
		{ "\xed\xa0\x80", 3, "\"\\ufffd\\ufffd\\ufffd\"" },
		{ "\xc0\x80", 2, "\"\\ufffd\\ufffd\"" },
		{ "", 0, "\"\"" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(samples); i++) {
		sink_text(out, NULL, samples[i].text, samples[i].len, 100);
		expect(samples[i].json);
		assert_int_equal(json_text_encoded_len(samples[i].text, samples[i].len), strlen(samples[i].json) - 2);
	}
}

static void escapes_keys_as_well(void **state)
{
	(void)state;
	sink_object_begin(out, NULL);
	sink_int(out, "a\"\xc3\xa9", 1);
	sink_object_end(out);
	expect("{\"a\\\"\\u00e9\":1}");
}

static void marks_a_cut_and_never_halves_a_character(void **state)
{
	static const struct {
		const char *text;
		size_t max;
		const char *json;
	} samples[] = {
		{ "abcdef", 6, "\"abcdef\"" },
		{ "abcdef", 3, "\"abc\\u2026\"" },
		{ "ab\xe2\x82\xac", 4, "\"ab\\u2026\"" },
		{ "ab\xe2\x82\xac", 3, "\"ab\\u2026\"" },
		{ "ab\xe2\x82\xac.", 5, "\"ab\\u20ac\\u2026\"" },
		{ "\x80\x80\x80\x80\x80", 4, "\"\\ufffd\\ufffd\\ufffd\\ufffd\\u2026\"" },
		{ "abc", 0, "\"\\u2026\"" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(samples); i++) {
		sink_text(out, NULL, samples[i].text, strlen(samples[i].text), samples[i].max);
		expect(samples[i].json);
	}
}

static void finds_the_longest_prefix_that_fits(void **state)
{
	static const char text[] = "ab\n\xc3\xa9\xf0\x9f\x98\x80z";

	(void)state;
	for (size_t room = 0; room < 30; room++) {
		size_t len = json_text_fit(text, sizeof(text) - 1, room);

		assert_true(json_text_encoded_len(text, len) <= room);
		if (len < sizeof(text) - 1) /* the next character, of at most 4 bytes, would not have fitted */
			assert_true(json_text_fit(text, sizeof(text) - 1, room + 12) > len);
	}
	assert_int_equal(json_text_fit(text, sizeof(text) - 1, 3), 2);
	assert_int_equal(json_text_fit(text, sizeof(text) - 1, 4), 3);
	assert_int_equal(json_text_fit(text, sizeof(text) - 1, 21), 5);
	assert_int_equal(json_text_fit(text, sizeof(text) - 1, 22), 9);
}

static void stays_full_until_rewound(void **state)
{
	char small[64];

	(void)state;
	json_writer_init(&w, small, sizeof(small));
	sink_array_begin(out, NULL);
	sink_text(out, NULL, "0123456789012345678901234567890123456789012345678901234567890", 61, 100);
	assert_true(sink_full(out));
	sink_bool(out, NULL, true);
	sink_array_end(out);
	assert_true(sink_full(out));
	assert_int_equal(json_writer_finish(&w, NULL, NULL), -EMSGSIZE);
}

static void leaves_room_behind_a_list_that_was_cut(void **state)
{
	const char *line;
	size_t len;
	struct json_object *root;

	(void)state;
	sink_object_begin(out, NULL);
	for (unsigned list = 0; list < 3; list++) {
		char key[2] = { (char)('a' + list), '\0' };
		bool truncated = false;

		sink_array_begin(out, key);
		for (unsigned i = 0; i < 10000 && !truncated; i++) {
			struct sink_mark mark = sink_mark(out);

			sink_object_begin(out, NULL);
			sink_array_begin(out, "x");
			sink_uint(out, NULL, i);
			sink_array_end(out);
			sink_object_end(out);
			if (sink_full(out)) {
				sink_rewind(out, mark);
				truncated = true;
			}
		}
		sink_array_end(out);
		assert_true(truncated);
		sink_bool(out, "truncated", true);
	}
	sink_object_end(out);
	assert_int_equal(json_writer_finish(&w, &line, &len), 0);
	root = json_tokener_parse(line);
	assert_non_null(root);
	json_object_put(root);
}

static void rewinds_as_if_nothing_had_been_written(void **state)
{
	struct sink_mark mark;

	(void)state;
	sink_object_begin(out, NULL);
	sink_int(out, "a", 1);
	mark = sink_mark(out);
	sink_array_begin(out, "b");
	sink_object_begin(out, NULL);
	sink_rewind(out, mark);
	sink_int(out, "c", 2);
	sink_object_end(out);
	expect("{\"a\":1,\"c\":2}");
}

static void bounds_a_part_of_the_text(void **state)
{
	struct json_room before;
	struct sink_mark mark;

	(void)state;
	sink_array_begin(out, NULL);
	before = json_writer_bound(&w, 100);
	mark = sink_mark(out);
	for (unsigned i = 0; i < 100; i++)
		sink_uint(out, NULL, 1234567);
	assert_true(sink_full(out));
	assert_true(w.len <= 101);
	sink_rewind(out, mark);
	json_writer_restore(&w, before);
	for (unsigned i = 0; i < 100; i++)
		sink_uint(out, NULL, 1234567);
	assert_false(sink_full(out));
}

static void refuses_text_with_open_or_wrong_brackets(void **state)
{
	(void)state;
	assert_int_equal(json_writer_finish(&w, NULL, NULL), -EINVAL);
	sink_object_begin(out, NULL);
	assert_int_equal(json_writer_finish(&w, NULL, NULL), -EINVAL);
	sink_array_end(out);
	assert_int_equal(json_writer_finish(&w, NULL, NULL), -EINVAL);
	json_writer_reset(&w);
	sink_array_end(out);
	assert_int_equal(json_writer_finish(&w, NULL, NULL), -EINVAL);
	json_writer_reset(&w);
	for (unsigned i = 0; i < 100; i++)
		sink_array_begin(out, NULL);
	for (unsigned i = 0; i < 100; i++)
		sink_array_end(out);
	assert_int_equal(json_writer_finish(&w, NULL, NULL), -EINVAL);
}

/* Every buffer size up to the whole: never a byte too far, never a line that is not whole. */
static void fits_or_says_so_at_every_size(void **state)
{
	(void)state;
	for (size_t size = 1; size < 400; size++) {
		char *small = malloc(size);
		int result;

		assert_non_null(small);
		json_writer_init(&w, small, size);
		sink_object_begin(out, NULL);
		sink_text(out, "text", "abc\n\xf0\x9f\x98\x80 and more of it", 24, 20);
		sink_real(out, "real", -123.456, 3);
		sink_array_begin(out, "list");
		sink_null(out, NULL);
		sink_array_end(out);
		sink_int(out, "key \"\x01\x02\x03\"", INT64_MIN);
		sink_object_end(out);
		result = json_writer_finish(&w, NULL, NULL);
		if (result == 0)
			assert_memory_equal(small + w.len - 2, "}\n", 2);
		else
			assert_int_equal(result, -EMSGSIZE);
		assert_true(result == 0 || size < 300);
		free(small);
	}
}

#define GUARD	   64
#define GUARD_BYTE '\xa5'

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* One call of the sink, chosen by chance: keys may be empty, texts cut, numbers as long as numbers get. */
static void write_something(uint32_t *seed, struct sink_mark *mark)
{
	static const char *const keys[] = { NULL, "", "k", "a \"key\"\n" };
	static const char text[] = "abcdefghijkl\n\xf0\x9f\x98\x80\x01\xff and the rest of it";
	const char *key = keys[next_random(seed) % 4];
	size_t len = next_random(seed) % sizeof(text);

	switch (next_random(seed) % 14) {
	case 0:
		sink_object_begin(out, key);
		break;
	case 1:
		sink_object_end(out);
		break;
	case 2:
		sink_array_begin(out, key);
		break;
	case 3:
		sink_array_end(out);
		break;
	case 4:
		sink_int(out, key, INT64_MIN);
		break;
	case 5:
		sink_uint(out, key, UINT64_MAX);
		break;
	case 6:
		sink_real(out, key, -DBL_MAX, 6);
		break;
	case 7:
		sink_bool(out, key, false);
		break;
	case 8:
		sink_text(out, key, text, len, next_random(seed) % 2 ? len : next_random(seed) % (len + 1));
		break;
	case 9:
		sink_null(out, key);
		break;
	case 10:
		json_write_encoded(out, "1,2,3,4,5,6", next_random(seed) % 12);
		break;
	case 11:
		*mark = sink_mark(out);
		break;
	case 12:
		sink_rewind(out, *mark);
		break;
	default:
		json_writer_bound(&w, next_random(seed) % 64);
		break;
	}
}

/* What lies behind the buffer belongs to somebody else, who may be in the same allocation. */
static void never_touches_a_byte_behind_its_buffer(void **state)
{
	char room[256 + GUARD], guard[GUARD];
	uint32_t seed = 1;

	(void)state;
	memset(guard, GUARD_BYTE, sizeof(guard));
	for (unsigned round = 0; round < 60000; round++) {
		size_t size = 1 + next_random(&seed) % (round % 2 ? 255 : 24);
		struct sink_mark mark;

		memset(room, GUARD_BYTE, sizeof(room));
		json_writer_init(&w, room, size);
		mark = sink_mark(out);
		for (unsigned calls = next_random(&seed) % 40; calls > 0; calls--)
			write_something(&seed, &mark);
		json_writer_finish(&w, NULL, NULL);
		assert_true(w.len <= size);
		assert_memory_equal(room + size, guard, sizeof(guard));
	}
}

static void copies_a_tree(void **state)
{
	static const char text[] = "{\"a\":[1,-2,18446744073709551615,1.5,true,null,\"x\\u0000\"],\"b\":{\"c\":{}}}";
	struct json_object *root = json_tokener_parse(text);

	(void)state;
	json_write_object(out, NULL, root);
	json_object_put(root);
	expect("{\"a\":[1,-2,18446744073709551615,1.5,true,null,\"x\\ufffd\"],\"b\":{\"c\":{}}}");
	json_write_object(out, NULL, NULL);
	expect("null");
}

static void copies_a_deep_tree_only_so_far(void **state)
{
	struct json_object *root = json_object_new_array();

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		struct json_object *outer = json_object_new_array();

		json_object_array_add(outer, root);
		root = outer;
	}
	json_write_object(out, NULL, root);
	json_object_put(root);
	expect("[[[[[[[[[[[[[[[[null]]]]]]]]]]]]]]]]");
}

/* The same text with `record` and without. */
static void write_marked(void)
{
	struct sink_mark mark;

	sink_object_begin(out, NULL);
	sink_whole_begin(out);
	sink_bool(out, "whole", true);
	sink_whole_end(out);
	sink_array_begin(out, "links");
	for (int i = 0; i < 2; i++) {
		sink_object_begin(out, NULL);
		sink_int(out, "name", i);
		sink_whole_begin(out);
		sink_int(out, "mtu", 1500);
		sink_whole_end(out);
		sink_whole_begin(out);
		sink_int(out, "mac", 7);
		sink_whole_end(out);
		sink_int(out, "up", 1);
		sink_object_end(out);
	}
	mark = sink_mark(out);
	sink_object_begin(out, NULL);
	sink_whole_begin(out);
	sink_int(out, "mtu", 9000);
	sink_whole_end(out);
	sink_object_end(out);
	sink_rewind(out, mark);
	sink_array_end(out);
	sink_whole_begin(out);
	sink_object_begin(out, "guest");
	sink_whole_begin(out); /* within another one it says nothing new */
	sink_str(out, "cloud", "none");
	sink_whole_end(out);
	sink_object_end(out);
	sink_whole_end(out);
	sink_object_end(out);
}

#define MARKED                                                                                                         \
	"{\"whole\":true,\"links\":[{\"name\":0,\"mtu\":1500,\"mac\":7,\"up\":1},{\"name\":1,\"mtu\":1500,\"mac\":7,"  \
	"\"up\":1}"                                                                                                    \
	"],\"guest\":{\"cloud\":\"none\"}}"

static void what_is_marked_can_be_left_out(void **state)
{
	static const char brief[] = "{\"links\":[{\"name\":0,\"up\":1},{\"name\":1,\"up\":1}]}";
	struct json_span spans[8];
	char text[sizeof(buffer)];
	uint64_t hash;
	size_t len;

	(void)state;
	write_marked();
	assert_int_equal(json_writer_brief(&w, text), w.len); /* nothing is recorded */
	expect(MARKED);
	json_writer_record(&w, spans, ARRAY_SIZE(spans));
	write_marked();
	len = json_writer_brief(&w, text);
	assert_int_equal(len, strlen(brief));
	assert_memory_equal(text, brief, len);
	hash = json_writer_spans_hash(&w);
	expect(MARKED);
	write_marked();
	assert_true(hash == json_writer_spans_hash(&w));
	*strstr(buffer, "1500") = '9';
	assert_true(hash != json_writer_spans_hash(&w));
	json_writer_reset(&w);
}

static void what_stands_first_or_alone_can_be_left_out_and_more_than_there_is_room_for_stays(void **state)
{
	static const char brief[] = "{\"a\":{},\"b\":[2],\"c\":[1,2]}";
	struct json_span spans[2];
	char text[sizeof(buffer)];
	size_t len;

	(void)state;
	json_writer_record(&w, spans, ARRAY_SIZE(spans));
	sink_object_begin(out, NULL);
	sink_object_begin(out, "a");
	sink_whole_begin(out);
	sink_int(out, "x", 1);
	sink_whole_end(out);
	sink_object_end(out);
	for (int i = 0; i < 2; i++) {
		sink_array_begin(out, i ? "c" : "b");
		sink_whole_begin(out);
		sink_int(out, NULL, 1);
		sink_whole_end(out);
		sink_int(out, NULL, 2);
		sink_array_end(out);
	}
	sink_object_end(out);
	len = json_writer_brief(&w, text);
	assert_int_equal(len, strlen(brief));
	assert_memory_equal(text, brief, len);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		TEST(nests_objects_and_arrays),
		TEST(writes_the_ends_of_the_integer_ranges),
		TEST(writes_reals_with_the_decimals_asked_for),
		TEST(writes_every_finite_real_near_its_value),
		TEST(escapes_everything_that_is_not_plain_ascii),
		TEST(escapes_keys_as_well),
		TEST(marks_a_cut_and_never_halves_a_character),
		TEST(finds_the_longest_prefix_that_fits),
		TEST(stays_full_until_rewound),
		TEST(leaves_room_behind_a_list_that_was_cut),
		TEST(rewinds_as_if_nothing_had_been_written),
		TEST(bounds_a_part_of_the_text),
		TEST(refuses_text_with_open_or_wrong_brackets),
		TEST(fits_or_says_so_at_every_size),
		TEST(never_touches_a_byte_behind_its_buffer),
		TEST(what_is_marked_can_be_left_out),
		TEST(what_stands_first_or_alone_can_be_left_out_and_more_than_there_is_room_for_stays),
		TEST(copies_a_tree),
		TEST(copies_a_deep_tree_only_so_far),
	};

	return cmocka_run_group_tests_name("json_write", tests, NULL, NULL);
}
