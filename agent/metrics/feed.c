/* SPDX-License-Identifier: MIT */
/* Rings and cursors; see feed.h. */
#include "agent/metrics/feed.h"

#include <string.h>

static const char *const names[FEED_TOPICS] = { "metrics", "events", "commands" };

const char *feed_topic_name(enum feed_topic topic)
{
	return names[topic];
}

enum feed_topic feed_topic_find(const char *name)
{
	unsigned topic = 0;

	while (topic < FEED_TOPICS && strcmp(names[topic], name) != 0)
		topic++;
	return (enum feed_topic)topic;
}

/* ------------------------------------------------------------------------------------------------------------ ring */

/* The number behind that of the line, when it is the newest of the ring; else 0. */
static uint64_t number_behind(const struct feed_ring *ring, const struct line *line)
{
	bool newest = ring->head != ring->tail && ring->slots[(ring->head - 1) % FEED_RING_LINES].line == line;

	return newest ? ring->head : 0;
}

static struct feed_slot *slot_at(struct feed_ring *ring, uint64_t number)
{
	return &ring->slots[number % FEED_RING_LINES];
}

static void ring_shift(struct feed_ring *ring)
{
	struct feed_slot *slot = slot_at(ring, ring->tail++);

	ring->bytes -= slot->line->len;
	slot->line = line_unref(slot->line);
}

static void ring_push(struct feed_ring *ring, struct line *line, uint64_t now_ns)
{
	while (ring->head - ring->tail == FEED_RING_LINES ||
	       (ring->head != ring->tail && ring->bytes + line->len > FEED_RING_BYTES))
		ring_shift(ring);
	*slot_at(ring, ring->head++) = (struct feed_slot){ .line = line_ref(line), .published_ns = now_ns };
	ring->bytes += line->len;
	ring->last_seq = line->seq;
}

static void ring_clear(struct feed_ring *ring)
{
	while (ring->tail != ring->head)
		ring_shift(ring);
}

/* ---------------------------------------------------------------------------------------------------------- readers */

bool feed_wanted(const struct feed *feed, enum feed_topic topic)
{
	return feed->wanted[topic] > 0;
}

void feed_subscribe(struct feed *feed, struct feed_reader *reader, unsigned topics, uint64_t seq)
{
	unsigned fresh = topics & ~reader->topics;

	if (fresh & 1U << FEED_METRICS && feed->rings[FEED_METRICS].head == feed->rings[FEED_METRICS].tail)
		feed->rings[FEED_METRICS].last_seq = seq;
	for (unsigned topic = 0; topic < FEED_TOPICS; topic++)
		if (fresh & 1U << topic) {
			reader->cursors[topic] = (struct feed_cursor){ .at = feed->rings[topic].head,
								       .seq = feed->rings[topic].last_seq + 1 };
			feed->wanted[topic]++;
		}
	if (topics & 1U << FEED_METRICS) /* a new pace holds at once */
		reader->due_ns = 0;
	if (!reader->topics && topics) {
		reader->next = feed->first;
		feed->first = reader;
		feed->readers++;
	}
	reader->topics |= topics;
}

static void leave(struct feed *feed, struct feed_reader *reader)
{
	struct feed_reader **at = &feed->first;

	while (*at != reader)
		at = &(*at)->next;
	*at = reader->next;
	if (feed->scan == reader)
		feed->scan = reader->next;
	feed->readers--;
}

void feed_unsubscribe(struct feed *feed, struct feed_reader *reader, unsigned topics)
{
	unsigned before = reader->topics;

	reader->topics &= ~topics;
	if (before && !reader->topics)
		leave(feed, reader);
	for (unsigned topic = 0; topic < FEED_TOPICS; topic++)
		if (before & topics & 1U << topic && --feed->wanted[topic] == 0)
			ring_clear(&feed->rings[topic]);
}

void feed_publish(struct feed *feed, enum feed_topic topic, struct line *line, uint64_t now_ns)
{
	struct feed_ring *ring = &feed->rings[topic];

	if (!feed_wanted(feed, topic))
		return;
	if (line->seq == 0)
		line->seq = ring->last_seq + 1;
	ring_push(ring, line, now_ns);
	feed->published++;
	feed->todo = feed->readers;
}

