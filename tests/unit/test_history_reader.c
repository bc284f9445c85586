/* SPDX-License-Identifier: MIT */
/* Batches of the past, by a clock that the test turns, out of a child that says what the test has it say. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fake_loop.h"

#include <infiniservice/cleanup.h>

#include "agent/metrics/history_reader.h"

#define BATCH_BYTES 4096

/* What the child writes; `samples` lines first. */
static struct {
	unsigned samples;
	const char *last; /* NULL: no end */
} script;

int history_child(int fd, void *data)
{
	const struct history_wanted *wanted = data;
	char line[64];

	for (unsigned i = 1; i <= script.samples; i++) {
		int len = snprintf(line, sizeof(line), "%u {\"seq\":%u}\n", i + (unsigned)wanted->from_seq,
				   i + (unsigned)wanted->from_seq);

		if (write(fd, line, (size_t)len) != len)
			return 1;
	}
	if (script.last && write(fd, script.last, strlen(script.last)) < 0)
		return 1;
	return script.last ? 0 : (int)read(fd, line, 1); /* else it goes on until nobody listens */
}

static struct loop loop;
static struct history_reader *reader;

static struct {
	unsigned batches, items, ended;
	bool crowded, refuses, more, last;
	char first[64], error[128];
} got;

static bool on_crowded(void *data)
{
	(void)data;
	return got.crowded;
}

static bool on_batch(void *data, const char *samples, size_t len, bool last)
{
	assert_ptr_equal(data, &got);
	assert_true(len <= BATCH_BYTES);
	if (got.refuses)
		return false;
	got.batches++;
	got.last = last;
	got.items = 0;
	snprintf(got.first, sizeof(got.first), "%.*s", len < 20 ? (int)len : 20, len ? samples : "");
	for (size_t i = 0; i < len; i++)
		got.items += samples[i] == '{';
	return true;
}

static void on_ended(void *data, bool more, const char *error)
{
	(void)data;
	got.ended++;
	got.more = more;
	snprintf(got.error, sizeof(got.error), "%s", error ? error : "");
	if (!error)
		history_reader_flush(reader, true);
}

static void begin(unsigned samples, const char *last)
{
	static const struct history_wanted wanted = { .from_seq = 1000 };

	script.samples = samples;
	script.last = last;
	assert_int_equal(history_reader_new(&(struct history_reader_config){ .loop = &loop,
									     .batch_bytes = BATCH_BYTES,
									     .crowded = on_crowded,
									     .batch = on_batch,
									     .ended = on_ended,
									     .data = &got },
					    &wanted, &reader),
			 0);
}

static int setup(void **state)
{
	(void)state;
	memset(&got, 0, sizeof(got));
	loop_init(&loop, ev_loop_new(0));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	reader = history_reader_free(reader);
	assert_null(fake_next());
	ev_loop_destroy(loop.ev);
	return 0;
}

/* Until what the child says has led to that; the test's clock stands. */
static void until(const unsigned *count)
{
	for (unsigned i = 0; i < 2000 && *count == 0; i++) {
		usleep(1000);
		ev_run(loop.ev, EVRUN_NOWAIT);
	}
	assert_true(*count > 0);
}

/* Until its words are in and a deadline is set for what follows. */
static void hear(void)
{
	for (unsigned i = 0; i < 2000 && !fake_next(); i++) {
		usleep(1000);
		ev_run(loop.ev, EVRUN_NOWAIT);
	}
	assert_non_null(fake_next());
}

