/* SPDX-License-Identifier: MIT */
/*
 * The writer of all that leaves the guest, driven by the input: objects, lists, numbers and texts into a buffer of any
 * size, with marks (of a text that is whole so far) and rewinds. What it gives out is one line of ASCII that validator
 * and json-c take, whatever was cut.
 */
#include <json-c/json.h>

#include "transport/json_check.h"
#include "transport/json_write.h"
#include "require.h"

#define ROOM 8192

struct input {
	const uint8_t *at, *end;
};

static uint8_t next_byte(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static uint64_t next_number(struct input *in)
{
	uint64_t value = 0;

	for (int i = 0; i < 8; i++)
		value = value << 8 | next_byte(in);
	return value;
}

static void put_text(struct sink *out, const char *key, struct input *in)
{
	size_t len = next_byte(in), left = (size_t)(in->end - in->at);

	len = len < left ? len : left;
	sink_text(out, key, (const char *)in->at, len, next_byte(in));
	in->at += len < (size_t)(in->end - in->at) ? len : (size_t)(in->end - in->at);
}

static void put_real(struct sink *out, const char *key, struct input *in)
{
	uint64_t bits = next_number(in);
	double value;

	memcpy(&value, &bits, sizeof(value));
	sink_real(out, key, value, next_byte(in) % 7);
}

/* `kinds`: bit n set when level n is a list. Depth 1 is the outermost object. */
static void write_all(struct sink *out, struct input *in)
{
	unsigned depth = 1, kinds = 0, number = 0;
	struct sink_mark mark = sink_mark(out);
	unsigned mark_depth = depth, mark_kinds = kinds;
	char name[16];

	while (in->at < in->end) {
		const char *key = kinds >> depth & 1 ? NULL : name;
		uint8_t what = next_byte(in) % 10;

		snprintf(name, sizeof(name), "k%u", number++);
		if (what < 2 && depth < JSON_DEPTH_MAX) {
			(what ? sink_array_begin : sink_object_begin)(out, key);
			depth++;
			kinds = (kinds & ~(1u << depth)) | (unsigned)what << depth;
		} else if (what == 2 && depth > 1 && depth > mark_depth) {
			(kinds >> depth & 1 ? sink_array_end : sink_object_end)(out);
			depth--;
		} else if (what == 3) {
			sink_int(out, key, (int64_t)next_number(in));
		} else if (what == 4) {
			sink_uint(out, key, next_number(in));
		} else if (what == 5) {
			put_real(out, key, in);
		} else if (what == 6) {
			sink_null(out, key);
		} else if (what == 7 && !sink_full(out)) {
			mark = sink_mark(out);
			mark_depth = depth;
			mark_kinds = kinds;
		} else if (what == 8 && sink_full(out)) {
			sink_rewind(out, mark);
			depth = mark_depth;
			kinds = mark_kinds;
		} else {
			put_text(out, key, in);
		}
	}
	for (; depth > 1; depth--)
		(kinds >> depth & 1 ? sink_array_end : sink_object_end)(out);
}

static void check_text(const char *line, size_t len)
{
	static struct json_check check;
	static const struct json_limits limits = { JSON_DEPTH_MAX, JSON_TOKENS_MAX };
	struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH_MAX + 1);
	struct json_object *root;
	struct json_fault fault;

	REQUIRE(line[len - 1] == '\n');
	for (size_t i = 0; i + 1 < len; i++)
		REQUIRE(line[i] >= 0x20 && line[i] < 0x7F);
	REQUIRE(!memmem(line, len, "\\u0000", 6) || memmem(line, len, "\\\\u0000", 7));
	if (check.round == 0)
		json_check_init(&check, 1);
	if (json_check_line(&check, line, len - 1, &limits, &fault) < 0)
		REQUIRE(fault.reason == JSON_TOO_MANY_TOKENS);
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	root = json_tokener_parse_ex(tokener, line, (int)len - 1);
	REQUIRE(root != NULL);
	json_object_put(root);
	json_tokener_free(tokener);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char buffer[ROOM];
	struct input in = { data, data + size };
	struct json_writer writer;
	const char *line;
	size_t len;
	int r;

	json_writer_init(&writer, buffer, 64 + 32 * (size_t)next_byte(&in));
	sink_object_begin(&writer.sink, NULL);
	write_all(&writer.sink, &in);
	sink_object_end(&writer.sink);
	REQUIRE(!writer.broken);
	r = json_writer_finish(&writer, &line, &len);
	if (r == 0)
		check_text(line, len);
	else
		REQUIRE(writer.full);
	return 0;
}