/*
 * ------------------------------------------------------------------------------------------------------- handing out
 */

/* What the ring has dropped before it was read. */
static void notice_loss(struct feed *feed, const struct feed_ring *ring, struct feed_reader *reader,
			struct feed_cursor *cursor)
{
	uint64_t lost = ring->tail > cursor->at ? ring->tail - cursor->at : 0;

	cursor->at += lost;
	cursor->lost += lost;
	reader->missed += lost;
	feed->lagged += lost;
}

/* A sample that comes a little early (timers have jitter) is not left out for it. */
static bool too_soon(const struct feed_reader *reader, uint64_t published_ns)
{
	return reader->interval_ns && published_ns + reader->interval_ns / 8 < reader->due_ns;
}

/* The next one is due on the reader's own grid, unless that has been left behind. */
static void sample_taken(struct feed_reader *reader, uint64_t published_ns)
{
	bool on_grid = reader->due_ns && reader->due_ns + reader->interval_ns > published_ns;

	reader->due_ns = (on_grid ? reader->due_ns : published_ns) + reader->interval_ns;
}

/* What it has been handed out of turn counts as taken. Or -errno: later. */
static int pump_line(struct feed_reader *reader, enum feed_topic topic, const struct feed_slot *slot)
{
	uint64_t behind = reader->cursors[topic].at + 1;
	/* This may end the reader's session, and with it the ring's hold of the line. */
	int r = topic == FEED_METRICS && reader->had == behind ? 0 : reader->ops->put(reader, slot->line);

	if (r < 0)
		return r;
	reader->taken++;
	if (topic == FEED_METRICS) {
		reader->had = behind;
		sample_taken(reader, slot->published_ns);
	}
	return 0;
}

static void pump_topic(struct feed *feed, struct feed_reader *reader, enum feed_topic topic)
{
	struct feed_ring *ring = &feed->rings[topic];
	struct feed_cursor *cursor = &reader->cursors[topic];

	notice_loss(feed, ring, reader, cursor);
	while (cursor->at < ring->head && reader->topics & 1U << topic && reader->ops->room(reader)) {
		struct feed_slot slot = *slot_at(ring, cursor->at);
		uint64_t seq = slot.line->seq;

		if (cursor->lost) {
			if (reader->ops->lagged(reader, topic, cursor->seq, cursor->lost) < 0)
				return;
			cursor->lost = 0;
		}
		if (topic != FEED_METRICS || !too_soon(reader, slot.published_ns)) {
			if (pump_line(reader, topic, &slot) < 0)
				return;
		}
		cursor->seq = seq + 1;
		cursor->at++;
	}
}

/* A line that leaves at once makes room, which must not lead back in here. */
void feed_pump_reader(struct feed *feed, struct feed_reader *reader)
{
	if (reader->pumping)
		return;
	reader->pumping = true;
	for (unsigned topic = 0; topic < FEED_TOPICS; topic++)
		if (reader->topics & 1U << topic)
			pump_topic(feed, reader, (enum feed_topic)topic);
	reader->pumping = false;
}

/* Noted first: a line that leaves at once makes room, and the reader is pumped. */
int feed_hand(struct feed *feed, struct feed_reader *reader, struct line *line)
{
	uint64_t before = reader->had, behind = number_behind(&feed->rings[FEED_METRICS], line);
	int r;

	if (behind)
		reader->had = behind;
	r = reader->ops->put(reader, line);
	if (r < 0)
		reader->had = before;
	return r;
}

bool feed_had(const struct feed *feed, const struct feed_reader *reader, const struct line *line)
{
	uint64_t behind = number_behind(&feed->rings[FEED_METRICS], line);

	return behind && reader->had == behind;
}

bool feed_pump(struct feed *feed, unsigned budget)
{
	while (feed->todo && budget--) {
		struct feed_reader *reader = feed->scan ? feed->scan : feed->first;

		if (!reader) {
			feed->todo = 0;
			break;
		}
		feed->scan = reader->next;
		feed->todo--;
		feed_pump_reader(feed, reader);
	}
	return feed->todo > 0;
}

void feed_done(struct feed *feed)
{
	for (unsigned topic = 0; topic < FEED_TOPICS; topic++)
		ring_clear(&feed->rings[topic]);
}
