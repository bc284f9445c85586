/* SPDX-License-Identifier: MIT */
/*
 * The buffer holds one unfinished line at its front and the bytes received behind it. Every byte is scanned once:
 * `scanned` holds the position, so receiving single bytes costs no more than a megabyte at once.
 *
 * The result depends on the bytes alone, never on their chunking: a line counts as too long at the byte that
 * makes it so, whether or not its end has been received as well.
 */
#include "frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RESYNC	   0xFF
#define KEEP_SIZE  (2 * FRAME_ROOM) /* a larger buffer is given back when it is empty */
#define SLACK_PART 8 /* this part of the longest line more, so that the end of a longer one is moved seldom */

void frame_init(struct frame_reader *r, size_t max_line)
{
	*r = (struct frame_reader){ .max_line = max_line };
}

void frame_free(struct frame_reader *r)
{
	free(r->buf);
	frame_init(r, r->max_line);
}

static void move_to_front(struct frame_reader *r)
{
	if (r->start == 0)
		return;
	memmove(r->buf, r->buf + r->start, r->end - r->start);
	r->scanned -= r->start;
	r->end -= r->start;
	r->start = 0;
}

int frame_reserve(struct frame_reader *r, char **ret_buf, size_t *ret_room)
{
	/* A line, its "\r\n" and one read more: only lines not taken out by frame_next can need more than that. */
	size_t most = r->max_line + 2 + FRAME_ROOM, cap = r->cap ? r->cap : KEEP_SIZE;
	char *buf;

	if (r->skipping)
		most += r->max_line / SLACK_PART;
	if (!r->skipping || r->end + FRAME_ROOM > most)
		move_to_front(r);
	if (r->end + FRAME_ROOM > most)
		return -ENOBUFS;
	while (cap < r->end + FRAME_ROOM)
		cap *= 2;
	if (cap > most && most > KEEP_SIZE)
		cap = most;
	if (cap != r->cap) {
		buf = realloc(r->buf, cap);
		if (!buf)
			return -ENOMEM;
		r->buf = buf;
		r->cap = cap;
	}
	*ret_buf = r->buf + r->end;
	*ret_room = r->cap - r->end;
	return 0;
}

void frame_commit(struct frame_reader *r, size_t n)
{
	size_t room = r->cap - r->end;

	r->end += n < room ? n : room;
}

