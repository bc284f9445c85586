/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "tests/fake_loop.h"

#include <infiniservice/cleanup.h>

#include "agent/metrics/publish.h"

#define GOT_MAX 256

struct reader {
	struct subscriber subscriber;
	unsigned room; /* lines it takes until it has none any more */
	uint64_t got[GOT_MAX], lost_from, lost;
	unsigned count;
	struct line *last;
};

static struct loop loop;
static struct publisher publisher;

static bool room(struct subscriber *subscriber)
{
	return container_of(subscriber, struct reader, subscriber)->room > 0;
}

static int put(struct subscriber *subscriber, struct line *line)
{
	struct reader *r = container_of(subscriber, struct reader, subscriber);

	r->room--;
	r->got[r->count++ % GOT_MAX] = line->seq;
	line_unref(r->last);
	r->last = line_ref(line);
	publish_drained(subscriber); /* as a queue that drains at once does */
	return 0;
}

static int lagged(struct subscriber *subscriber, enum publish_topic topic, uint64_t from_seq, uint64_t count)
{
	struct reader *r = container_of(subscriber, struct reader, subscriber);

	(void)topic;
	r->lost_from = from_seq;
	r->lost = count;
	return 0;
}

static const struct subscriber_ops ops = { .room = room, .put = put, .lagged = lagged };

static void join(struct reader *r, unsigned topics, uint64_t seq)
{
	*r = (struct reader){ .subscriber.ops = &ops, .room = GOT_MAX };
	publish_subscribe(&publisher, &r->subscriber, topics, seq);
}

static void part(struct reader *r)
{
	publish_unsubscribe(&r->subscriber, r->subscriber.topics);
	r->last = line_unref(r->last);
}

static void publish(uint64_t seq, size_t size, uint64_t now_ns)
{
	char *text = calloc(1, size);
	struct line *line = line_new(LINE_SAMPLE, text, size);

	free(text);
	line->seq = seq;
	loop.now.mono_ns = now_ns;
	publish_line(&publisher, PUBLISH_METRICS, line);
	line_unref(line);
}

static int setup(void **state)
{
	(void)state;
	loop_init(&loop, ev_loop_new(0));
	publish_init(&publisher, &loop);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	publish_done(&publisher);
	assert_int_equal(publisher.subscribers, 0);
	ev_loop_destroy(loop.ev);
	return 0;
}

static void every_reader_gets_the_same_line(void **state)
{
	static struct reader readers[10];

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		join(&readers[i], 1U << PUBLISH_METRICS, 0);
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
	assert_int_equal(publisher.rings[PUBLISH_METRICS].head, 0);
	join(&r, 1U << PUBLISH_EVENTS, 0);
	assert_false(publish_wanted(&publisher, PUBLISH_METRICS));
	publish(2, 10, 1);
	assert_int_equal(r.count, 0);
	part(&r);
	assert_false(publish_wanted(&publisher, PUBLISH_EVENTS));
}

static void a_reader_begins_with_the_next_line(void **state)
{
	struct reader first, second;

	(void)state;
	join(&first, 1U << PUBLISH_METRICS, 0);
	publish(1, 10, 1);
	join(&second, 1U << PUBLISH_METRICS, 1);
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
	join(&slow, 1U << PUBLISH_METRICS, 100);
	join(&fast, 1U << PUBLISH_METRICS, 100);
	slow.room = 0;
	for (uint64_t seq = 101; seq <= 100 + PUBLISH_RING_LINES + 10; seq++)
		publish(seq, 10, 1);
	assert_int_equal(fast.count, PUBLISH_RING_LINES + 10);
	assert_int_equal(fast.lost, 0);
	assert_int_equal(slow.count, 0);
	slow.room = GOT_MAX;
	publish_drained(&slow.subscriber);
	assert_int_equal(slow.lost_from, 101);
	assert_int_equal(slow.lost, 10);
	assert_int_equal(slow.count, PUBLISH_RING_LINES);
	assert_int_equal(slow.got[0], 111);
	part(&slow);
	part(&fast);
}

