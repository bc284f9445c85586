/* SPDX-License-Identifier: MIT */
/*
 * Framing and validator. The first byte picks the chunking, the rest is the stream. Three properties: any chunking
 * gives the same lines and verdicts as one feed; what is found behind a half line is whole; what the validator accepts
 * json-c accepts too; what the writer makes of arbitrary text the validator accepts, and it decodes to what
 * json_text_encoded_len counted.
 */
#include <json-c/json.h>

#include "transport/frame.h"
#include "transport/half_line.h"
#include "transport/json_check.h"
#include "transport/json_write.h"
#include "require.h"

#define MAX_LINE 300

static struct json_check check;

/* A running hash over everything that came out: equal histories have equal hashes. */
struct history {
	struct frame_reader reader;
	uint64_t hash;
	unsigned events;
};

static void mix(struct history *history, const void *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		history->hash = (history->hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001B3ULL;
}

static void require_json_c_takes(const char *line, size_t len)
{
	struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH_MAX + 1);
	struct json_object *root;

	while (line[len - 1] != '}')
		len--;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	root = json_tokener_parse_ex(tokener, line, (int)len);
	REQUIRE(root != NULL);
	json_object_put(root);
	json_tokener_free(tokener);
}

/* What is found behind a half line is whole, and nothing is found behind that again. */
static void require_whole_behind(const char *line, size_t len)
{
	size_t head = half_line_length(&check, line, len, NULL);

	REQUIRE(head <= len);
	if (head == len)
		return;
	REQUIRE((json_check_line(&check, line, len, NULL, NULL) == 0) == (head == 0));
	REQUIRE(json_check_line(&check, line + head, len - head, NULL, NULL) == 0);
	REQUIRE(half_line_length(&check, line + head, len - head, NULL) == 0);
}

static void take_lines(struct history *history)
{
	const char *line = NULL;
	size_t len = 0;
	int what;

	while ((what = frame_next(&history->reader, &line, &len)) != FRAME_MORE) {
		struct json_fault fault = { JSON_OK, 0 };
		char id[JSON_ID_MAX + 1];

		history->events++;
		mix(history, &what, sizeof(what));
		if (what == FRAME_TAIL)
			mix(history, line, len);
		if (what != FRAME_LINE && what != FRAME_TAIL)
			continue;
		mix(history, &len, sizeof(len));
		require_whole_behind(line, len);
		if (what != FRAME_LINE)
			continue;
		REQUIRE(len > 0 && len <= MAX_LINE && !memchr(line, '\n', len) && !memchr(line, 0xFF, len));
		mix(history, line, len);
		if (json_check_line(&check, line, len, NULL, &fault) == 0)
			require_json_c_takes(line, len);
		mix(history, &fault.reason, sizeof(fault.reason));
		mix(history, &fault.offset, sizeof(fault.offset));
		mix(history, id, json_scan_id(line, len, id));
	}
}

/* Chunks of `step` bytes, or of changing sizes for step 0. */
static struct history run(const uint8_t *data, size_t size, size_t step)
{
	struct history history = { .hash = 0xCBF29CE484222325ULL };
	size_t at = 0, turn = 0;

	frame_init(&history.reader, MAX_LINE);
	while (at < size) {
		size_t chunk = step ? step : 1 + (data[at] ^ turn++) % 61;
		ssize_t n = frame_feed(&history.reader, (const char *)data + at, chunk < size - at ? chunk : size - at);

		REQUIRE(n > 0);
		at += (size_t)n;
		take_lines(&history);
	}
	size = frame_pending(&history.reader);
	mix(&history, &size, sizeof(size));
	frame_free(&history.reader);
	return history;
}

static void round_trip(const uint8_t *data, size_t size)
{
	static char buffer[16384];
	const char *line;
	struct json_writer w;
	size_t len;

	if (size > 512) /* the encoded text is parsed twice: enough to meet every kind of byte */
		size = 512;
	json_writer_init(&w, buffer, sizeof(buffer));
	sink_object_begin(&w.sink, NULL);
	sink_text(&w.sink, "text", (const char *)data, size, size);
	sink_text(&w.sink, "cut", (const char *)data, size, size / 2);
	sink_object_end(&w.sink);
	REQUIRE(json_writer_finish(&w, &line, &len) == 0);
	for (size_t i = 0; i + 1 < len; i++)
		REQUIRE(line[i] >= 0x20 && line[i] < 0x7F);
	REQUIRE(json_check_line(&check, line, len, NULL, NULL) == 0);
	require_json_c_takes(line, len);
	len = json_text_encoded_len((const char *)data, size);
	REQUIRE(json_text_fit((const char *)data, size, len) == size);
	REQUIRE(len == 0 || json_text_fit((const char *)data, size, len - 1) < size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct history whole, parts;

	if (size < 1)
		return 0;
	if (check.round == 0)
		json_check_init(&check, 1);
	whole = run(data + 1, size - 1, SIZE_MAX);
	parts = run(data + 1, size - 1, data[0] % 64);
	REQUIRE(whole.events == parts.events);
	REQUIRE(whole.hash == parts.hash);
	round_trip(data + 1, size - 1);
	return 0;
}
