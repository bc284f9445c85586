/* SPDX-License-Identifier: MIT */
/*
 * Every write first asks for its room, then writes without further checks; what does not fit leaves the text
 * as it was and sets `full`. Numbers are formatted here: printf costs more than all the rest of a sample.
 */
#include "json_write.h"

#include <errno.h>
#include <math.h>

#include <infiniservice/cleanup.h>

#include "json_text.h"
#include "utf8.h"

#define ELLIPSIS    "\\u2026"
#define NUMBER_SIZE 40 /* sign, 20 digits, point, 6 decimals, exponent */

static struct json_writer *writer_of(struct sink *sink)
{
	return container_of(sink, struct json_writer, sink);
}

static const struct json_writer *writer_of_const(const struct sink *sink)
{
	return (const struct json_writer *)(const void *)((const char *)sink - offsetof(struct json_writer, sink));
}

/*
 * Writes the comma and the key before a value and makes sure that `room` bytes for the value are left. Returns where
 * the value goes, or NULL when the sink is (now) full. The caller commits with `done`.
 */
static char *begin_value(struct json_writer *w, const char *key, size_t room)
{
	char *at = w->buf + w->len;
	const char *limit = w->buf + w->limit;

	if (w->full)
		return NULL;
	if (w->limit < w->len + room + 4) /* comma, quotes and colon; closing brackets may have passed the limit */
		goto full;
	if (w->comma)
		*at++ = ',';
	if (key) {
		*at++ = '"';
		at = json_text_put(at, limit - room - 2, key, strlen(key));
		if (!at)
			goto full;
		*at++ = '"';
		*at++ = ':';
	}
	return at;
full:
	w->full = true;
	return NULL;
}

static void done(struct json_writer *w, const char *at)
{
	w->len = (size_t)(at - w->buf);
	w->comma = true;
}

static void begin(struct sink *sink, const char *key, char bracket)
{
	struct json_writer *w = writer_of(sink);
	char *at = begin_value(w, key, 1);

	if (w->depth >= JSON_WRITE_DEPTH_MAX - 1)
		w->broken = w->full = true;
	else
		w->depth++;
	if (!at || w->broken)
		return;
	*at++ = bracket;
	done(w, at);
	w->comma = false;
	w->array = (w->array & ~(1U << w->depth)) | (bracket == '[' ? 1U << w->depth : 0);
}

static void end(struct sink *sink, char bracket)
{
	struct json_writer *w = writer_of(sink);

	if (w->depth == 0) {
		w->broken = true;
		return;
	}
	w->depth--;
	if (w->full)
		return;
	if ((w->array >> (w->depth + 1) & 1) != (bracket == ']'))
		w->broken = true;
	if (w->len >= w->cap) {
		w->full = true;
		return;
	}
	w->buf[w->len++] = bracket;
	w->comma = true;
}

static void write_object_begin(struct sink *sink, const char *key)
{
	begin(sink, key, '{');
}

static void write_object_end(struct sink *sink)
{
	end(sink, '}');
}

static void write_array_begin(struct sink *sink, const char *key)
{
	begin(sink, key, '[');
}

static void write_array_end(struct sink *sink)
{
	end(sink, ']');
}

static const char digit_pairs[] = "00010203040506070809101112131415161718192021222324"
				  "25262728293031323334353637383940414243444546474849"
				  "50515253545556575859606162636465666768697071727374"
				  "75767778798081828384858687888990919293949596979899";

/* Decimal digits of `value`; returns behind them. */
static char *put_digits(char *at, uint64_t value)
{
	char digits[20], *p = digits + sizeof(digits);

	for (; value >= 100; value /= 100) {
		p -= 2;
		memcpy(p, digit_pairs + value % 100 * 2, 2);
	}
	if (value >= 10) {
		p -= 2;
		memcpy(p, digit_pairs + value * 2, 2);
	} else {
		*--p = (char)('0' + value);
	}
	memcpy(at, p, (size_t)(digits + sizeof(digits) - p));
	return at + (digits + sizeof(digits) - p);
}

static void write_uinteger(struct sink *sink, const char *key, uint64_t value)
{
	struct json_writer *w = writer_of(sink);
	char *at = begin_value(w, key, NUMBER_SIZE);

	if (at)
		done(w, put_digits(at, value));
}

static void write_integer(struct sink *sink, const char *key, int64_t value)
{
	struct json_writer *w = writer_of(sink);
	char *at = begin_value(w, key, NUMBER_SIZE);

	if (!at)
		return;
	if (value < 0)
		*at++ = '-';
	done(w, put_digits(at, value < 0 ? -(uint64_t)value : (uint64_t)value));
}