static void the_ring_is_bounded_in_bytes_too(void **state)
{
	struct reader slow;

	(void)state;
	join(&slow, 1U << PUBLISH_METRICS, 0);
	slow.room = 0;
	for (uint64_t seq = 1; seq <= 5; seq++)
		publish(seq, PUBLISH_RING_BYTES / 2, 1);
	assert_true(publisher.rings[PUBLISH_METRICS].bytes <= PUBLISH_RING_BYTES);
	publish(6, PUBLISH_RING_BYTES * 2, 1);
	assert_int_equal(publisher.rings[PUBLISH_METRICS].head - publisher.rings[PUBLISH_METRICS].tail, 1);
	slow.room = GOT_MAX;
	publish_drained(&slow.subscriber);
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
	join(&r, 1U << PUBLISH_METRICS, 0);
	r.subscriber.interval_ns = 100;
	for (unsigned i = 0; i < ARRAY_SIZE(times); i++)
		publish(i + 1, 10, times[i]);
	assert_int_equal(r.count, ARRAY_SIZE(want));
	assert_memory_equal(r.got, want, sizeof(want));
	assert_int_equal(r.lost, 0);
	part(&r);
}

static void many_join(struct reader *readers, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		join(&readers[i], 1U << PUBLISH_METRICS, 0);
}

static unsigned reached(const struct reader *readers, unsigned count)
{
	unsigned n = 0;

	for (unsigned i = 0; i < count; i++)
		n += readers[i].count;
	return n;
}

#define MANY (2 * PUBLISH_PER_TURN + 4)

/* Before its own turn, as there are too many readers for one; the put pumps the reader in the middle of it. */
static void what_is_handed_out_of_turn_is_not_brought_again(void **state)
{
	static struct reader readers[MANY];
	struct line *line = line_new(LINE_SAMPLE, "x\n", 2);
	struct reader *r = &readers[0]; /* who came first is visited last */

	(void)state;
	many_join(readers, MANY);
	publish_line(&publisher, PUBLISH_METRICS, line);
	assert_int_equal(r->count, 0);
	assert_false(publish_had(&r->subscriber, line));
	assert_int_equal(publish_hand(&r->subscriber, line), 0);
	assert_int_equal(r->count, 1);
	assert_true(publish_had(&r->subscriber, line));
	pass_time(&loop, 0);
	assert_int_equal(r->count, 1);
	assert_int_equal(reached(readers, MANY), MANY);
	publish(2, 10, loop.now.mono_ns);
	pass_time(&loop, 0);
	assert_int_equal(r->count, 2);
	assert_false(publish_had(&r->subscriber, line)); /* it is not the newest any more */
	for (unsigned i = 0; i < MANY; i++)
		part(&readers[i]);
	line_unref(line);
}

static void a_visit_is_cut_into_turns_of_the_loop(void **state)
{
	static struct reader readers[MANY];
	struct reader *next = &readers[MANY - PUBLISH_PER_TURN - 1]; /* who came last is visited first */

	(void)state;
	many_join(readers, MANY);
	publish(1, 10, loop.now.mono_ns);
	assert_int_equal(reached(readers, MANY), PUBLISH_PER_TURN);
	part(next); /* in the middle of a round, and with it its memory */
	memset(next, 0, sizeof(*next));
	assert_true(fake_turn(&loop, loop.now.mono_ns));
	assert_int_equal(reached(readers, MANY), 2 * PUBLISH_PER_TURN);
	assert_true(fake_turn(&loop, loop.now.mono_ns));
	assert_int_equal(reached(readers, MANY), MANY - 1);
	assert_int_equal(next->count, 0);
	assert_null(fake_next()); /* nothing is left to do */
	for (unsigned i = 0; i < MANY; i++)
		part(&readers[i]);
}

static void topics_have_names(void **state)
{
	(void)state;
	for (unsigned topic = 0; topic < PUBLISH_TOPICS; topic++)
		assert_int_equal(publish_topic_find(publish_topic_name((enum publish_topic)topic)), topic);
	assert_int_equal(publish_topic_find("Metrics"), PUBLISH_TOPICS);
	assert_int_equal(publish_topic_find(""), PUBLISH_TOPICS);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(every_reader_gets_the_same_line),
		T(what_nobody_wants_is_not_kept),
		T(a_reader_begins_with_the_next_line),
		T(a_slow_reader_loses_the_oldest_and_is_told_which),
		T(the_ring_is_bounded_in_bytes_too),
		T(an_interval_leaves_samples_out_and_tolerates_jitter),
		T(what_is_handed_out_of_turn_is_not_brought_again),
		T(a_visit_is_cut_into_turns_of_the_loop),
		cmocka_unit_test(topics_have_names),
	};

	return cmocka_run_group_tests_name("publish", tests, NULL, NULL);
}
