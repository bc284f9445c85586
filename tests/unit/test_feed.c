/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/metrics/feed.h"

#define GOT_MAX 256

struct reader {
	struct feed_reader feed;
	unsigned room; /* lines it takes until it has none any more */
	uint64_t got[GOT_MAX], lost_from, lost;
	unsigned count;
	struct line *last;
};

static struct feed feed;

static bool room(struct feed_reader *reader)
{
	return container_of(reader, struct reader, feed)->room > 0;
}

static int put(struct feed_reader *reader, struct line *line)
{
	struct reader *r = container_of(reader, struct reader, feed);

	r->room--;
	r->got[r->count++ % GOT_MAX] = line->seq;
	line_unref(r->last);
	r->last = line_ref(line);
	feed_pump_reader(&feed, reader); /* as a queue that drains at once does */
	return 0;
}

static int lagged(struct feed_reader *reader, enum feed_topic topic, uint64_t from_seq, uint64_t count)
{
	struct reader *r = container_of(reader, struct reader, feed);

	(void)topic;
	r->lost_from = from_seq;
	r->lost = count;
	return 0;
}

static const struct feed_reader_ops ops = { .room = room, .put = put, .lagged = lagged };

static void join(struct reader *r, unsigned topics, uint64_t seq)
{
	*r = (struct reader){ .feed.ops = &ops, .room = GOT_MAX };
	feed_subscribe(&feed, &r->feed, topics, seq);
}

static void part(struct reader *r)
{
	feed_unsubscribe(&feed, &r->feed, r->feed.topics);
	r->last = line_unref(r->last);
}

static void publish(uint64_t seq, size_t size, uint64_t now_ns)
{
	char *text = calloc(1, size);
	struct line *line = line_new(LINE_SAMPLE, text, size);

	free(text);
	line->seq = seq;
	feed_publish(&feed, FEED_METRICS, line, now_ns);
	line_unref(line);
	while (feed_pump(&feed, 3))
		;
}

static int teardown(void **state)
{
	(void)state;
	feed_done(&feed);
	assert_int_equal(feed.readers, 0);
	feed = (struct feed){ .first = NULL };
	return 0;
}

static void every_reader_gets_the_same_line(void **state)
{
	static struct reader readers[10];

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		join(&readers[i], 1U << FEED_METRICS, 0);
	publish(7, 10, 1);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(readers[i].count, 1);
		assert_ptr_equal(readers[i].last, readers[0].last);
		assert_int_equal(readers[i].got[0], 7);
	}
	for (unsigned i = 0; i < 10; i++)
		part(&readers[i]);
}

static void what_nobody_wants_is_not_kept(void **state)
{
	struct reader r;

	(void)state;
	publish(1, 10, 1);
	assert_int_equal(feed.rings[FEED_METRICS].head, 0);
	join(&r, 1U << FEED_EVENTS, 0);
	assert_false(feed_wanted(&feed, FEED_METRICS));
	publish(2, 10, 1);
	assert_int_equal(r.count, 0);
	part(&r);
	assert_false(feed_wanted(&feed, FEED_EVENTS));
}

static void a_reader_begins_with_the_next_line(void **state)
{
	struct reader first, second;

	(void)state;
	join(&first, 1U << FEED_METRICS, 0);
	publish(1, 10, 1);
	join(&second, 1U << FEED_METRICS, 1);
	publish(2, 10, 1);
	assert_int_equal(first.count, 2);
	assert_int_equal(second.count, 1);
	assert_int_equal(second.got[0], 2);
	part(&first);
	part(&second);
}

static void a_slow_reader_loses_the_oldest_and_is_told_which(void **state)
{
	struct reader slow, fast;

	(void)state;
	join(&slow, 1U << FEED_METRICS, 100);
	join(&fast, 1U << FEED_METRICS, 100);
	slow.room = 0;
	for (uint64_t seq = 101; seq <= 100 + FEED_RING_LINES + 10; seq++)
		publish(seq, 10, 1);
	assert_int_equal(fast.count, FEED_RING_LINES + 10);
	assert_int_equal(fast.lost, 0);
	assert_int_equal(slow.count, 0);
	slow.room = GOT_MAX;
	feed_pump_reader(&feed, &slow.feed);
	assert_int_equal(slow.lost_from, 101);
	assert_int_equal(slow.lost, 10);
	assert_int_equal(slow.count, FEED_RING_LINES);
	assert_int_equal(slow.got[0], 111);
	part(&slow);
	part(&fast);
}