static void a_full_batch_goes_out_and_the_next_one_after_a_pause(void **state)
{
	(void)state;
	begin(HISTORY_BATCH_ITEMS + 20, ".\n");
	until(&got.batches);
	assert_int_equal(got.batches, 1);
	assert_int_equal(got.items, HISTORY_BATCH_ITEMS);
	assert_string_equal(got.first, "{\"seq\":1001},{\"seq\":");
	assert_false(got.last);
	assert_int_equal(history_reader_read(reader).delivered_seq, 1000 + HISTORY_BATCH_ITEMS);
	pass_time(&loop, HISTORY_PACE_NS - 1);
	assert_int_equal(got.ended, 0);
	pass_time(&loop, 1);
	until(&got.ended);
	assert_int_equal(got.batches, 2);
	assert_int_equal(got.items, 20);
	assert_true(got.last);
	assert_false(got.more);
	assert_int_equal(history_reader_read(reader).count, HISTORY_BATCH_ITEMS + 20);
	assert_int_equal(history_reader_read(reader).first_seq, 1001);
	assert_int_equal(history_reader_read(reader).delivered_seq, 1000 + HISTORY_BATCH_ITEMS + 20);
}

static void what_there_is_goes_out_after_half_a_second(void **state)
{
	(void)state;
	begin(3, NULL);
	hear();
	pass_time(&loop, HISTORY_BATCH_WAIT_NS - 1);
	assert_int_equal(got.batches, 0);
	pass_time(&loop, 1);
	assert_int_equal(got.batches, 1);
	assert_int_equal(got.items, 3);
	assert_false(got.last);
	assert_int_equal(got.ended, 0);
}

static void a_crowded_taker_is_given_nothing_until_it_has_read(void **state)
{
	(void)state;
	got.crowded = true;
	begin(3, "+\n");
	hear();
	for (unsigned i = 0; i < 20; i++)
		pass_time(&loop, HISTORY_CROWDED_NS);
	assert_int_equal(got.batches, 0);
	assert_int_equal(got.ended, 0);
	assert_int_equal(history_reader_read(reader).count, 0);
	got.crowded = false;
	pass_time(&loop, HISTORY_CROWDED_NS);
	until(&got.ended);
	assert_int_equal(got.ended, 1);
	assert_true(got.more);
	assert_int_equal(got.batches, 1);
	assert_int_equal(got.items, 3);
}

static void what_ends_a_reading_early_is_said(void **state)
{
	static const struct {
		unsigned samples;
		const char *last, *error;
	} cases[] = {
		{ 2, "!the disk is gone\n", "the disk is gone" },
		{ 2, "x\n", "its reader talks nonsense" },
		{ 0, "xyz", "its reader died" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		got.ended = 0;
		begin(cases[i].samples, cases[i].last);
		until(&got.ended);
		assert_string_equal(got.error, cases[i].error);
		assert_int_equal(history_reader_read(reader).delivered_seq, 0);
		pass_time(&loop, NS_PER_S);
		assert_int_equal(got.ended, 1);
		reader = history_reader_free(reader);
	}
	assert_int_equal(got.batches, 0);
}

static void a_batch_that_is_not_taken_ends_it(void **state)
{
	(void)state;
	got.refuses = true;
	begin(3, NULL);
	hear();
	pass_time(&loop, HISTORY_BATCH_WAIT_NS);
	assert_int_equal(got.ended, 1);
	assert_string_equal(got.error, HISTORY_NOT_TAKEN);
	assert_int_equal(history_reader_read(reader).delivered_seq, 0);
	assert_int_equal(history_reader_read(reader).last_seq, 1003);
	reader = history_reader_free(reader);
	got.ended = 0;
	begin(2 * HISTORY_BATCH_ITEMS, ".\n"); /* a full one */
	until(&got.ended);
	assert_string_equal(got.error, HISTORY_NOT_TAKEN);
	assert_int_equal(history_reader_read(reader).last_seq, 1000 + HISTORY_BATCH_ITEMS);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_full_batch_goes_out_and_the_next_one_after_a_pause),
		T(what_there_is_goes_out_after_half_a_second),
		T(a_crowded_taker_is_given_nothing_until_it_has_read),
		T(what_ends_a_reading_early_is_said),
		T(a_batch_that_is_not_taken_ends_it),
	};

	return cmocka_run_group_tests_name("history_reader", tests, NULL, NULL);
}