/* Beyond uint64: 16 digits and an exponent. Cut, not rounded: the largest double must not become infinite. */
static char *put_huge(char *at, long double value)
{
	unsigned exponent = 0;

	for (; value >= 1e16; exponent++)
		value /= 10;
	at = put_digits(at, (uint64_t)value);
	*at++ = 'e';
	return put_digits(at, exponent);
}

/* The fraction `part` of `decimals` digits, without trailing zeros but with at least one digit. */
static char *put_fraction(char *at, uint64_t part, unsigned decimals)
{
	*at++ = '.';
	for (unsigned i = decimals; i-- > 0; part /= 10)
		at[i] = (char)('0' + part % 10);
	while (decimals > 1 && at[decimals - 1] == '0')
		decimals--;
	return at + decimals;
}

static char *put_real(char *at, double value, unsigned decimals)
{
	static const uint64_t powers[] = { 1, 10, 100, 1000, 10000, 100000, 1000000 };
	uint64_t power = powers[decimals], scaled;

	if (value < 0) {
		value = -value;
		if (value * (double)power >= 0.5) /* no "-0.0" */
			*at++ = '-';
	}
	if (value >= 1e18)
		return put_huge(at, value);
	if (value >= 9e15 / (double)power) { /* further digits would be those of rounding */
		at = put_digits(at, (uint64_t)value);
		return decimals ? put_fraction(at, 0, 1) : at;
	}
	scaled = (uint64_t)(value * (double)power + 0.5);
	at = put_digits(at, scaled / power);
	return decimals ? put_fraction(at, scaled % power, decimals) : at;
}

static void write_null(struct sink *sink, const char *key)
{
	struct json_writer *w = writer_of(sink);
	char *at = begin_value(w, key, 4);

	if (!at)
		return;
	memcpy(at, "null", 4);
	done(w, at + 4);
}

static void write_real(struct sink *sink, const char *key, double value, unsigned decimals)
{
	struct json_writer *w = writer_of(sink);
	char *at;

	if (!isfinite(value)) {
		write_null(sink, key);
		return;
	}
	at = begin_value(w, key, NUMBER_SIZE);
	if (at)
		done(w, put_real(at, value, decimals > 6 ? 6 : decimals));
}

static void write_boolean(struct sink *sink, const char *key, bool value)
{
	struct json_writer *w = writer_of(sink);
	char *at = begin_value(w, key, 5);

	if (!at)
		return;
	memcpy(at, value ? "true" : "false", value ? 4 : 5);
	done(w, at + (value ? 4 : 5));
}

/* Where to cut a text longer than `max`: not inside a character. */
static size_t cut_at(const char *bytes, size_t len, size_t max)
{
	size_t back = 0;
	uint32_t code;

	while (back < 3 && back < max && ((unsigned char)bytes[max - back] & 0xC0) == 0x80)
		back++;
	/* Only a whole character that begins before `max` and ends behind it is left out; stray bytes are not. */
	if (back > 0 && utf8_decode((const unsigned char *)bytes + max - back, (const unsigned char *)bytes + len,
				    &code) > (int)back)
		return max - back;
	return max;
}

static void write_text(struct sink *sink, const char *key, const char *bytes, size_t len, size_t max)
{
	struct json_writer *w = writer_of(sink);
	size_t tail = len > max ? sizeof(ELLIPSIS) - 1 : 0;
	char *at = begin_value(w, key, 2 + tail);

	if (!at)
		return;
	if (tail)
		len = cut_at(bytes, len, max);
	*at++ = '"';
	at = json_text_put(at, w->buf + w->limit - tail - 1, bytes, len);
	if (!at) {
		w->full = true;
		return;
	}
	memcpy(at, ELLIPSIS, tail);
	at += tail;
	*at++ = '"';
	done(w, at);
}

void json_write_encoded(struct sink *sink, const char *bytes, size_t len)
{
	struct json_writer *w = writer_of(sink);
	char *at = len ? begin_value(w, NULL, len) : NULL;

	if (!at)
		return;
	memcpy(at, bytes, len);
	done(w, at + len);
}

static struct sink_mark write_mark(const struct sink *sink)
{
	const struct json_writer *w = writer_of_const(sink);

	return (struct sink_mark){ .offset = w->len, .depth = w->depth, .comma = w->comma };
}

static void write_again(struct sink *sink, struct sink_mark mark)
{
	struct json_writer *w = writer_of(sink);

	if (mark.offset > w->len || mark.depth >= JSON_WRITE_DEPTH_MAX) {
		w->broken = true;
		return;
	}
	w->len = mark.offset;
	w->depth = mark.depth;
	w->comma = mark.comma;
	while (w->span_count > 0 && w->spans[w->span_count - 1].begin >= mark.offset)
		w->span_count--;
	if (w->span_count > 0 && w->spans[w->span_count - 1].end > mark.offset)
		w->spans[w->span_count - 1].end = mark.offset;
	w->full = w->broken;
}

