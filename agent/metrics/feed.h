/* SPDX-License-Identifier: MIT */
/*
 * Fan-out to any number of readers that may be slow: one ring of shared encodings per topic, and a cursor per reader. A
 * line is encoded once, stands in the ring once, and is handed out by reference. A reader without room stays where it
 * is; when the ring has moved on it has lost the oldest lines, is told how many, and nobody else notices.
 *
 * Visiting all readers may be cut into slices (feed_pump), so that a thousand of them do not hold up the loop.
 */
#ifndef AGENT_METRICS_FEED_H
#define AGENT_METRICS_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/line.h>

enum feed_topic {
	FEED_METRICS,
	FEED_EVENTS,
	FEED_COMMANDS,
	FEED_TOPICS,
};

/* Lines of a topic that are kept for those who lag, and bytes (the newest line is kept whatever its size). */
#define FEED_RING_LINES 64
#define FEED_RING_BYTES (1u << 20)

struct feed_reader;

struct feed_reader_ops {
	bool (*room)(struct feed_reader *reader);		   /* is it worth handing it a line now? */
	int (*put)(struct feed_reader *reader, struct line *line); /* takes its own reference; 0 or -errno: later */
	/* `count` lines were lost, the first of them `from_seq`. 0, or -errno: to be told later. */
	int (*lagged)(struct feed_reader *reader, enum feed_topic topic, uint64_t from_seq, uint64_t count);
};

/* Embedded in what reads; zeroed memory is a reader of nothing. */
struct feed_reader {
	struct feed_reader *next;
	const struct feed_reader_ops *ops;
	unsigned topics;	      /* bit per enum feed_topic; 0: not in the list */
	uint64_t interval_ns, due_ns; /* least distance of samples; 0: every one */
	uint64_t had;		      /* number behind that of the newest sample it was handed; 0: none */
	struct feed_cursor {
		uint64_t at;   /* number of the next line to read */
		uint64_t seq;  /* and its seq, as far as can be told: one behind the last that was read */
		uint64_t lost; /* since `seq`, not told yet */
	} cursors[FEED_TOPICS];
	bool pumping;
	uint64_t taken, missed;
};

struct feed_ring {
	struct feed_slot {
		struct line *line;
		uint64_t published_ns;
	} slots[FEED_RING_LINES];
	uint64_t head, tail; /* numbers of the next line and of the oldest kept */
	uint64_t last_seq;
	size_t bytes;
};

struct feed {
	struct feed_ring rings[FEED_TOPICS];
	struct feed_reader *first;
	struct feed_reader *scan; /* the next one to visit; NULL: begin anew */
	unsigned readers, wanted[FEED_TOPICS];
	unsigned todo; /* readers still to visit */
	uint64_t published, lagged;
};

/* "metrics", "events", "commands"; and back, FEED_TOPICS for another word. */
const char *feed_topic_name(enum feed_topic topic);
enum feed_topic feed_topic_find(const char *name);

/*
 * Adds topics (bits) to a reader, from the next line on. `seq` is that of the last sample published before, for the
 * first `lagged`. The reader must stay in its place until feed_unsubscribe has taken away its last topic.
 */
void feed_subscribe(struct feed *feed, struct feed_reader *reader, unsigned topics, uint64_t seq);
void feed_unsubscribe(struct feed *feed, struct feed_reader *reader, unsigned topics);

/* Is there anybody for this topic? What nobody wants need not be encoded. */
bool feed_wanted(const struct feed *feed, enum feed_topic topic);

/*
 * Keeps a reference to the line for those who want it. Lines without a seq get the next number of their topic. Then
 * call feed_pump.
 */
void feed_publish(struct feed *feed, enum feed_topic topic, struct line *line, uint64_t now_ns);

/* Visits up to `budget` readers that have not been visited since the last line. True: there are more. */
bool feed_pump(struct feed *feed, unsigned budget);

/* Hands one reader all it has room for: called when its queue has drained. */
void feed_pump_reader(struct feed *feed, struct feed_reader *reader);

/*
 * A sample is handed to one that reads "metrics", out of turn and whether it has room or not: when it is the newest
 * one, its own turn does not bring it again. What `put` returns.
 */
int feed_hand(struct feed *feed, struct feed_reader *reader, struct line *line);

/* Has the reader been handed this sample, the newest one, already? */
bool feed_had(const struct feed *feed, const struct feed_reader *reader, const struct line *line);

/* Drops all lines; readers must have left. */
void feed_done(struct feed *feed);

#endif
