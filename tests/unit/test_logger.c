/* SPDX-License-Identifier: MIT */
#include <ev.h>
#include <signal.h>

#include "agent/log/reader.h"
#include "agent/metrics/logger.h"
#include "tests/log_fixture.h"

struct logger_fixture {
	struct log_fixture *log;
	struct ev_loop *loop;
	struct logger *logger;
	struct logger_config config;
	unsigned changes, done;
	enum logger_state state;
	uint64_t seq;
};

static void on_changed(void *data, enum logger_state state, int error)
{
	struct logger_fixture *f = data;

	(void)error;
	f->changes++;
	f->state = state;
}

static int setup(void **state)
{
	struct logger_fixture *f = calloc(1, sizeof(*f));

	log_setup((void **)&f->log);
	f->loop = ev_default_loop(0);
	f->config = (struct logger_config){ .enabled = true, .changed = on_changed, .data = f };
	f->config.child.writer = f->log->config;
	f->config.child.writer.segment_bytes = 1 << 20;
	f->config.child.writer.max_total_bytes = 64 << 20;
	strcpy(f->config.child.runtime_dir, f->log->base);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct logger_fixture *f = *state;

	logger_free(f->logger);
	ev_loop_destroy(f->loop);
	log_teardown((void **)&f->log);
	free(f);
	return 0;
}

static void start(struct logger_fixture *f)
{
	assert_int_equal(logger_new(f->loop, &f->config, &f->logger), 0);
}

static void put(struct logger_fixture *f, size_t len)
{
	static char text[300000];
	struct line *line;

	f->seq++;
	len = sample(text, sizeof(text), T0 + (int64_t)f->seq, f->seq, len);
	line = line_new(LINE_SAMPLE, text, len);
	line->seq = f->seq;
	logger_put(f->logger, line, at(T0 + (int64_t)f->seq));
	line_unref(line);
}

static struct logger_stats stats_now(struct logger_fixture *f)
{
	logger_check(f->logger, at(T0 + (int64_t)f->seq));
	return logger_stats(f->logger);
}

static void on_guard(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	(void)loop, (void)events;
	*(bool *)timer->data = true;
}

/* Runs the loop until the condition holds; false after 5 s. */
static bool run_until(struct logger_fixture *f, bool (*condition)(struct logger_fixture *f))
{
	bool late = false;
	struct ev_timer guard = { 0 };

	ev_timer_init(&guard, on_guard, 5., 0.);
	guard.data = &late;
	ev_timer_start(f->loop, &guard);
	/* The answers of the child wake nobody: they are looked for, as the health tick does. */
	while (!late && !condition(f)) {
		ev_run(f->loop, EVRUN_NOWAIT);
		usleep(500);
		ev_now_update(f->loop);
	}
	ev_timer_stop(f->loop, &guard);
	return !late;
}

static bool nothing_queued(struct logger_fixture *f)
{
	return stats_now(f).queued == 0;
}

static bool is_done(struct logger_fixture *f)
{
	return f->done > 0;
}

static bool has_failed(struct logger_fixture *f)
{
	return f->state == LOGGER_FAILED;
}

static void on_done(void *data)
{
	((struct logger_fixture *)data)->done++;
}

/* How many lines the log has; each seq once and in order. */
static uint64_t logged(struct logger_fixture *f)
{
	struct reader *reader;
	struct reader_line line;
	uint64_t count = 0, last = 0;

	assert_int_equal(reader_open_dir(f->log->dir, &reader, NULL), 0);
	for (; reader_next(reader, &line) == 1; count++, last = line.seq)
		assert_true(line.seq > last);
	assert_int_equal(reader_stats(reader).torn_tails, 0);
	reader_free(reader);
	return count;
}

static void lines_reach_the_log_and_are_counted(void **state)
{
	struct logger_fixture *f = *state;
	struct logger_stats s;

	start(f);
	for (int i = 0; i < 100; i++)
		put(f, 1000);
	assert_true(run_until(f, nothing_queued));
	s = stats_now(f);
	assert_int_equal(s.put, 100);
	assert_int_equal(s.written, 100);
	assert_int_equal(s.last_seq, 100);
	assert_int_equal(s.queued_bytes, 0);
	assert_int_equal(f->changes, 0);
	assert_int_equal(logged(f), 100);
}

static void no_child_is_started_before_the_first_line(void **state)
{
	struct logger_fixture *f = *state;

	start(f);
	assert_int_equal(stats_now(f).pid, -1);
	put(f, 0);
	assert_true(stats_now(f).pid > 0);
}

