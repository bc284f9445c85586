/* SPDX-License-Identifier: MIT */
/* Rings and cursors; see publish.h. */
#include "agent/metrics/publish.h"

#include <string.h>

static const char *const names[PUBLISH_TOPICS] = { "metrics", "events", "commands" };

const char *publish_topic_name(enum publish_topic topic)
{
	return names[topic];
}

enum publish_topic publish_topic_find(const char *name)
{
	unsigned topic = 0;

	while (topic < PUBLISH_TOPICS && strcmp(names[topic], name) != 0)
		topic++;
	return (enum publish_topic)topic;
}

/* ------------------------------------------------------------------------------------------------------------ ring */

/* The ring number + 1 of the sample, whole or not, if it is the newest of the ring; else 0. */
static uint64_t number_behind(const struct publish_ring *ring, const struct line *line)
{
	bool newest =
		ring->head != ring->tail && ring->slots[(ring->head - 1) % PUBLISH_RING_LINES].line->seq == line->seq;

	return newest ? ring->head : 0;
}

static struct publish_slot *slot_at(struct publish_ring *ring, uint64_t number)
{
	return &ring->slots[number % PUBLISH_RING_LINES];
}

static void ring_shift(struct publish_ring *ring)
{
	struct publish_slot *slot = slot_at(ring, ring->tail++);

	ring->bytes -= slot->line->len + (slot->whole ? slot->whole->len : 0);
	slot->line = line_unref(slot->line);
	slot->whole = line_unref(slot->whole);
}

static void ring_clear(struct publish_ring *ring)
{
	while (ring->tail != ring->head)
		ring_shift(ring);
}

/* ----------------------------------------------------------------------------------------------------- subscribers */

bool publish_wanted(const struct publisher *publisher, enum publish_topic topic)
{
	return publisher->wanted[topic] > 0;
}

void publish_subscribe(struct publisher *publisher, struct subscriber *subscriber, unsigned topics, uint64_t seq)
{
	unsigned fresh = topics & ~subscriber->topics;

	subscriber->publisher = publisher;
	if (fresh & 1U << PUBLISH_METRICS &&
	    publisher->rings[PUBLISH_METRICS].head == publisher->rings[PUBLISH_METRICS].tail)
		publisher->rings[PUBLISH_METRICS].last_seq = seq;
	for (unsigned topic = 0; topic < PUBLISH_TOPICS; topic++)
		if (fresh & 1U << topic) {
			subscriber->cursors[topic] =
				(struct publish_cursor){ .at = publisher->rings[topic].head,
							 .seq = publisher->rings[topic].last_seq + 1 };
			publisher->wanted[topic]++;
		}
	if (topics & 1U << PUBLISH_METRICS) /* a new interval applies at once */
		subscriber->due_ns = 0;
	if (!subscriber->topics && topics) {
		subscriber->next = publisher->first;
		publisher->first = subscriber;
		publisher->subscribers++;
	}
	subscriber->topics |= topics;
}

void publish_unsubscribe(struct subscriber *subscriber, unsigned topics)
{
	struct publisher *publisher = subscriber->publisher;
	unsigned before = subscriber->topics;

	subscriber->topics &= ~topics;
	if (before && !subscriber->topics) {
		struct subscriber **at = &publisher->first;

		while (*at != subscriber)
			at = &(*at)->next;
		*at = subscriber->next;
		if (publisher->scan == subscriber)
			publisher->scan = subscriber->next;
		publisher->subscribers--;
	}
	for (unsigned topic = 0; topic < PUBLISH_TOPICS; topic++)
		if (before & topics & 1U << topic && --publisher->wanted[topic] == 0)
			ring_clear(&publisher->rings[topic]);
}

bool publish_reads(const struct subscriber *subscriber, enum publish_topic topic)
{
	return subscriber->topics >> topic & 1;
}

/*
 * ------------------------------------------------------------------------------------------------------- handing out
 */

/*
 * Hands out the lines of a topic, as long as there is room. Of samples, those are skipped that come too soon for the
 * subscriber's interval, with a tolerance of an eighth for the jitter of timers; the next one is then due on its own
 * grid, or an interval from now if that was missed; what is handed out is whole, as one between may have been the whole
 * one. A sample that publish_hand has handed out is not handed out again.
 */
