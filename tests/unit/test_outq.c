/* SPDX-License-Identifier: MIT */
/* The output queue: what goes first, what is dropped for it, and that every line is accounted for exactly once. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "transport/backoff.h"
#include "transport/outq.h"

struct fixture {
	struct outq q;
	char sent[4096], dropped[4096]; /* the lines reported, joined */
	unsigned sent_count, dropped_count;
	struct line *from_sent; /* pushed from the next `sent` */
};

static void note(char *log, size_t size, const struct line *line)
{
	size_t used = strlen(log);

	if (used + line->len < size)
		memcpy(log + used, line->text, line->len);
}

static void on_sent(void *data, const struct line *line)
{
	struct fixture *f = data;

	f->sent_count++;
	note(f->sent, sizeof(f->sent), line);
	if (f->from_sent) {
		struct line *more = f->from_sent;

		f->from_sent = NULL;
		assert_int_equal(outq_push(&f->q, more), 0);
		line_unref(more);
	}
}

static void on_dropped(void *data, const struct line *line)
{
	struct fixture *f = data;

	f->dropped_count++;
	note(f->dropped, sizeof(f->dropped), line);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	outq_init(&f->q, 1000, on_sent, on_dropped, f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	outq_done(&f->q);
	free(f);
	return 0;
}

static int push(struct fixture *f, enum line_class class, const char *text)
{
	struct line *line = line_new(class, text, strlen(text));
	int r = outq_push(&f->q, line);

	line_unref(line);
	return r;
}

/* A line that costs exactly `cost`, beginning with `tag`. */
static int push_cost(struct fixture *f, enum line_class class, char tag, size_t cost)
{
	char text[1024];

	assert_in_range(cost, OUTQ_LINE_COST + 2, OUTQ_LINE_COST + sizeof(text) - 1);
	memset(text, '.', sizeof(text));
	text[0] = tag;
	text[cost - OUTQ_LINE_COST - 1] = '\n';
	text[cost - OUTQ_LINE_COST] = '\0';
	return push(f, class, text);
}

static void expect_gather(struct fixture *f, bool samples, size_t size, const char *want)
{
	char chunk[2048];
	size_t len = outq_gather(&f->q, samples, chunk, size);

	chunk[len] = '\0';
	assert_string_equal(chunk, want);
}

static void replies_go_before_events_before_samples(void **state)
{
	struct fixture *f = *state;

	push(f, LINE_SAMPLE, "s1\n");
	push(f, LINE_EVENT, "e1\n");
	push(f, LINE_REPLY, "r1\n");
	push(f, LINE_SAMPLE, "s2\n");
	push(f, LINE_REPLY, "r2\n");
	assert_int_equal(f->q.bytes, 15);
	expect_gather(f, true, 2000, "r1\nr2\ne1\ns1\ns2\n");
	outq_consume(&f->q, true, 15);
	assert_string_equal(f->sent, "r1\nr2\ne1\ns1\ns2\n");
	assert_int_equal(f->q.bytes, 0);
	assert_int_equal(f->q.cost, 0);
}

static void a_line_that_has_begun_is_finished_first(void **state)
{
	struct fixture *f = *state;

	push(f, LINE_SAMPLE, "sample\n");
	outq_consume(&f->q, true, 3);
	push(f, LINE_REPLY, "reply\n");
	expect_gather(f, true, 2000, "ple\nreply\n");
	expect_gather(f, false, 2000, "ple\nreply\n");
	outq_consume(&f->q, false, 5);
	assert_string_equal(f->sent, "sample\n");
	expect_gather(f, true, 2000, "eply\n");
}

static void samples_stay_when_they_are_not_asked_for(void **state)
{
	struct fixture *f = *state;

	push(f, LINE_SAMPLE, "s\n");
	assert_false(outq_ready(&f->q, false));
	assert_true(outq_ready(&f->q, true));
	expect_gather(f, false, 2000, "");
	push(f, LINE_EVENT, "e\n");
	expect_gather(f, false, 2000, "e\n");
	outq_consume(&f->q, false, 2);
	assert_int_equal(f->q.bytes, 2);
}

static void a_full_chunk_ends_inside_a_line(void **state)
{
	struct fixture *f = *state;

	push(f, LINE_REPLY, "abc\n");
	push(f, LINE_EVENT, "def\n");
	expect_gather(f, true, 6, "abc\nde");
	outq_consume(&f->q, true, 6);
	expect_gather(f, true, 6, "f\n");
}

static void the_oldest_samples_go_first_when_full(void **state)
{
	struct fixture *f = *state;

	for (char tag = 'a'; tag <= 'e'; tag++)
		assert_int_equal(push_cost(f, LINE_SAMPLE, tag, 200), 0);
	assert_int_equal(push_cost(f, LINE_SAMPLE, 'f', 300), 0);
	assert_int_equal(f->dropped_count, 2);
	assert_int_equal(f->dropped[0], 'a');
	assert_int_equal(f->dropped[104], 'b');
	assert_true(f->q.cost <= 1000);
}

static void a_reply_costs_samples_then_events_never_replies(void **state)
{
	struct fixture *f = *state;

	push_cost(f, LINE_REPLY, 'R', 200);
	push_cost(f, LINE_EVENT, 'e', 300);
	push_cost(f, LINE_SAMPLE, 's', 500);
	assert_int_equal(push_cost(f, LINE_REPLY, 'S', 700), 0);
	assert_int_equal(f->dropped_count, 2);
	assert_int_equal(f->dropped[0], 's');
	assert_int_equal(f->dropped[404], 'e');
	assert_int_equal(push_cost(f, LINE_REPLY, 'T', 200), -ENOBUFS);
	assert_int_equal(f->dropped_count, 2);
}

static void what_cannot_fit_drops_nothing(void **state)
{
	struct fixture *f = *state;

	push_cost(f, LINE_REPLY, 'R', 500);
	push_cost(f, LINE_EVENT, 'e', 200);
	push_cost(f, LINE_SAMPLE, 's', 200);
	assert_int_equal(push_cost(f, LINE_REPLY, 'S', 501), -ENOBUFS);
	assert_int_equal(push_cost(f, LINE_SAMPLE, 't', 301), -ENOBUFS); /* may not cost the event */
	assert_int_equal(f->dropped_count, 0);
	assert_int_equal(push_cost(f, LINE_EVENT, 'f', 500), 0); /* costs both */
	assert_int_equal(f->dropped_count, 2);
}

/* A flood of output keeps its order and costs nobody an answer. */
static void bulk_goes_behind_replies_in_its_own_order(void **state)
{
	struct fixture *f = *state;

	push(f, LINE_BULK, "b1\n");
	push(f, LINE_EVENT, "e1\n");
	push(f, LINE_BULK, "b2\n");
	push(f, LINE_REPLY, "r1\n");
	expect_gather(f, true, 100, "r1\nb1\nb2\ne1\n");
	assert_true(outq_ready(&f->q, false));
	outq_drop_all(&f->q);
	assert_int_equal(push_cost(f, LINE_BULK, 'b', 700), 0);
	assert_int_equal(push_cost(f, LINE_REPLY, 'r', 301), -ENOBUFS); /* bulk is never dropped for it */
	assert_true(outq_ready(&f->q, false));
}

static void a_begun_sample_is_not_dropped_for_room(void **state)
{
	struct fixture *f = *state;

	push_cost(f, LINE_SAMPLE, 'a', 600);
	outq_consume(&f->q, true, 1);
	assert_int_equal(push_cost(f, LINE_REPLY, 'r', 500), -ENOBUFS);
	assert_int_equal(f->dropped_count, 0);
	outq_drop_begun(&f->q);
	assert_int_equal(f->dropped_count, 1);
	assert_int_equal(f->q.bytes, 0);
	assert_int_equal(push_cost(f, LINE_REPLY, 'r', 500), 0);
}

static void short_lines_are_bounded_too(void **state)
{
	struct fixture *f = *state;
	unsigned accepted = 0;

	while (accepted < 10000 && push(f, LINE_REPLY, "\n") == 0)
		accepted++;
	assert_int_equal(accepted, 1000 / (OUTQ_LINE_COST + 1));
}

static void an_empty_line_is_refused(void **state)
{
	assert_int_equal(push(*state, LINE_REPLY, ""), -EINVAL);
}

static void a_callback_may_push(void **state)
{
	struct fixture *f = *state;

	push(f, LINE_EVENT, "e1\n");
	push(f, LINE_EVENT, "e2\n");
	f->from_sent = line_new(LINE_REPLY, "r\n", 2);
	outq_consume(&f->q, true, 4);
	expect_gather(f, true, 100, "2\nr\n");
}

static void drop_all_reports_each_line_once(void **state)
{
	struct fixture *f = *state;

	push(f, LINE_SAMPLE, "s\n");
	push(f, LINE_EVENT, "e\n");
	push(f, LINE_REPLY, "r\n");
	outq_consume(&f->q, true, 1);
	outq_drop_all(&f->q);
	assert_string_equal(f->dropped, "r\ne\ns\n");
	assert_int_equal(f->q.cost, 0);
	assert_int_equal(f->q.cost_of[LINE_SAMPLE], 0);
	outq_drop_all(&f->q);
	assert_int_equal(f->dropped_count, 3);
}

static void sent_and_dropped_add_up_to_what_was_accepted(void **state)
{
	struct fixture *f = *state;
	unsigned accepted = 0;
	uint32_t random = 42;
	char chunk[64];

	for (unsigned i = 0; i < 20000; i++) {
		uint32_t r = backoff_random(&random);
		bool samples = r & 8;

		if (r & 4) {
			size_t cost = OUTQ_LINE_COST + 2 + (r >> 16) % 300;

			accepted += push_cost(f, (r >> 8) % LINE_CLASSES, 'x', cost) == 0;
		} else {
			size_t len = outq_gather(&f->q, samples, chunk, sizeof(chunk));

			outq_consume(&f->q, samples, len ? (r >> 16) % (len + 1) : 0);
		}
		assert_true(f->q.cost <= f->q.limit);
	}
	assert_true(f->sent_count > 100 && f->dropped_count > 100);
	outq_drop_all(&f->q);
	assert_int_equal(f->sent_count + f->dropped_count, accepted);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(replies_go_before_events_before_samples),
		T(a_line_that_has_begun_is_finished_first),
		T(samples_stay_when_they_are_not_asked_for),
		T(a_full_chunk_ends_inside_a_line),
		T(the_oldest_samples_go_first_when_full),
		T(a_reply_costs_samples_then_events_never_replies),
		T(what_cannot_fit_drops_nothing),
		T(bulk_goes_behind_replies_in_its_own_order),
		T(a_begun_sample_is_not_dropped_for_room),
		T(short_lines_are_bounded_too),
		T(an_empty_line_is_refused),
		T(a_callback_may_push),
		T(drop_all_reports_each_line_once),
		T(sent_and_dropped_add_up_to_what_was_accepted),
	};

	return cmocka_run_group_tests_name("outq", tests, NULL, NULL);
}
