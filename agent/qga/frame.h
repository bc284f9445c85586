/* SPDX-License-Identifier: MIT */
/*
 * The framing of the QEMU guest agent's language: a stream of JSON objects with any white space, or none, between and
 * within them. An object is complete as soon as its braces balance. A byte 0xFF, which no text holds, drops what has
 * been read of one. What cannot become an object is told once; then reading goes on where a request begins again, if
 * possible within the bytes that are there: half a request of a host that left must not cost the next host its own.
 *
 *	outside ──{ or [──► inside ──balanced──► object()       (valid JSON within the limits of json_check.h)
 *	   ▲ any other byte    │ not JSON, too long
 *	   └─ broken() ◄───────┴─► the next {"execute" among those bytes, else the next line that begins with {
 *
 * Pure over bytes: any chunking gives the same calls.
 */
#ifndef AGENT_QGA_FRAME_H
#define AGENT_QGA_FRAME_H

#include <stdbool.h>
#include <stddef.h>

#include "transport/json_check.h"

struct qga_frame_events {
	/* One valid JSON object; valid during the call. */
	void (*object)(void *data, const char *text, size_t len);
	/* Bytes that are no request. JSON_NOT_OBJECT: valid JSON of another kind; JSON_LINE_TOO_LONG: over `max`. */
	void (*broken)(void *data, enum json_reason reason);
	/* A byte 0xFF: what came before it was another host's. */
	void (*flushed)(void *data);
};

struct qga_frames {
	struct json_check *check; /* lent by the owner */
	const struct qga_frame_events *events;
	void *data;
	size_t max; /* bytes of an object */

	char *text; /* of the object being read */
	size_t len, size;
	unsigned depth;		/* of brackets; 0: outside */
	bool string, escaped;	/* inside a string; behind a backslash in it */
	unsigned newlines;	/* in the object */
	size_t checked;		/* bytes of it that were looked at, at a newline */
	bool lost;		/* something was told as broken, and its rest may follow */
	bool skips;		/* the rest of this line is skipped */
	bool line_begins;	/* the last byte was a newline, or there was none yet */
	unsigned marker;	/* bytes of {"execute" that have just been skipped */
	bool searching, failed; /* behind a broken object: for one that is not */
	bool found;		/* the last byte completed one */
};

/* `check` is borrowed for the life of the reader. */
void qga_frames_init(struct qga_frames *frames, struct json_check *check, size_t max,
		     const struct qga_frame_events *events, void *data);
void qga_frames_done(struct qga_frames *frames);

/* The host is gone, or another one is there: drops what has been read of an object. */
void qga_frames_reset(struct qga_frames *frames);

/* Takes bytes, in order. The events may not call it again. -ENOMEM: an object was dropped. */
int qga_frames_feed(struct qga_frames *frames, const char *bytes, size_t len);

/* Bytes of an object that is not complete yet. */
static inline size_t qga_frames_pending(const struct qga_frames *frames)
{
	return frames->len;
}

#endif