/* A truncated list may use some of the reserve, for the keys that report the truncation. */
static void write_rewind(struct sink *sink, struct sink_mark mark)
{
	struct json_writer *w = writer_of(sink);

	if (w->full) {
		w->limit += w->tail / 3;
		w->tail -= w->tail / 3;
	}
	write_again(sink, mark);
}

/* Parts side by side become one, so that one comma goes with them. */
static void write_whole(struct sink *sink, bool begin)
{
	struct json_writer *w = writer_of(sink);
	struct json_span *last = w->span_count ? &w->spans[w->span_count - 1] : NULL;

	if (!w->spans)
		return;
	if (begin && w->span_depth++ == 0) {
		w->span_open = w->span_count < w->span_max || (last && last->end == w->len);
		if (w->span_open && !(last && last->end == w->len))
			w->spans[w->span_count++] = (struct json_span){ w->len, w->len };
	} else if (!begin && w->span_depth > 0 && --w->span_depth == 0 && w->span_open && last) {
		last->end = w->len;
	}
}

static bool write_full(const struct sink *sink)
{
	return writer_of_const(sink)->full;
}

static const struct sink_ops ops = {
	.object_begin = write_object_begin,
	.object_end = write_object_end,
	.array_begin = write_array_begin,
	.array_end = write_array_end,
	.integer = write_integer,
	.uinteger = write_uinteger,
	.real = write_real,
	.boolean = write_boolean,
	.text = write_text,
	.null = write_null,
	.mark = write_mark,
	.rewind = write_rewind,
	.again = write_again,
	.full = write_full,
	.whole = write_whole,
};

void json_writer_init(struct json_writer *w, char *buf, size_t cap)
{
	*w = (struct json_writer){ .sink.ops = &ops, .buf = buf, .cap = cap };
	json_writer_reset(w);
}

void json_writer_record(struct json_writer *w, struct json_span *spans, unsigned max)
{
	w->spans = spans;
	w->span_max = max;
	w->span_count = w->span_depth = 0;
}

size_t json_writer_brief(const struct json_writer *w, char *to)
{
	size_t from = 0, len = 0;

	for (unsigned i = 0; i <= w->span_count; i++) {
		size_t end = i < w->span_count ? w->spans[i].begin : w->len;

		memcpy(to + len, w->buf + from, end - from);
		len += end - from;
		if (i == w->span_count)
			break;
		from = w->spans[i].end;
		/* The first of its object takes the comma behind it along, any other one the comma before it. */
		if (from > end && w->buf[end] != ',' && from < w->len && w->buf[from] == ',')
			from++;
	}
	return len;
}

/* FNV-1a, <http://www.isthe.com/chongo/tech/comp/fnv/>, of the parts and of where each of them ends. */
uint64_t json_writer_spans_hash(const struct json_writer *w)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (unsigned i = 0; i < w->span_count; i++) {
		for (size_t at = w->spans[i].begin; at < w->spans[i].end; at++)
			hash = (hash ^ (unsigned char)w->buf[at]) * 0x100000001b3;
		hash = (hash ^ 0x100) * 0x100000001b3;
	}
	return hash;
}

/* Room up to `room_end` of the buffer, with the tail kept back. */
static void set_room(struct json_writer *w, size_t room_end)
{
	size_t room = room_end - w->len;

	w->tail = room / 8 < JSON_WRITE_TAIL ? room / 8 : JSON_WRITE_TAIL;
	w->limit = room_end - w->tail;
}

void json_writer_reset(struct json_writer *w)
{
	w->len = 0;
	set_room(w, w->cap);
	w->array = 0;
	w->depth = 0;
	w->comma = w->full = w->broken = false;
	w->span_count = w->span_depth = 0;
}

struct json_room json_writer_bound(struct json_writer *w, size_t bytes)
{
	struct json_room before = { w->limit, w->tail };

	if (w->len < w->limit && bytes < w->limit - w->len)
		set_room(w, w->len + bytes);
	return before;
}

void json_writer_restore(struct json_writer *w, struct json_room room)
{
	w->limit = room.limit;
	w->tail = room.tail;
}

int json_writer_finish(struct json_writer *w, const char **ret_text, size_t *ret_len)
{
	if (w->broken || (w->depth != 0 && !w->full) || (w->len == 0 && !w->full))
		return -EINVAL;
	if (w->full || w->len >= w->cap)
		return -EMSGSIZE;
	w->buf[w->len++] = '\n';
	if (ret_text)
		*ret_text = w->buf;
	if (ret_len)
		*ret_len = w->len;
	return 0;
}
