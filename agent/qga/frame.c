/* SPDX-License-Identifier: MIT */
#include "agent/qga/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

/* What is kept allocated between two objects. */
#define KEPT_BYTES 4096
/* An object of many lines is looked at, so that half of one is found out, at its first newlines, then ever more rarely.
 */
#define NEWLINES_LOOKED_AT 64
/* Places behind the beginning of a broken object that are tried. */
#define PLACES_MAX 32

static const char marker[] = "{\"execute\"";

void qga_frames_init(struct qga_frames *frames, struct json_check *check, size_t max,
		     const struct qga_frame_events *events, void *data)
{
	*frames =
		(struct qga_frames){ .check = check, .max = max, .events = events, .data = data, .line_begins = true };
}

static void begin(struct qga_frames *frames)
{
	frames->len = frames->checked = 0;
	frames->depth = frames->newlines = frames->marker = 0;
	frames->string = frames->escaped = frames->lost = frames->skips = frames->line_begins = false;
	if (frames->size <= KEPT_BYTES)
		return;
	free(frames->text);
	frames->text = NULL;
	frames->size = 0;
}

void qga_frames_reset(struct qga_frames *frames)
{
	begin(frames);
	frames->line_begins = true;
}

void qga_frames_done(struct qga_frames *frames)
{
	free(frames->text);
	frames->text = NULL;
	frames->len = frames->size = 0;
}

static int append(struct qga_frames *frames, char byte)
{
	if (frames->len == frames->size) {
		size_t size = frames->size ? 2 * frames->size : 512;
		char *text = realloc(frames->text, size);

		if (!text)
			return -ENOMEM;
		frames->text = text;
		frames->size = size;
	}
	frames->text[frames->len++] = byte;
	return 0;
}

/* Something is told as broken, and what follows up to the next request is taken for the rest of it. */
static void lose(struct qga_frames *frames, enum json_reason reason, bool line_ended)
{
	begin(frames);
	frames->lost = true;
	frames->line_begins = line_ended;
	frames->skips = !line_ended;
	if (frames->searching)
		frames->failed = true;
	else
		frames->events->broken(frames->data, reason);
}

static int take(struct qga_frames *frames, char byte);

/* The next place from `at` on at which a request could begin; `len`: none. */
static size_t next_place(const char *text, size_t len, size_t at)
{
	const char *found = at < len ? memmem(text + at, len - at, marker, sizeof(marker) - 1) : NULL;

	return found ? (size_t)(found - text) : len;
}

/* Tells of the broken object, and goes on at the first place in it from which all that is there is good. */
static int broken(struct qga_frames *frames, enum json_reason reason, bool balanced)
{
	_cleanup_(freep) char *text = frames->text;
	size_t len = frames->len, place = next_place(text, len, 1), from = 0;
	bool line_ended = text[len - 1] == '\n';
	int r = 0;

	frames->text = NULL;
	frames->size = 0;
	lose(frames, reason, line_ended);
	if (frames->searching)
		return 0;
	frames->searching = true;
	for (unsigned i = 0; i < PLACES_MAX && place < len && r == 0; i++) {
		frames->failed = false;
		begin(frames);
		for (size_t at = place; at < len && r == 0 && !frames->failed; at++) {
			frames->found = false;
			r = take(frames, text[at]);
			if (frames->found) /* what has been given out is not looked at again */
				from = at + 1;
		}
		if (!frames->failed)
			break;
		place = next_place(text, len, place + 1 > from ? place + 1 : from);
	}
	if (place >= len || frames->failed) {
		begin(frames);
		frames->lost = !balanced;
		frames->skips = !balanced && !line_ended;
		frames->line_begins = line_ended;
	}
	frames->searching = frames->failed = false;
	return r;
}

