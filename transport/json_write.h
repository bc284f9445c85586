/* SPDX-License-Identifier: MIT */
/*
 * JSON out: the one implementation of struct sink, over a fixed buffer of the caller. ASCII only (a host that decodes
 * chunks one by one must never see half a character), no \u0000 (its database refuses it), numbers finite. Too much is
 * a sticky condition, undone by rewinding to a mark.
 *
 * A little of the buffer is kept back: when a list was cut by rewinding, there is still room for its closing
 * brackets and a `truncated` beside it.
 */
#ifndef TRANSPORT_JSON_WRITE_H
#define TRANSPORT_JSON_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/sink.h>

struct json_object;

/* A part of the text that stands in whole samples alone (sink_whole_begin). */
struct json_span {
	size_t begin, end;
};

#define JSON_WRITE_DEPTH_MAX 32
#define JSON_WRITE_TAIL	     512 /* kept back at most; an eighth of a small buffer */

struct json_writer {
	struct sink sink; /* hand out &w->sink */
	char *buf;
	size_t len; /* the text is buf[0..len) */
	size_t cap;
	size_t limit;	/* values may use the buffer up to here, closing brackets up to cap */
	size_t tail;	/* kept back behind `limit`; every rewind of a full sink frees a third of it */
	uint32_t array; /* bit n: level n is an array */
	unsigned depth;
	bool comma; /* a value stands before the next one on this level */
	bool full;
	bool broken; /* unbalanced or too deep: a mistake of the caller */

	struct json_span *spans; /* NULL: they are not recorded */
	unsigned span_count, span_max;
	unsigned span_depth; /* of begins without an end */
	bool span_open;	     /* the last one is being written */
};

void json_writer_init(struct json_writer *w, char *buf, size_t cap);

/* Starts an empty text in the same buffer. */
void json_writer_reset(struct json_writer *w);

struct json_room {
	size_t limit, tail;
};

/*
 * Limits further output to `bytes` of the buffer (less if there is less), including a reserve as above; more makes the
 * sink full. Returns the former room for json_writer_restore.
 */
struct json_room json_writer_bound(struct json_writer *w, size_t bytes);
void json_writer_restore(struct json_writer *w, struct json_room room);

/*
 * Ends the text with '\n' and gives it out (valid until the writer is used again; `ret_text`, `ret_len` may be NULL):
 * 0, -EMSGSIZE if something did not fit, -EINVAL if brackets are not closed, the depth was exceeded or nothing was
 * written.
 */
int json_writer_finish(struct json_writer *w, const char **ret_text, size_t *ret_len);

/*
 * Records the parts written between sink_whole_begin and sink_whole_end in the caller's array; those beyond `max` are
 * not recorded. After json_writer_init, which forgets the array.
 */
void json_writer_record(struct json_writer *w, struct json_span *spans, unsigned max);

/*
 * Copies the text without the recorded parts to `to`, which has room for w->len bytes; valid JSON as the text is.
 * Returns its length, w->len if nothing was recorded.
 */
size_t json_writer_brief(const struct json_writer *w, char *to);

/* A number that is the same for texts with the same recorded parts, and hardly ever for others. */
uint64_t json_writer_spans_hash(const struct json_writer *w);

/* Writes a json-c value (NULL is null). Values deeper than 16 levels below it become null; reals keep 6 decimals. */
void json_write_object(struct sink *sink, const char *key, struct json_object *value);

/* Writes bytes that are one or more encoded values already, commas between them included; nothing for no bytes. */
void json_write_encoded(struct sink *sink, const char *bytes, size_t len);

/* Bytes that sink_text writes for this text, without the quotes. */
size_t json_text_encoded_len(const char *bytes, size_t len);

/*
 * The length in bytes of the longest prefix of the source that ends between characters and takes at most `room` bytes
 * when encoded.
 */
size_t json_text_fit(const char *bytes, size_t len, size_t room);

#endif
