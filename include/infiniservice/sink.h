/* SPDX-License-Identifier: MIT */
/*
 * The destination of values: collectors and actions write JSON through these functions and never see its text. The one
 * implementation is transport/json_write.c: bounded, ASCII only, finite numbers, no allocation.
 *
 * Rules for callers: `key` is NULL inside an array and a plain ASCII literal inside an object. Errors are sticky:
 * write on, and the owner of the sink checks it once. A value that is unknown is `sink_null`, never a 0.
 * For lists that must be cut to fit, take a mark before each item and rewind to it when the sink is full:
 *
 *	struct sink_mark mark = sink_mark(out);
 *	emit_item(out, item);
 *	if (sink_full(out)) { sink_rewind(out, mark); truncated = true; break; }
 *
 * What hardly ever changes, and no host needs in every sample, is marked; it then stands in whole samples alone:
 *
 *	sink_whole_begin(out);
 *	sink_uint(out, "mtu", link->mtu);
 *	sink_whole_end(out);
 */
#ifndef INFINISERVICE_SINK_H
#define INFINISERVICE_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sink;

struct sink_mark {
	size_t offset;
	unsigned depth;
	bool comma;
};

struct sink_ops {
	void (*object_begin)(struct sink *sink, const char *key);
	void (*object_end)(struct sink *sink);
	void (*array_begin)(struct sink *sink, const char *key);
	void (*array_end)(struct sink *sink);
	void (*integer)(struct sink *sink, const char *key, int64_t value);
	void (*uinteger)(struct sink *sink, const char *key, uint64_t value);
	void (*real)(struct sink *sink, const char *key, double value, unsigned decimals);
	void (*boolean)(struct sink *sink, const char *key, bool value);
	void (*text)(struct sink *sink, const char *key, const char *bytes, size_t len, size_t max);
	void (*null)(struct sink *sink, const char *key);
	struct sink_mark (*mark)(const struct sink *sink);
	void (*rewind)(struct sink *sink, struct sink_mark mark);
	void (*again)(struct sink *sink, struct sink_mark mark); /* NULL: as rewind */
	bool (*full)(const struct sink *sink);
	void (*whole)(struct sink *sink, bool begin); /* NULL: everything written is a whole */
};

struct sink {
	const struct sink_ops *ops;
};

/* Longest texts that leave the guest, in bytes of the source (reliability: hostile names). */
#define SINK_COMM_MAX	 64
#define SINK_PATH_MAX	 1024
#define SINK_CMDLINE_MAX 4096
#define SINK_COMMAND_MAX 256 /* of a command line in a sample; whole in answers */

static inline void sink_object_begin(struct sink *s, const char *key)
{
	s->ops->object_begin(s, key);
}
static inline void sink_object_end(struct sink *s)
{
	s->ops->object_end(s);
}
static inline void sink_array_begin(struct sink *s, const char *key)
{
	s->ops->array_begin(s, key);
}
static inline void sink_array_end(struct sink *s)
{
	s->ops->array_end(s);
}
static inline void sink_int(struct sink *s, const char *key, int64_t v)
{
	s->ops->integer(s, key, v);
}
static inline void sink_uint(struct sink *s, const char *key, uint64_t v)
{
	s->ops->uinteger(s, key, v);
}
static inline void sink_bool(struct sink *s, const char *key, bool v)
{
	s->ops->boolean(s, key, v);
}
static inline void sink_null(struct sink *s, const char *key)
{
	s->ops->null(s, key);
}

/* `decimals` 0-6 digits after the point; NaN and infinities become null. */
static inline void sink_real(struct sink *s, const char *key, double v, unsigned decimals)
{
	s->ops->real(s, key, v, decimals);
}

/*
 * Any bytes: invalid UTF-8 becomes U+FFFD, NUL is replaced too, controls are escaped; the source is cut at `max` bytes
 * (a cut is marked with a final U+2026 "…").
 */
static inline void sink_text(struct sink *s, const char *key, const char *bytes, size_t len, size_t max)
{
	s->ops->text(s, key, bytes, len, max);
}

/* A NUL-terminated string, or null when `str` is NULL. */
static inline void sink_str(struct sink *s, const char *key, const char *str)
{
	if (str)
		s->ops->text(s, key, str, strlen(str), SINK_CMDLINE_MAX);
	else
		s->ops->null(s, key);
}

static inline struct sink_mark sink_mark(const struct sink *s)
{
	return s->ops->mark(s);
}
static inline void sink_rewind(struct sink *s, struct sink_mark m)
{
	s->ops->rewind(s, m);
}
/*
 * Whole values of one object or array are written between these two, on one level; everything else has no use for them
 * and writes on. A key so marked stands in `whole_keys` of its collector (collector.h).
 */
static inline void sink_whole_begin(struct sink *s)
{
	if (s->ops->whole)
		s->ops->whole(s, true);
}
static inline void sink_whole_end(struct sink *s)
{
	if (s->ops->whole)
		s->ops->whole(s, false);
}
/* The same, to write something else in its place: no room is given free for what has to be said of a cut list. */
static inline void sink_again(struct sink *s, struct sink_mark m)
{
	if (s->ops->again)
		s->ops->again(s, m);
	else
		s->ops->rewind(s, m);
}
/* True when something did not fit (the text is then unusable unless rewound to an earlier mark). */
static inline bool sink_full(const struct sink *s)
{
	return s->ops->full(s);
}

#endif