static void pump_topic(struct publisher *publisher, struct subscriber *subscriber, enum publish_topic topic)
{
	struct publish_ring *ring = &publisher->rings[topic];
	struct publish_cursor *cursor = &subscriber->cursors[topic];
	uint64_t lost = ring->tail > cursor->at ? ring->tail - cursor->at : 0, interval_ns = subscriber->interval_ns;

	cursor->at += lost;
	cursor->lost += lost;
	subscriber->missed += lost;
	publisher->lagged += lost;
	while (cursor->at < ring->head && subscriber->topics & 1U << topic && subscriber->ops->room(subscriber)) {
		/* `put` may end the subscriber's session, and the ring may free the line. */
		const struct publish_slot slot = *slot_at(ring, cursor->at);
		uint64_t seq = slot.line->seq, behind = cursor->at + 1;
		bool sample = topic == PUBLISH_METRICS;

		if (cursor->lost) {
			if (subscriber->ops->lagged(subscriber, topic, cursor->seq, cursor->lost) < 0)
				return;
			cursor->lost = 0;
		}
		if (!sample || !interval_ns || slot.published_ns + interval_ns / 8 >= subscriber->due_ns) {
			struct line *line = interval_ns && slot.whole ? slot.whole : slot.line;

			if (!(sample && subscriber->had == behind) && subscriber->ops->put(subscriber, line) < 0)
				return;
			subscriber->taken++;
			if (sample) {
				bool on_grid =
					subscriber->due_ns && subscriber->due_ns + interval_ns > slot.published_ns;

				subscriber->had = behind;
				subscriber->due_ns = (on_grid ? subscriber->due_ns : slot.published_ns) + interval_ns;
			}
		}
		cursor->seq = seq + 1;
		cursor->at++;
	}
}

static void pump(struct publisher *publisher, struct subscriber *subscriber)
{
	if (subscriber->pumping) /* not re-entrant: a line written at once makes room, and calls publish_drained */
		return;
	subscriber->pumping = true;
	for (unsigned topic = 0; topic < PUBLISH_TOPICS; topic++)
		if (publish_reads(subscriber, (enum publish_topic)topic))
			pump_topic(publisher, subscriber, (enum publish_topic)topic);
	subscriber->pumping = false;
}

void publish_drained(struct subscriber *subscriber)
{
	if (subscriber->topics)
		pump(subscriber->publisher, subscriber);
}

/* Visits the subscribers not yet visited since the last line; leaves the rest to the next turn of the loop. */
static void visit(void *data)
{
	struct publisher *publisher = data;

	loop_work(publisher->rest.loop->ev, "subscribers", NULL);
	for (unsigned budget = PUBLISH_PER_TURN; publisher->todo && budget; budget--) {
		struct subscriber *subscriber = publisher->scan ? publisher->scan : publisher->first;

		if (!subscriber) {
			publisher->todo = 0;
			break;
		}
		publisher->scan = subscriber->next;
		publisher->todo--;
		pump(publisher, subscriber);
	}
	deadline_at(&publisher->rest, publisher->todo ? 0 : TIME_NEVER);
}

/* `whole`: NULL, or the line for those who do not get every one. */
static void publish(struct publisher *publisher, enum publish_topic topic, struct line *line, struct line *whole)
{
	struct publish_ring *ring = &publisher->rings[topic];
	size_t len = line->len + (whole ? whole->len : 0);

	if (!publish_wanted(publisher, topic))
		return;
	if (line->seq == 0)
		line->seq = ring->last_seq + 1;
	while (ring->head - ring->tail == PUBLISH_RING_LINES ||
	       (ring->head != ring->tail && ring->bytes + len > PUBLISH_RING_BYTES))
		ring_shift(ring);
	*slot_at(ring, ring->head++) = (struct publish_slot){ .line = line_ref(line),
							      .whole = whole ? line_ref(whole) : NULL,
							      .published_ns = publisher->rest.loop->now.mono_ns };
	ring->bytes += len;
	ring->last_seq = line->seq;
	publisher->published++;
	publisher->todo = publisher->subscribers;
	visit(publisher);
}

void publish_line(struct publisher *publisher, enum publish_topic topic, struct line *line)
{
	publish(publisher, topic, line, NULL);
}

void publish_sample(struct publisher *publisher, struct line *line, struct line *whole)
{
	publish(publisher, PUBLISH_METRICS, line, whole == line ? NULL : whole);
}

/* `had` is set before `put`: a line written at once makes room, and the subscriber is pumped from within. */
int publish_hand(struct subscriber *subscriber, struct line *line)
{
	uint64_t before = subscriber->had;
	uint64_t behind = number_behind(&subscriber->publisher->rings[PUBLISH_METRICS], line);
	int r;

	if (behind)
		subscriber->had = behind;
	r = subscriber->ops->put(subscriber, line);
	if (r < 0)
		subscriber->had = before;
	return r;
}

bool publish_had(const struct subscriber *subscriber, const struct line *line)
{
	uint64_t behind = number_behind(&subscriber->publisher->rings[PUBLISH_METRICS], line);

	return behind && subscriber->had == behind;
}

void publish_report(const struct publisher *publisher, struct sink *out)
{
	sink_uint(out, "sessions", publisher->subscribers);
	sink_uint(out, "published", publisher->published);
	sink_uint(out, "lagged", publisher->lagged);
}

void publish_init(struct publisher *publisher, struct loop *loop)
{
	*publisher = (struct publisher){ .first = NULL };
	deadline_init(&publisher->rest, loop, visit, publisher);
}

void publish_done(struct publisher *publisher)
{
	deadline_stop(&publisher->rest);
	for (unsigned topic = 0; topic < PUBLISH_TOPICS; topic++)
		ring_clear(&publisher->rings[topic]);
}
