/* SPDX-License-Identifier: MIT */
/*
 * Publishing lines to any number of subscribers that may be slow: one ring of shared encodings per topic, and a cursor
 * per subscriber. A line is encoded once, stands in the ring once, and is handed out by reference. A subscriber without
 * room stays where it is; when the ring has moved on it has lost the oldest lines, is told how many, and nobody else
 * notices. Not more than PUBLISH_PER_TURN subscribers are visited in a turn of the loop: a thousand of them do not hold
 * it up.
 */
#ifndef AGENT_METRICS_PUBLISH_H
#define AGENT_METRICS_PUBLISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/line.h>
#include <infiniservice/sink.h>

#include "agent/base/loop.h"

enum publish_topic {
	PUBLISH_METRICS,
	PUBLISH_EVENTS,
	PUBLISH_COMMANDS,
	PUBLISH_TOPICS,
};

/* Lines of a topic that are kept for those who lag, and bytes (the newest line is kept whatever its size). */
#define PUBLISH_RING_LINES 64
#define PUBLISH_RING_BYTES (1u << 20)
/* About half a millisecond of send(2). */
#define PUBLISH_PER_TURN 48

struct publisher;
struct subscriber;

struct subscriber_ops {
	bool (*room)(struct subscriber *subscriber);		      /* is it worth handing it a line now? */
	int (*put)(struct subscriber *subscriber, struct line *line); /* takes its own reference; 0 or -errno: later */
	/* `count` lines were lost, the first of them `from_seq`. 0, or -errno: to be told later. */
	int (*lagged)(struct subscriber *subscriber, enum publish_topic topic, uint64_t from_seq, uint64_t count);
};

/* Embedded in the object that reads; zeroed memory has subscribed to nothing. */
struct subscriber {
	struct subscriber *next;
	struct publisher *publisher; /* NULL: it has never subscribed */
	const struct subscriber_ops *ops;
	unsigned topics;	      /* bit per enum publish_topic; 0: not in the list */
	uint64_t interval_ns, due_ns; /* least distance of samples; 0: every one */
	uint64_t had;		      /* number behind that of the newest sample it was handed; 0: none */
	struct publish_cursor {
		uint64_t at;   /* number of the next line to read */
		uint64_t seq;  /* and its seq, as far as can be told: one behind the last that was read */
		uint64_t lost; /* since `seq`, not told yet */
	} cursors[PUBLISH_TOPICS];
	bool pumping;
	uint64_t taken, missed;
};

struct publish_ring {
	struct publish_slot {
		struct line *line;
		uint64_t published_ns;
	} slots[PUBLISH_RING_LINES];
	uint64_t head, tail; /* numbers of the next line and of the oldest kept */
	uint64_t last_seq;
	size_t bytes;
};

struct publisher {
	struct deadline rest; /* at once: the subscribers that are still to be visited */
	struct publish_ring rings[PUBLISH_TOPICS];
	struct subscriber *first;
	struct subscriber *scan; /* the next one to visit; NULL: begin anew */
	unsigned subscribers, wanted[PUBLISH_TOPICS];
	unsigned todo; /* subscribers still to visit */
	uint64_t published, lagged;
};

/* "metrics", "events", "commands"; and back, PUBLISH_TOPICS for another word. */
const char *publish_topic_name(enum publish_topic topic);
enum publish_topic publish_topic_find(const char *name);

void publish_init(struct publisher *publisher, struct loop *loop);

/* Drops all lines; subscribers must have left. Accepts zeroed memory. */
void publish_done(struct publisher *publisher);

/*
 * Adds topics (bits), from the next line on; ops are set. `seq` is that of the last sample published before, for the
 * first `lagged`. The subscriber must stay in its place until publish_unsubscribe has taken away its last topic.
 */
void publish_subscribe(struct publisher *publisher, struct subscriber *subscriber, unsigned topics, uint64_t seq);
void publish_unsubscribe(struct subscriber *subscriber, unsigned topics);

bool publish_reads(const struct subscriber *subscriber, enum publish_topic topic);

/* Is there anybody for this topic? What nobody wants need not be encoded. */
bool publish_wanted(const struct publisher *publisher, enum publish_topic topic);

/*
 * To all who read the topic; the caller keeps its reference. Costs nothing when nobody does. Lines without a seq get
 * the next number of their topic.
 */
void publish_line(struct publisher *publisher, enum publish_topic topic, struct line *line);

/* Its queue has drained: it is handed all it has room for. */
void publish_drained(struct subscriber *subscriber);

/*
 * A sample is handed to one that reads "metrics", out of turn and whether it has room or not: when it is the newest
 * one, its own turn does not bring it again. Returns what `put` returns.
 */
int publish_hand(struct subscriber *subscriber, struct line *line);

/* Has it been handed this sample, the newest one, already? */
bool publish_had(const struct subscriber *subscriber, const struct line *line);

/* Keys of Status, into an open object. */
void publish_report(const struct publisher *publisher, struct sink *out);

#endif
