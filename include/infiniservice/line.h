/* SPDX-License-Identifier: MIT */
/*
 * One encoded NDJSON line, immutable and reference counted: encoded once, handed to the port, the log and any
 * number of local subscribers. Single-threaded: the count is a plain integer.
 */
#ifndef INFINISERVICE_LINE_H
#define INFINISERVICE_LINE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The class of a line: its priority when a peer cannot take all lines, and whether it may be dropped. */
enum line_class {
	LINE_REPLY,  /* handshake, response, keep_alive, error: never dropped while the session lives, sent first */
	LINE_BULK,   /* output, metrics_batch and the response that ends them: likewise, in order, but no other answer
			waits for them */
	LINE_EVENT,  /* agent_event, error_report: after replies, oldest dropped last */
	LINE_SAMPLE, /* metrics: sent last, oldest dropped first and counted */
	LINE_CLASSES,
};

struct line {
	unsigned refs;
	enum line_class class;
	uint64_t seq; /* of a sample; 0 for anything else */
	size_t len;   /* including the final '\n' */
	char text[];
};

/* Copies `len` bytes (the final '\n' included) into a new line with one reference; NULL when out of memory. */
static inline struct line *line_new(enum line_class class, const char *text, size_t len)
{
	struct line *line = malloc(sizeof(*line) + len);

	if (!line)
		return NULL;
	line->refs = 1;
	line->class = class;
	line->seq = 0;
	line->len = len;
	memcpy(line->text, text, len);
	return line;
}

/* Takes one more reference and returns it. */
static inline struct line *line_ref(struct line *line)
{
	line->refs++;
	return line;
}

/* Gives one reference back; NULL is accepted. Always returns NULL. */
static inline struct line *line_unref(struct line *line)
{
	if (line && --line->refs == 0)
		free(line);
	return NULL;
}

#endif