static void stop_writes_everything_first_and_calls_done_once(void **state)
{
	struct logger_fixture *f = *state;

	start(f);
	for (int i = 0; i < 500; i++)
		put(f, 2000);
	logger_stop(f->logger, on_done, f);
	assert_int_equal(f->done, 0);
	assert_true(run_until(f, is_done));
	assert_int_equal(f->done, 1);
	assert_int_equal(stats_now(f).written, 500);
	assert_int_equal(logged(f), 500);
	put(f, 0); /* no longer taken */
	assert_int_equal(stats_now(f).put, 500);
}

static void stop_without_a_child_is_done_from_the_loop(void **state)
{
	struct logger_fixture *f = *state;

	start(f);
	logger_stop(f->logger, on_done, f);
	assert_int_equal(f->done, 0);
	assert_true(run_until(f, is_done));
}

/* Row 86: killed at any moment, its lines are written by the next one, none twice. */
static void a_killed_child_costs_no_line_and_doubles_none(void **state)
{
	struct logger_fixture *f = *state;
	struct logger_stats s;

	start(f);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 40; i++)
			put(f, 3000);
		if (round == 1)
			assert_true(run_until(f, nothing_queued));
		assert_int_equal(kill((pid_t)stats_now(f).pid, SIGKILL), 0);
		for (int i = 0; i < 40; i++)
			put(f, 3000);
		assert_true(run_until(f, nothing_queued));
	}
	s = stats_now(f);
	assert_int_equal(s.put, 240);
	assert_int_equal(s.written, 240);
	assert_int_equal(s.restarts, 3);
	assert_int_equal(logged(f), 240);
}

/* Rows 63 and 85: a child stuck in the disk delays nothing; what does not fit is dropped, oldest first, and counted. */
static void a_stuck_child_delays_nobody_and_drops_are_counted(void **state)
{
	struct logger_fixture *f = *state;
	struct logger_stats s;
	uint64_t before_ns;

	start(f);
	put(f, 0);
	assert_true(run_until(f, nothing_queued));
	kill((pid_t)stats_now(f).pid, SIGSTOP);
	before_ns = clock_ns(CLOCK_MONOTONIC);
	for (int i = 0; i < 100; i++) {
		put(f, 100000);
		ev_run(f->loop, EVRUN_NOWAIT);
	}
	assert_true(clock_ns(CLOCK_MONOTONIC) - before_ns < 2 * NS_PER_S);
	s = stats_now(f);
	assert_true(s.queued_bytes <= LOGGER_QUEUE_BYTES);
	assert_true(s.dropped > 50);
	assert_int_equal(s.put, s.written + s.dropped + s.queued);
	assert_int_equal(f->state, LOGGER_LAGGING);
	assert_int_equal(f->changes, 1);
	kill((pid_t)s.pid, SIGCONT);
	assert_true(run_until(f, nothing_queued));
	s = stats_now(f);
	assert_int_equal(s.written + s.dropped, s.put);
	assert_int_equal(s.last_seq, 101); /* the newest was kept */
	assert_int_equal(logged(f), s.written);
	assert_int_equal(f->state, LOGGER_OK);
}

static void while_paused_lines_wait_or_are_dropped_and_counted_and_then_all_is_written(void **state)
{
	struct logger_fixture *f = *state;
	struct logger_stats s;

	start(f);
	put(f, 0);
	assert_true(run_until(f, nothing_queued));
	logger_pause(f->logger, true);
	put(f, 0);
	put(f, 0);
	for (int i = 0; i < 20; i++)
		ev_run(f->loop, EVRUN_NOWAIT);
	s = stats_now(f);
	assert_int_equal(s.queued, 2);
	assert_int_equal(logged(f), 1);
	/* A pause is no fault, however long it lasts. */
	logger_check(f->logger, at(T0 + 100000));
	logger_check(f->logger, at(T0 + 200000));
	assert_int_equal(f->changes, 0);
	logger_pause(f->logger, false);
	assert_true(run_until(f, nothing_queued));
	assert_int_equal(logged(f), 3);
	logger_pause(f->logger, true);
	for (int i = 0; i < 100; i++)
		put(f, 100000);
	s = stats_now(f);
	assert_true(s.dropped > 50);
	assert_int_equal(s.put, s.written + s.dropped + s.queued);
	/* A stop ends the pause. */
	logger_stop(f->logger, on_done, f);
	assert_true(run_until(f, is_done));
	assert_int_equal(logged(f), stats_now(f).written);
}