ssize_t frame_feed(struct frame_reader *r, const char *bytes, size_t len)
{
	char *buf;
	size_t room;
	int error;

	if (len == 0)
		return 0;
	error = frame_reserve(r, &buf, &room);
	if (error)
		return error;
	if (len > room)
		len = room;
	memcpy(buf, bytes, len);
	frame_commit(r, len);
	return (ssize_t)len;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static size_t leading_space(const char *text, size_t len)
{
	size_t i = 0;

	while (i < len && is_space(text[i]))
		i++;
	return i;
}

/* Index of the next '\n' or 0xFF, or r->end; looks only at bytes not yet scanned. */
static size_t find_stop(struct frame_reader *r)
{
	const char *from = r->buf + r->scanned, *newline, *resync;
	size_t len = r->end - r->scanned;

	newline = len ? memchr(from, '\n', len) : NULL;
	if (newline)
		len = (size_t)(newline - from);
	resync = len ? memchr(from, RESYNC, len) : NULL;
	if (resync)
		len = (size_t)(resync - from);
	return r->scanned + len;
}

/* One byte over the limit is allowed for a '\r' that may turn out to belong to the line end. */
static bool too_long(const struct frame_reader *r, size_t len)
{
	return len > r->max_line + 1 || (len == r->max_line + 1 && r->buf[r->start + r->max_line] != '\r');
}

/* Drops [start, to) of the current line, which goes on. */
static void drop(struct frame_reader *r, size_t to)
{
	r->skipped += to - r->start;
	r->start = r->scanned = to;
}

/* Of a line that is too long only a possible message at its end stays: from a brace on, and no longer than max_line. */
static void keep_end(struct frame_reader *r, size_t to)
{
	size_t most = r->max_line + 1, from = to - r->start > most ? to - most : r->start;
	const char *brace = from < to ? memchr(r->buf + from, '{', to - from) : NULL;

	drop(r, brace ? (size_t)(brace - r->buf) : to);
	r->scanned = to;
}

static void resync(struct frame_reader *r, size_t at)
{
	if (!r->skipping && leading_space(r->buf + r->start, at - r->start) < at - r->start)
		r->cut = true;
	drop(r, at + 1);
	r->skipping = false;
}

/* Gives the stored end of a line that was too long. */
static int end_long(const struct frame_reader *r, const char *line, size_t len, const char **ret_line, size_t *ret_len)
{
	size_t most = len < r->max_line ? len : r->max_line;

	*ret_line = line + len - most;
	*ret_len = most;
	while (len > 0 && is_space(line[len - 1]))
		len--;
	return len > 0 && line[len - 1] == '}' ? FRAME_TAIL : FRAME_MORE;
}

/* The line [start, at) ends with the newline at `at`. */
static int end_line(struct frame_reader *r, size_t at, const char **ret_line, size_t *ret_len)
{
	const char *line = r->buf + r->start;
	size_t len = at - r->start, blank;
	bool cut = r->cut, reported = r->reported, skipping = r->skipping;

	r->start = r->scanned = at + 1;
	r->skipped = 0;
	r->cut = r->reported = r->skipping = false;
	if (len > 0 && line[len - 1] == '\r')
		len--;
	if (skipping)
		return end_long(r, line, len, ret_line, ret_len);
	blank = leading_space(line, len);
	if ((cut || reported) && (blank == len || line[blank] != '{'))
		return reported ? FRAME_MORE : FRAME_GARBLED;
	if (blank == len)
		return FRAME_MORE;
	*ret_line = line;
	*ret_len = len;
	return FRAME_LINE;
}

/* All bytes have been scanned: an empty buffer that a long line had grown shrinks back. */
static void settle(struct frame_reader *r)
{
	char *buf;

	if (r->start < r->end)
		return;
	r->start = r->scanned = r->end = 0;
	if (r->cap <= KEEP_SIZE)
		return;
	buf = realloc(r->buf, KEEP_SIZE);
	if (buf) {
		r->buf = buf;
		r->cap = KEEP_SIZE;
	}
}

int frame_next(struct frame_reader *r, const char **ret_line, size_t *ret_len)
{
	while (r->scanned < r->end) {
		size_t stop = find_stop(r);
		bool report = false;
		int what;

		if (!r->skipping && too_long(r, stop - r->start)) {
			r->skipping = true;
			report = !r->reported;
			r->reported = true;
		}
		if (r->skipping)
			keep_end(r, stop);
		r->scanned = stop;
		if (report)
			return FRAME_TOO_LONG;
		if (stop == r->end)
			break;
		if ((unsigned char)r->buf[stop] == RESYNC) {
			resync(r, stop);
			continue;
		}
		what = end_line(r, stop, ret_line, ret_len);
		if (what != FRAME_MORE)
			return what;
	}
	settle(r);
	return FRAME_MORE;
}

size_t frame_pending(const struct frame_reader *r)
{
	return r->skipped + (r->end - r->start);
}

size_t frame_half(const struct frame_reader *r, const char **ret_bytes)
{
	*ret_bytes = r->buf + r->start;
	return r->skipping || r->cut || r->skipped ? 0 : r->end - r->start;
}

size_t frame_reset(struct frame_reader *r)
{
	size_t pending = frame_pending(r);

	r->start = r->scanned = r->end = 0;
	r->skipped = 0;
	r->cut = r->reported = r->skipping = false;
	settle(r);
	return pending;
}