/* The brackets balance: it is an object, or broken. */
static int complete(struct qga_frames *frames)
{
	struct json_fault fault = { JSON_OK, 0 };

	if (json_check_line(frames->check, frames->text, frames->len, NULL, &fault) < 0 &&
	    fault.reason != JSON_NOT_OBJECT)
		return broken(frames, fault.reason, true);
	frames->found = true;
	if (fault.reason == JSON_OK)
		frames->events->object(frames->data, frames->text, frames->len);
	else if (!frames->searching)
		frames->events->broken(frames->data, fault.reason);
	begin(frames);
	return 0;
}

/* At a newline every token before it has ended: what is no JSON up to here never becomes it. */
static int look(struct qga_frames *frames)
{
	struct json_fault fault;

	if (++frames->newlines > NEWLINES_LOOKED_AT && frames->len < 2 * frames->checked)
		return 0;
	frames->checked = frames->len;
	if (json_check_line(frames->check, frames->text, frames->len, NULL, &fault) < 0 && fault.offset < frames->len)
		return broken(frames, fault.reason, false);
	return 0;
}

static int take_inside(struct qga_frames *frames, char byte)
{
	if (frames->len >= frames->max) {
		lose(frames, JSON_LINE_TOO_LONG, byte == '\n');
		return 0;
	}
	if (append(frames, byte) < 0) {
		lose(frames, JSON_LINE_TOO_LONG, byte == '\n');
		return -ENOMEM;
	}
	if (frames->string) {
		if (byte == '\n')
			return broken(frames, JSON_BAD_JSON, false);
		frames->string = frames->escaped || byte != '"';
		frames->escaped = !frames->escaped && byte == '\\';
		return 0;
	}
	if (byte == '"')
		frames->string = true;
	else if (byte == '{' || byte == '[')
		frames->depth++;
	else if (byte == '}' || byte == ']')
		return --frames->depth == 0 ? complete(frames) : 0;
	else if (byte == '\n')
		return look(frames);
	return 0;
}

/* Begins the object whose first bytes are these. */
static int enter(struct qga_frames *frames, const char *bytes, size_t len)
{
	int r = 0;

	begin(frames);
	frames->depth = 1;
	r = append(frames, bytes[0]);
	for (size_t i = 1; i < len && r == 0; i++)
		r = take_inside(frames, bytes[i]);
	if (r < 0)
		lose(frames, JSON_LINE_TOO_LONG, false);
	return r;
}

/* True for a byte with which a line of a request that was broken before may begin. */
static bool may_be_rest(char byte)
{
	return byte == '}' || byte == ']' || byte == '"' || byte == ',';
}

static int take_outside(struct qga_frames *frames, char byte)
{
	bool line_begins = frames->line_begins;

	frames->line_begins = byte == '\n';
	if (byte == '\n') {
		frames->skips = false;
		frames->marker = 0;
		return 0;
	}
	if (byte == '{' || byte == '[') {
		if (!frames->skips && (!frames->lost || line_begins))
			return enter(frames, &byte, 1);
	} else if (!frames->skips && (byte == ' ' || byte == '\t' || byte == '\r')) {
		return 0;
	} else if (!frames->lost || (line_begins && !may_be_rest(byte))) {
		bool scalar = byte == '"' || (byte >= '0' && byte <= '9');

		lose(frames, scalar ? JSON_NOT_OBJECT : JSON_BAD_JSON, false);
	}
	frames->skips = true;
	frames->marker = byte == marker[frames->marker] ? frames->marker + 1 : byte == '{';
	return marker[frames->marker] ? 0 : enter(frames, marker, sizeof(marker) - 1);
}

static int take(struct qga_frames *frames, char byte)
{
	return frames->depth ? take_inside(frames, byte) : take_outside(frames, byte);
}

int qga_frames_feed(struct qga_frames *frames, const char *bytes, size_t len)
{
	int result = 0;

	for (size_t i = 0; i < len; i++) {
		int r = 0;

		if ((unsigned char)bytes[i] == 0xFF) {
			qga_frames_reset(frames);
			frames->events->flushed(frames->data);
		} else {
			r = take(frames, bytes[i]);
		}
		if (r < 0)
			result = r;
	}
	return result;
}
