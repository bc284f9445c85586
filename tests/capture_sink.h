/* SPDX-License-Identifier: MIT */
/*
 * A sink for tests: what a collector emits, as plain JSON text in memory, with a size that a test may shrink to see
 * lists being cut. Independent of transport/json_write.c on purpose. Text is written as it comes, `"` and `\` and bytes
 * outside printable ASCII as \xNN, so that a test sees which bytes arrived.
 *
 *	struct capture *capture = capture_begin();    // begins with "{"
 *	collector->emit(state, &capture->sink);
 *	assert_true(capture_has(capture, "\"total_kb\":4025956"));
 */
#ifndef TESTS_CAPTURE_SINK_H
#define TESTS_CAPTURE_SINK_H

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/sink.h>

#define CAPTURE_SIZE (256U << 10)

struct capture {
	struct sink sink;
	size_t limit; /* bytes that fit */
	size_t len;
	unsigned depth;
	bool comma, full;
	char text[CAPTURE_SIZE];
};

static inline struct capture *capture_of(struct sink *sink)
{
	return container_of(sink, struct capture, sink);
}

__attribute__((format(printf, 2, 3))) static inline void capture_put(struct capture *c, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(c->text + c->len, sizeof(c->text) - c->len, format, args);
	va_end(args);
	if (n < 0 || c->len + (size_t)n + 1 >= sizeof(c->text) || c->len + (size_t)n > c->limit)
		c->full = true;
	else
		c->len += (size_t)n;
	c->text[c->len] = '\0';
}

static inline void capture_key(struct sink *sink, const char *key)
{
	struct capture *c = capture_of(sink);

	if (c->comma)
		capture_put(c, ",");
	if (key)
		capture_put(c, "\"%s\":", key);
	c->comma = true;
}

static inline void capture_open(struct sink *sink, const char *key, const char *bracket)
{
	capture_key(sink, key);
	capture_put(capture_of(sink), "%s", bracket);
	capture_of(sink)->comma = false;
	capture_of(sink)->depth++;
}

static inline void capture_shut(struct sink *sink, const char *bracket)
{
	capture_put(capture_of(sink), "%s", bracket);
	capture_of(sink)->comma = true;
	capture_of(sink)->depth--;
}

static inline void capture_object_begin(struct sink *sink, const char *key)
{
	capture_open(sink, key, "{");
}
static inline void capture_object_end(struct sink *sink)
{
	capture_shut(sink, "}");
}
static inline void capture_array_begin(struct sink *sink, const char *key)
{
	capture_open(sink, key, "[");
}
static inline void capture_array_end(struct sink *sink)
{
	capture_shut(sink, "]");
}

static inline void capture_integer(struct sink *sink, const char *key, int64_t value)
{
	capture_key(sink, key);
	capture_put(capture_of(sink), "%" PRId64, value);
}

static inline void capture_uinteger(struct sink *sink, const char *key, uint64_t value)
{
	capture_key(sink, key);
	capture_put(capture_of(sink), "%" PRIu64, value);
}

/* NaN and infinities are written as words: no test expects them, every test then sees them. */
static inline void capture_real(struct sink *sink, const char *key, double value, unsigned decimals)
{
	capture_key(sink, key);
	if (isfinite(value))
		capture_put(capture_of(sink), "%.*f", (int)decimals, value);
	else
		capture_put(capture_of(sink), "NOT_FINITE");
}

static inline void capture_boolean(struct sink *sink, const char *key, bool value)
{
	capture_key(sink, key);
	capture_put(capture_of(sink), "%s", value ? "true" : "false");
}

static inline void capture_text(struct sink *sink, const char *key, const char *bytes, size_t len, size_t max)
{
	struct capture *c = capture_of(sink);

	capture_key(sink, key);
	capture_put(c, "\"");
	for (size_t i = 0; i < len && i < max; i++) {
		unsigned char byte = (unsigned char)bytes[i];

		if (byte < 0x20 || byte >= 0x7f || byte == '"' || byte == '\\')
			capture_put(c, "\\x%02x", byte);
		else
			capture_put(c, "%c", byte);
	}
	capture_put(c, len > max ? "...\"" : "\"");
}

static inline void capture_null(struct sink *sink, const char *key)
{
	capture_key(sink, key);
	capture_put(capture_of(sink), "null");
}

static inline struct sink_mark capture_mark(const struct sink *sink)
{
	const struct capture *c =
		(const struct capture *)(const void *)((const char *)sink - offsetof(struct capture, sink));

	return (struct sink_mark){ .offset = c->len, .depth = c->depth, .comma = c->comma };
}

static inline void capture_rewind(struct sink *sink, struct sink_mark mark)
{
	struct capture *c = capture_of(sink);

	c->len = mark.offset;
	c->depth = mark.depth;
	c->comma = mark.comma;
	c->full = false;
	c->text[c->len] = '\0';
}

static inline bool capture_full(const struct sink *sink)
{
	return ((const struct capture *)(const void *)((const char *)sink - offsetof(struct capture, sink)))->full;
}

/* A new capture holding "{"; free() it. */
static inline struct capture *capture_begin(void)
{
	static const struct sink_ops ops = {
		.object_begin = capture_object_begin,
		.object_end = capture_object_end,
		.array_begin = capture_array_begin,
		.array_end = capture_array_end,
		.integer = capture_integer,
		.uinteger = capture_uinteger,
		.real = capture_real,
		.boolean = capture_boolean,
		.text = capture_text,
		.null = capture_null,
		.mark = capture_mark,
		.rewind = capture_rewind,
		.full = capture_full,
	};
	struct capture *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	c->sink.ops = &ops;
	c->limit = CAPTURE_SIZE;
	capture_put(c, "{");
	return c;
}

/* True when `part` occurs in what was captured. */
static inline bool capture_has(const struct capture *c, const char *part)
{
	return strstr(c->text, part) != NULL;
}

#endif
