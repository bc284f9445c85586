/* SPDX-License-Identifier: MIT */
/*
 * Publishing lines to any number of subscribers that may be slow: one ring of shared encodings per topic, and a cursor
 * per subscriber. A line is encoded once, stands in the ring once, and is handed out by reference. A subscriber without
 * room keeps its cursor (back-pressure); if the ring overwrites unread lines it is told how many were lost, and no
 * other subscriber is affected. At most PUBLISH_PER_TURN subscribers are visited in a turn of the loop, so that a
 * thousand of them do not hold it up.
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

/* Bounds of the ring of a topic, in lines and in bytes; the newest line is stored even if it is larger. */
#define PUBLISH_RING_LINES 64
#define PUBLISH_RING_BYTES (1u << 20)
/* About half a millisecond of send(2). */
#define PUBLISH_PER_TURN 48

struct publisher;
struct subscriber;

struct subscriber_ops {
	bool (*room)(struct subscriber *subscriber);		      /* true if it can take a line now */
	int (*put)(struct subscriber *subscriber, struct line *line); /* takes its own reference; 0 or -errno: later */
	/* `count` lines were lost, the first of them `from_seq`. 0, or -errno: to be told later. */
	int (*lagged)(struct subscriber *subscriber, enum publish_topic topic, uint64_t from_seq, uint64_t count);
};

/* A subscriber, embedded in the object that reads; zeroed memory has no subscription. */
struct subscriber {
	struct subscriber *next;
	struct publisher *publisher; /* NULL: it has never subscribed */
	const struct subscriber_ops *ops;
	unsigned topics;	      /* bit per enum publish_topic; 0: not in the list */
	uint64_t interval_ns, due_ns; /* least distance of samples; 0: every one */
	uint64_t had;		      /* ring number + 1 of the newest sample it was handed; 0: none */
	struct publish_cursor {
		uint64_t at;   /* number of the next line to read */
		uint64_t seq;  /* the expected seq of that line: that of the last line read + 1 */
		uint64_t lost; /* since `seq`, not told yet */
	} cursors[PUBLISH_TOPICS];
	bool pumping;
	uint64_t taken, missed;
};

struct publish_ring {
	struct publish_slot {
		struct line *line;
		struct line *whole; /* of a sample that is not; NULL: the line is for everybody */
		uint64_t published_ns;
	} slots[PUBLISH_RING_LINES];
	uint64_t head, tail; /* numbers of the next line and of the oldest kept */
	uint64_t last_seq;
	size_t bytes;
};

struct publisher {
	struct deadline rest; /* armed at once while subscribers are still to be visited */
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
 * Subscribes to topics (bits), from the next line on; `ops` must be set. `seq`: of the last sample published before,
 * for the first `lagged`. The subscriber must not move before publish_unsubscribe has removed its last topic.
 */
void publish_subscribe(struct publisher *publisher, struct subscriber *subscriber, unsigned topics, uint64_t seq);
void publish_unsubscribe(struct subscriber *subscriber, unsigned topics);

bool publish_reads(const struct subscriber *subscriber, enum publish_topic topic);

/* True if the topic has a subscriber; otherwise its lines need not be encoded. */
bool publish_wanted(const struct publisher *publisher, enum publish_topic topic);

/*
 * Publishes a line to all subscribers of the topic; the caller keeps its reference. Does nothing without subscribers. A
 * line without a seq gets the next one of its topic.
 */
void publish_line(struct publisher *publisher, enum publish_topic topic, struct line *line);

/* The same for a sample, and its whole form (sampling.h), which subscribers with an interval get. */
void publish_sample(struct publisher *publisher, struct line *line, struct line *whole);

/* The subscriber's output has drained: hands it the lines for which it has room. */
void publish_drained(struct subscriber *subscriber);

/*
 * Hands a sample to a subscriber of "metrics" at once, with or without room. If it is the newest sample, the
 * subscription does not bring it again. Returns what `put` returns.
 */
int publish_hand(struct subscriber *subscriber, struct line *line);

/* True if the subscriber has been handed this sample already; `line` is the newest one. */
bool publish_had(const struct subscriber *subscriber, const struct line *line);

/* Writes the publisher's part of Status into an open object. */
void publish_report(const struct publisher *publisher, struct sink *out);

#endif