static void a_child_that_does_not_answer_is_called_lagging(void **state)
{
	struct logger_fixture *f = *state;

	start(f);
	logger_start(f->logger);
	kill((pid_t)stats_now(f).pid, SIGSTOP);
	put(f, 0);
	logger_check(f->logger, at(T0 + 1 + 4900));
	assert_int_equal(f->changes, 0);
	logger_check(f->logger, at(T0 + 1 + 5100));
	assert_int_equal(f->state, LOGGER_LAGGING);
	kill((pid_t)stats_now(f).pid, SIGCONT);
	assert_true(run_until(f, nothing_queued));
	assert_int_equal(f->state, LOGGER_OK);
}

/* Row 56: told once, counted, and well again by itself. */
static void a_directory_that_cannot_be_used_is_told_once_and_recovers(void **state)
{
	struct logger_fixture *f = *state;

	spit(f->log->base, "log", "", 0);
	start(f);
	for (int i = 0; i < 10; i++)
		put(f, 0);
	assert_true(run_until(f, nothing_queued));
	assert_true(has_failed(f));
	assert_int_equal(f->changes, 1);
	assert_int_equal(stats_now(f).dropped, 10);
	assert_int_equal(stats_now(f).error, -ENOTDIR);
	run(f->log->base, "rm log");
	put(f, 0);
	assert_true(run_until(f, nothing_queued));
	assert_int_equal(f->state, LOGGER_OK);
	assert_int_equal(stats_now(f).written, 1);
}

/* The child writes it a little later, unless the directory is in memory. */
static void see_latest(struct logger_fixture *f, const char *expected)
{
	char path[256], text[16] = "";

	snprintf(path, sizeof(path), "%s/latest.json", f->log->base);
	for (unsigned tries = 0; tries < 1000 && strcmp(text, expected) != 0; tries++) {
		FILE *file = fopen(path, "re");

		usleep(2000);
		if (!file)
			continue;
		text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
		fclose(file);
	}
	assert_string_equal(text, expected);
}

static void latest_is_written_at_most_once_a_second(void **state)
{
	static const struct {
		unsigned after_ms;
		const char *text, *expected;
	} steps[] = { { 0, "1", "1" },	  { 500, "2", "1" },  { 850, "3", "1" },  { 990, "4", "4" },
		      { 1500, "5", "4" }, { 1990, "6", "6" }, { 60000, "7", "7" } };
	struct logger_fixture *f = *state;

	f->config.enabled = false;
	start(f);
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		struct line *line = line_new(LINE_SAMPLE, steps[i].text, 1);

		logger_latest(f->logger, line, at(T0 + steps[i].after_ms));
		line_unref(line);
		usleep(20000);
		see_latest(f, steps[i].expected);
	}
	logger_stop(f->logger, on_done, f);
	assert_true(run_until(f, is_done));
}

static void latest_is_the_last_line_even_when_logging_is_off(void **state)
{
	struct logger_fixture *f = *state;
	struct line *line = line_new(LINE_SAMPLE, "{\"n\":1}\n", 8), *last = line_new(LINE_SAMPLE, "{\"n\":2}\n", 8);
	char *text;

	f->config.enabled = false;
	start(f);
	put(f, 0);
	assert_int_equal(stats_now(f).put, 0);
	logger_latest(f->logger, line, at(T0));
	logger_latest(f->logger, last, at(T0 + 1000));
	logger_stop(f->logger, on_done, f);
	assert_true(run_until(f, is_done));
	text = slurp(f->log->base, "latest.json", NULL);
	assert_string_equal(text, "{\"n\":2}\n");
	free(text);
	assert_int_equal(stats_now(f).latest_failed, 0);
	assert_int_equal(access(f->log->dir, F_OK), -1);
	assert_int_equal(line->refs + last->refs, 2);
	line_unref(line);
	line_unref(last);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lines_reach_the_log_and_are_counted),
		TEST(no_child_is_started_before_the_first_line),
		TEST(stop_writes_everything_first_and_calls_done_once),
		TEST(stop_without_a_child_is_done_from_the_loop),
		TEST(a_killed_child_costs_no_line_and_doubles_none),
		TEST(a_stuck_child_delays_nobody_and_drops_are_counted),
		TEST(while_paused_lines_wait_or_are_dropped_and_counted_and_then_all_is_written),
		TEST(a_child_that_does_not_answer_is_called_lagging),
		TEST(a_directory_that_cannot_be_used_is_told_once_and_recovers),
		TEST(latest_is_the_last_line_even_when_logging_is_off),
		TEST(latest_is_written_at_most_once_a_second),
	};

	return cmocka_run_group_tests_name("logger", tests, NULL, NULL);
}