static void the_ring_is_bounded_in_bytes_too(void **state)
{
	struct reader slow;

	(void)state;
	join(&slow, 1U << FEED_METRICS, 0);
	slow.room = 0;
	for (uint64_t seq = 1; seq <= 5; seq++)
		publish(seq, FEED_RING_BYTES / 2, 1);
	assert_true(feed.rings[FEED_METRICS].bytes <= FEED_RING_BYTES);
	publish(6, FEED_RING_BYTES * 2, 1);
	assert_int_equal(feed.rings[FEED_METRICS].head - feed.rings[FEED_METRICS].tail, 1);
	slow.room = GOT_MAX;
	feed_pump_reader(&feed, &slow.feed);
	assert_int_equal(slow.got[0], 6);
	assert_int_equal(slow.lost, 5);
	part(&slow);
}

static void an_interval_leaves_samples_out_and_tolerates_jitter(void **state)
{
	static const uint64_t times[] = { 100, 150, 199, 205, 290, 301, 350, 402 };
	static const uint64_t want[] = { 1, 3, 5, 8 };
	struct reader r;

	(void)state;
	join(&r, 1U << FEED_METRICS, 0);
	r.feed.interval_ns = 100;
	for (unsigned i = 0; i < ARRAY_SIZE(times); i++)
		publish(i + 1, 10, times[i]);
	assert_int_equal(r.count, ARRAY_SIZE(want));
	assert_memory_equal(r.got, want, sizeof(want));
	assert_int_equal(r.lost, 0);
	part(&r);
}

/* Before its own turn, as when there are too many readers for one; the put pumps the reader in the middle of it. */
static void what_is_handed_out_of_turn_is_not_brought_again(void **state)
{
	struct line *line = line_new(LINE_SAMPLE, "x\n", 2);
	struct reader r;

	(void)state;
	join(&r, 1U << FEED_METRICS, 0);
	feed_publish(&feed, FEED_METRICS, line, 1);
	assert_false(feed_had(&feed, &r.feed, line));
	assert_int_equal(feed_hand(&feed, &r.feed, line), 0);
	assert_int_equal(r.count, 1);
	assert_true(feed_had(&feed, &r.feed, line));
	while (feed_pump(&feed, 3))
		;
	assert_int_equal(r.count, 1);
	publish(2, 10, 2);
	assert_int_equal(r.count, 2);
	assert_false(feed_had(&feed, &r.feed, line)); /* it is not the newest any more */
	part(&r);
	line_unref(line);
}

static void a_visit_is_cut_into_slices(void **state)
{
	static struct reader readers[10];
	struct line *line = line_new(LINE_SAMPLE, "x\n", 2);
	unsigned reached = 0;

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		join(&readers[i], 1U << FEED_METRICS, 0);
	feed_publish(&feed, FEED_METRICS, line, 1);
	assert_true(feed_pump(&feed, 4));
	for (unsigned i = 0; i < 10; i++)
		reached += readers[i].count;
	assert_int_equal(reached, 4);
	part(&readers[4]); /* in the middle of a round */
	while (feed_pump(&feed, 4))
		;
	for (unsigned i = 0; i < 10; i++)
		if (i != 4)
			assert_int_equal(readers[i].count, 1);
	for (unsigned i = 0; i < 10; i++)
		if (i != 4)
			part(&readers[i]);
	line_unref(line);
}

static void topics_have_names(void **state)
{
	(void)state;
	for (unsigned topic = 0; topic < FEED_TOPICS; topic++)
		assert_int_equal(feed_topic_find(feed_topic_name((enum feed_topic)topic)), topic);
	assert_int_equal(feed_topic_find("Metrics"), FEED_TOPICS);
	assert_int_equal(feed_topic_find(""), FEED_TOPICS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(every_reader_gets_the_same_line, teardown),
		cmocka_unit_test_teardown(what_nobody_wants_is_not_kept, teardown),
		cmocka_unit_test_teardown(a_reader_begins_with_the_next_line, teardown),
		cmocka_unit_test_teardown(a_slow_reader_loses_the_oldest_and_is_told_which, teardown),
		cmocka_unit_test_teardown(the_ring_is_bounded_in_bytes_too, teardown),
		cmocka_unit_test_teardown(an_interval_leaves_samples_out_and_tolerates_jitter, teardown),
		cmocka_unit_test_teardown(what_is_handed_out_of_turn_is_not_brought_again, teardown),
		cmocka_unit_test_teardown(a_visit_is_cut_into_slices, teardown),
		cmocka_unit_test(topics_have_names),
	};

	return cmocka_run_group_tests_name("feed", tests, NULL, NULL);
}
