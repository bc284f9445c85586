/* SPDX-License-Identifier: MIT */
/*
 * The bounded queue of lines on their way out. Order out: replies, then bulk, then events, then samples, each class
 * first in, first out; a line that has begun to be written is finished before anything else. When a new line does not
 * fit, lines of lesser class go first, the oldest first: a reply or an event may cost samples, then events; a sample
 * only older samples. Holds references, knows no fd: the owner gathers a chunk, writes it, and says how much was taken.
 */
#ifndef TRANSPORT_OUTQ_H
#define TRANSPORT_OUTQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/line.h>

/*
 * The memory of a queued line beside its bytes (list node, struct line, malloc), which is counted so that short lines
 * are bounded, too.
 */
#define OUTQ_LINE_COST 96

typedef void (*outq_line_fn)(void *data, const struct line *line);

struct outq_item;

struct outq_list {
	struct outq_item *first, **end;
};

struct outq {
	struct outq_list lists[LINE_CLASSES];
	struct outq_item *begun; /* partly written */
	size_t offset;		 /* bytes of it written */
	size_t limit;
	size_t cost;		      /* of all lines queued, OUTQ_LINE_COST included; <= limit */
	size_t cost_of[LINE_CLASSES]; /* of those not begun */
	size_t bytes;		      /* left to be written */
	uint64_t stamp;		      /* the owner's clock: lines pushed now were pushed then */
	outq_line_fn sent, dropped;   /* may be NULL; may push */
	void *data;
};

void outq_init(struct outq *q, size_t limit, outq_line_fn sent, outq_line_fn dropped, void *data);

/* Drops everything silently: for the end of the owner's life. */
void outq_done(struct outq *q);

/* Takes a reference. -ENOBUFS: does not fit, nothing was changed; -ENOMEM; -EINVAL for an empty line. */
int outq_push(struct outq *q, struct line *line);

/* True if a gather with these arguments would give bytes. */
bool outq_ready(const struct outq *q, bool samples);

/*
 * Copies the next lines into `chunk`, as many as fit whole or in part; samples only if `samples` is set (a sample that
 * has begun always).
 */
size_t outq_gather(const struct outq *q, bool samples, char *chunk, size_t size);

/*
 * The first `len` bytes of what outq_gather(q, samples, …) gave were written. Nothing may be pushed between the two.
 * Reports each completed line through `sent`, after the queue is in its new state.
 */
void outq_consume(struct outq *q, bool samples, size_t len);

/* Drops the line that has begun, if any: its head went to a host that is gone. Reported. */
void outq_drop_begun(struct outq *q);

/* Drops the lines pushed at an earlier stamp than this, and reports them. A line that has begun stays. */
void outq_drop_before(struct outq *q, uint64_t stamp);

/* Drops all lines queued now, and reports them; lines pushed by the callbacks stay. */
void outq_drop_all(struct outq *q);

#endif
