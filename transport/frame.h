/* SPDX-License-Identifier: MIT */
/*
 * Lines out of a byte stream: newline-delimited JSON as it arrives, in any chunking. Memory is bounded by the longest
 * allowed line; a longer one is reported once, the moment it is too long, and skipped to its newline. Its end is stored
 * all the same: the half line of a former host may be long, with a whole message behind it.
 *
 *	char *buf; size_t room; const char *line; size_t len;
 *	frame_reserve(&r, &buf, &room);
 *	frame_commit(&r, read(fd, buf, room));
 *	while ((what = frame_next(&r, &line, &len)) > 0) …
 *
 * A byte 0xFF (never part of UTF-8; hosts of the QEMU guest agent send it to resynchronise) throws away what the line
 * held before it.
 */
#ifndef TRANSPORT_FRAME_H
#define TRANSPORT_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FRAME_ROOM 4096 /* frame_reserve offers at least this: one read of a virtio port is at most a page */

enum {
	FRAME_MORE = 0, /* nothing whole yet */
	FRAME_LINE,	/* a line; borrowed until the next call on the reader; no '\n', one final '\r' removed */
	FRAME_TOO_LONG, /* a line passed max_line: said once for it, before its end is seen. Reason `line_too_long` */
	FRAME_TAIL,    /* a line that was too long has ended: its last bytes, borrowed like a line. Given when a message
			  may be in them */
	FRAME_GARBLED, /* a line ended, a 0xFF had cut its start off and the rest begins no object. Reason `bad_utf8` */
};

struct frame_reader {
	char *buf;
	size_t cap;
	size_t start;	 /* first byte of the current line */
	size_t scanned;	 /* no '\n' and no 0xFF in [start, scanned) */
	size_t end;	 /* of the bytes received */
	size_t skipped;	 /* bytes of the current line already thrown away */
	size_t max_line; /* without the line end */
	bool skipping;	 /* the current line is too long: dropped to its newline, but for its end */
	bool reported;	 /* FRAME_TOO_LONG was given for the current line */
	bool cut;	 /* a 0xFF dropped something of the current line */
};

/* Allocates nothing yet. */
void frame_init(struct frame_reader *r, size_t max_line);
void frame_free(struct frame_reader *r);

/*
 * Room for at least FRAME_ROOM bytes at *ret_buf. 0, -ENOMEM, or -ENOBUFS when frame_next has to be called first.
 * Ends the loan of a line.
 */
int frame_reserve(struct frame_reader *r, char **ret_buf, size_t *ret_room);

/* `n` bytes of the reserved room were filled. */
void frame_commit(struct frame_reader *r, size_t n);

/*
 * Copies bytes in: how many were taken (at least one, for len > 0, if frame_next has returned 0), or a negative errno.
 */
ssize_t frame_feed(struct frame_reader *r, const char *bytes, size_t len);

/* Returns one of FRAME_…. *ret_line and *ret_len are set for FRAME_LINE and FRAME_TAIL. Blank lines are passed over. */
int frame_next(struct frame_reader *r, const char **ret_line, size_t *ret_len);

/* Bytes received of a line that has not ended (those skipped of a too long one included): 0 means in step. */
size_t frame_pending(const struct frame_reader *r);

/* The bytes of that line, borrowed; 0 bytes when its beginning has been dropped. */
size_t frame_half(const struct frame_reader *r, const char **ret_bytes);

/* Throws away a half line (and anything not yet taken): a new peer begins. Returns how many bytes that were. */
size_t frame_reset(struct frame_reader *r);

#endif
