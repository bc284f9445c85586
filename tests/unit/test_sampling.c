/* SPDX-License-Identifier: MIT */
/* When samples are taken, by a clock that the test turns, with collectors and probes of its own. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fake_loop.h"

#include <infiniservice/cleanup.h>

#include "agent/metrics/sampling.h"
#include "agent/metrics/whole.h"
#include "collectors/processes.h"

#define INTERVAL_NS (30 * NS_PER_S)

/*
 * -------------------------------------------------------------------------------------------------- what is collected
 */

static struct {
	unsigned collected, gaps;
	unsigned slices; /* it needs beyond the first, each time */
	unsigned left;
	int open_result, result;
	uint64_t collected_ns; /* by the context of its last slice */
	int news[2];	       /* a pipe: what is readable is worth a sample */
	unsigned scans, scan_slices, scan_left;
	unsigned outstanding; /* probes */
	unsigned constant;
	unsigned slow; /* how often the collector with a period was read, */
	int slow_result;
} world;

static int open_plain(const struct collect_ctx *ctx, void **ret_state)
{
	(void)ctx;
	if (world.open_result == 0)
		*ret_state = &world;
	return world.open_result;
}

static void close_plain(void *state)
{
	(void)state;
}

static int collect_plain(void *state, const struct collect_ctx *ctx)
{
	(void)state;
	world.collected_ns = ctx->now.mono_ns;
	if (world.left > 0) {
		world.left--;
		return world.left ? COLLECT_MORE : world.result;
	}
	world.collected++;
	world.gaps += ctx->gap;
	world.left = world.slices;
	return world.slices ? COLLECT_MORE : world.result;
}

static void emit_plain(const void *state, struct sink *out)
{
	(void)state;
	sink_whole_begin(out);
	sink_uint(out, "constant", world.constant);
	sink_whole_end(out);
	sink_uint(out, "collected", world.collected);
}

static int news_fd(const void *state)
{
	(void)state;
	return world.news[0];
}

static bool is_news(void *state)
{
	char byte;

	(void)state;
	return read(world.news[0], &byte, 1) == 1 && byte == '!';
}

static const struct collector collector_plain = { .name = "plain",
						  .path = "plain",
						  .open = open_plain,
						  .close = close_plain,
						  .collect = collect_plain,
						  .emit = emit_plain,
						  .whole_keys = "constant",
						  .wake_fd = news_fd,
						  .wake = is_news };

static int collect_slow(void *state, const struct collect_ctx *ctx)
{
	(void)state;
	(void)ctx;
	world.slow++;
	return world.slow_result;
}

static void emit_slow(const void *state, struct sink *out)
{
	(void)state;
	sink_uint(out, "times", world.slow);
}

static const struct collector collector_slow = { .name = "slow",
						 .path = "slow",
						 .period_s = 3 * INTERVAL_NS / NS_PER_S,
						 .open = open_plain,
						 .close = close_plain,
						 .collect = collect_slow,
						 .emit = emit_slow };

static int collect_processes(void *state, const struct collect_ctx *ctx)
{
	(void)state;
	(void)ctx;
	world.scans++;
	return 0;
}

static void emit_processes(const void *state, struct sink *out)
{
	(void)state;
	(void)out;
}

const struct collector collector_processes = { .name = "processes",
					       .path = "processes",
					       .open = open_plain,
					       .close = close_plain,
					       .collect = collect_processes,
					       .emit = emit_processes };

int processes_refresh(void *state, const struct collect_ctx *ctx)
{
	(void)state;
	(void)ctx;
	if (world.scan_left > 0)
		return --world.scan_left ? COLLECT_MORE : 0;
	world.scans++;
	world.scan_left = world.scan_slices;
	return world.scan_slices ? COLLECT_MORE : 0;
}

const struct collector *const collectors[] = { &collector_plain, &collector_slow, &collector_processes, NULL };

struct prober *prober_for(struct prober_pool *pool, void (*probed)(void *state, const struct probe_result *result),
			  void *state)
{
	(void)pool;
	(void)probed;
	(void)state;
	return NULL;
}

unsigned prober_outstanding(const struct prober_pool *pool, const struct prober *prober)
{
	(void)pool;
	(void)prober;
	return world.outstanding;
}

/*
 * ------------------------------------------------------------------------------------------------------------ bench
 */

static struct loop loop;
static struct config config;
static struct identity id = { .boot_id = "boot", .generation = "0123456789abcdef" };
static struct sampling *sampling;

static struct {
	bool whole; /* the last one */
	unsigned samples, begun, late;
	unsigned ready; /* calls of waiters */
	unsigned to;	/* of the last sample */
	uint64_t seq, at_ns;
	char text[4096];
	bool gap_at_begin;
} got;

static void on_late(void *data)
{
	(void)data;
	got.late++;
	sampling_soon(sampling, SAMPLE_TO_LOG);
}

static void on_begin(void *data)
{
	(void)data;
	got.begun++;
	if (got.gap_at_begin) {
		sampling_gap(sampling);
		sampling_soon(sampling, SAMPLE_TO_ALL);
	}
	got.gap_at_begin = false;
}

static void on_sample(void *data, unsigned to, struct line *line, struct line *whole)
{
	assert_ptr_equal(data, &got);
	assert_non_null(line);
	assert_true(line->len < sizeof(got.text));
	got.samples++;
	got.to = to;
	got.seq = line->seq;
	got.at_ns = loop.now.mono_ns;
	memcpy(got.text, line->text, line->len);
	got.text[line->len] = '\0';
	assert_ptr_equal(whole, sampling_latest(sampling));
	got.whole = whole == line;
	assert_int_equal(sampling_latest_went_whole(sampling), got.whole);
}

static void on_ready(void *data)
{
	(void)data;
	got.ready++;
}

static void emit_self(void *data, struct sink *out)
{
	(void)data;
	(void)out;
}

static void on_changed(void *data, const struct collector *collector, int error)
{
	(void)data;
	(void)collector;
	(void)error;
}

static void begin_sampling(void)
{
	sampling_free(sampling);
	sampling = sampling_new(&(struct sampling_config){ .loop = &loop,
							   .changed = on_changed,
							   .probers = (struct prober_pool *)&world,
							   .id = &id,
							   .first_seq = 100,
							   .late = on_late,
							   .begin = on_begin,
							   .sample = on_sample,
							   .emit_self = emit_self,
							   .data = &got },
				&config);
	assert_non_null(sampling);
}

static int setup(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	memset(&got, 0, sizeof(got));
	assert_int_equal(pipe2(world.news, O_NONBLOCK | O_CLOEXEC), 0);
	loop_init(&loop, ev_loop_new(0));
	assert_int_equal(config_init(&config), 0);
	assert_int_equal(config.timers.metrics_interval_ms * NS_PER_MS, INTERVAL_NS);
	sampling = NULL;
	begin_sampling();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sampling = sampling_free(sampling);
	assert_null(fake_next());
	config_free(&config);
	ev_loop_destroy(loop.ev);
	closep(&world.news[0]);
	closep(&world.news[1]);
	return 0;
}

/* Up to the first point of the grid, exactly: the first sample, out of turn, has been seen. */
static void start(void)
{
	sampling_start(sampling, &config);
	pass_time(&loop, INTERVAL_NS);
	memset(&got, 0, sizeof(got));
}

/* Since the last call. */
static void got_samples(unsigned count)
{
	assert_int_equal(got.samples, count);
	got.samples = 0;
}

static void news(const char *bytes)
{
	assert_int_equal(write(world.news[1], bytes, strlen(bytes)), strlen(bytes));
}

/*
 * ------------------------------------------------------------------------------------------------------------ tests
 */

static void the_first_sample_follows_a_silent_baseline_by_what_gives_its_rates_a_meaning(void **state)
{
	uint64_t began_ns = loop.now.mono_ns;

	(void)state;
	sampling_start(sampling, &config);
	assert_int_equal(world.collected, 1);
	pass_time(&loop, SAMPLING_BASELINE_NS - 1);
	got_samples(0);
	pass_time(&loop, 1);
	got_samples(1);
	assert_int_equal(got.to, SAMPLE_TO_LOG | SAMPLE_TO_LATEST);
	assert_int_equal(got.seq, 100);
	assert_int_equal(got.at_ns, began_ns + SAMPLING_BASELINE_NS);
	assert_non_null(strstr(got.text, "\"gap\":\"start\""));
	assert_int_equal(world.collected, 2);
}

static void samples_come_on_the_grid_and_are_numbered(void **state)
{
	uint64_t began_ns = loop.now.mono_ns;

	(void)state;
	sampling_start(sampling, &config);
	pass_time(&loop, NS_PER_S);
	memset(&got, 0, sizeof(got));
	for (unsigned i = 1; i <= 3; i++) {
		pass_time(&loop, began_ns + i * INTERVAL_NS - 1 - loop.now.mono_ns);
		got_samples(0);
		pass_time(&loop, 1);
		got_samples(1);
		assert_int_equal(got.seq, 100 + i);
		assert_int_equal(got.to, SAMPLE_TO_ALL);
		assert_null(strstr(got.text, "\"gap\""));
	}
	assert_int_equal(sampling_stats(sampling).samples, 4);
	assert_int_equal(sampling_stats(sampling).next_seq, 104);
	assert_int_equal(sampling_stats(sampling).due_ns, began_ns + 4 * INTERVAL_NS);
	assert_int_equal(sampling_stats(sampling).taken_ns, began_ns + 3 * INTERVAL_NS);
}

static void what_has_a_period_is_read_when_it_is_over_and_says_its_age_in_between(void **state)
{
	(void)state;
	start();
	for (unsigned i = 0; i < 3; i++) {
		unsigned before = world.slow;

		pass_time(&loop, INTERVAL_NS);
		assert_int_equal(world.slow, before);
		assert_non_null(strstr(got.text, i == 0 ? "\"age_s\":59.8}" : "\"age_s\":60.0}"));
		pass_time(&loop, INTERVAL_NS);
		assert_int_equal(world.slow, before + 1);
		assert_null(strstr(got.text, "\"age_s\""));
		pass_time(&loop, INTERVAL_NS);
		assert_int_equal(world.slow, before + 1);
		assert_non_null(strstr(got.text, "\"age_s\":30.0}"));
	}
}

static void what_has_a_period_is_read_at_once_when_asked_for_after_a_gap_and_after_a_failure(void **state)
{
	unsigned before;

	(void)state;
	start();
	before = world.slow;
	sampling_soon(sampling, SAMPLE_TO_PORT);
	pass_time(&loop, NS_PER_S);
	assert_int_equal(world.slow, before + 1);
	assert_null(strstr(got.text, "\"age_s\""));
	sampling_gap(sampling);
	pass_time(&loop, INTERVAL_NS);
	assert_int_equal(world.slow, before + 2);
	world.slow_result = -EIO;
	sampling_gap(sampling);
	pass_time(&loop, INTERVAL_NS);
	assert_int_equal(world.slow, before + 3);
	assert_null(strstr(got.text, "\"times\""));
	world.slow_result = 0;
	pass_time(&loop, INTERVAL_NS);
	assert_int_equal(world.slow, before + 4);
	assert_non_null(strstr(got.text, "\"times\""));
	pass_time(&loop, INTERVAL_NS);
	assert_int_equal(world.slow, before + 4);
}

static void one_out_of_turn_comes_at_once_but_not_sooner_than_its_rates_mean_something(void **state)
{
	(void)state;
	start();
	pass_time(&loop, SAMPLING_BASELINE_NS - 5);
	sampling_soon(sampling, SAMPLE_TO_PORT);
	assert_int_equal(sampling_stats(sampling).making, SAMPLE_TO_PORT);
	pass_time(&loop, 4);
	got_samples(0);
	pass_time(&loop, 1);
	got_samples(1);
	assert_int_equal(got.to, SAMPLE_TO_PORT);
	assert_int_equal(sampling_stats(sampling).making, 0);
	pass_time(&loop, NS_PER_S);
	sampling_soon(sampling, SAMPLE_TO_LOG);
	got_samples(0); /* never within the call */
	pass_time(&loop, 0);
	got_samples(1);
}

static void what_is_asked_for_twice_is_taken_once(void **state)
{
	(void)state;
	start();
	sampling_soon(sampling, SAMPLE_TO_PORT);
	pass_time(&loop, NS_PER_MS);
	sampling_soon(sampling, SAMPLE_TO_LATEST);
	pass_time(&loop, NS_PER_S);
	got_samples(1);
	assert_int_equal(got.to, SAMPLE_TO_PORT | SAMPLE_TO_LATEST);
}

static void a_sample_in_the_making_takes_new_takers_along(void **state)
{
	(void)state;
	start();
	world.outstanding = 1;
	pass_time(&loop, NS_PER_S);
	sampling_soon(sampling, SAMPLE_TO_LOG);
	pass_time(&loop, NS_PER_MS);
	sampling_soon(sampling, SAMPLE_TO_PORT);
	pass_time(&loop, SAMPLING_BASELINE_NS);
	got_samples(0);
	assert_int_equal(got.begun, 1);
	sampling_probed(sampling);
	got_samples(1);
	assert_int_equal(got.to, SAMPLE_TO_LOG | SAMPLE_TO_PORT);
	assert_int_equal(got.begun, 1);
}

/* It has no rates: who comes while it is read in slices waits for the next one. */
static void the_baseline_takes_nobody_along(void **state)
{
	(void)state;
	world.slices = 3;
	sampling_start(sampling, &config);
	fake_set_clocks(&loop, loop.now.mono_ns + INTERVAL_NS);
	while (world.collected == 1 && world.left)
		assert_true(fake_turn(&loop, loop.now.mono_ns));
	got_samples(0);
	assert_int_equal(sampling_stats(sampling).ticks, 1);
	assert_int_equal(sampling_stats(sampling).making, SAMPLE_TO_ALL);
	pass_time(&loop, 0);
	got_samples(1);
	assert_int_equal(got.to, SAMPLE_TO_ALL);
	assert_int_equal(world.collected, 2);
}

static void a_long_collect_is_done_a_slice_a_turn_and_is_of_the_moment_it_began_at(void **state)
{
	uint64_t began_ns;

	(void)state;
	start();
	world.slices = 3;
	pass_time(&loop, INTERVAL_NS - 1);
	fake_set_clocks(&loop, loop.now.mono_ns + 1);
	began_ns = loop.now.mono_ns;
	for (unsigned turn = 0; turn < 3; turn++) {
		assert_true(fake_turn(&loop, loop.now.mono_ns));
		assert_int_equal(world.collected_ns, began_ns);
		sampling_probed(sampling); /* no sooner for that */
		got_samples(0);
		fake_set_clocks(&loop, loop.now.mono_ns + NS_PER_MS);
	}
	assert_true(fake_turn(&loop, loop.now.mono_ns));
	got_samples(1);
}

static void probes_that_are_answered_end_the_sample_and_so_does_their_time(void **state)
{
	uint64_t limit_ns = config.timers.collect_timeout_ms * NS_PER_MS;

	(void)state;
	start();
	world.outstanding = 2;
	pass_time(&loop, INTERVAL_NS + limit_ns - 1);
	got_samples(0);
	assert_int_equal(sampling_stats(sampling).making, SAMPLE_TO_ALL);
	pass_time(&loop, 1);
	got_samples(1);
	pass_time(&loop, INTERVAL_NS - limit_ns + NS_PER_MS);
	got_samples(0);
	world.outstanding = 0;
	sampling_probed(sampling);
	got_samples(1);
	assert_int_equal(fake_count, 1); /* the next tick alone wakes it */
	/* Nobody waits any more: later answers are no reason for another. */
	sampling_probed(sampling);
	pass_time(&loop, limit_ns);
	got_samples(0);
}

static void probes_have_half_of_a_short_interval(void **state)
{
	(void)state;
	config.timers.metrics_interval_ms = 500;
	config.timers.collect_timeout_ms = 1000;
	sampling_start(sampling, &config);
	pass_time(&loop, 500 * NS_PER_MS);
	memset(&got, 0, sizeof(got));
	sampling_probed(sampling);
	got_samples(0);
	world.outstanding = 1;
	pass_time(&loop, 749 * NS_PER_MS);
	got_samples(0);
	pass_time(&loop, NS_PER_MS);
	got_samples(1);
}

static void news_of_a_collector_wait_for_the_rest_and_are_told_every_two_seconds_at_most(void **state)
{
	uint64_t first_ns;

	(void)state;
	start();
	pass_time(&loop, 5 * NS_PER_S);
	news("!");
	pass_time(&loop, 300 * NS_PER_MS);
	news("!");
	pass_time(&loop, 199 * NS_PER_MS);
	got_samples(0);
	pass_time(&loop, NS_PER_MS); /* the first of the burst counts */
	got_samples(1);
	assert_int_equal(got.to, SAMPLE_TO_ALL);
	first_ns = got.at_ns;
	news("!");
	pass_time(&loop, SAMPLING_SPACING_NS - NS_PER_MS);
	got_samples(0);
	pass_time(&loop, NS_PER_MS);
	got_samples(1);
	assert_int_equal(got.at_ns, first_ns + SAMPLING_SPACING_NS);
}

static void a_question_does_not_wait_for_news_to_settle_and_takes_them_along(void **state)
{
	(void)state;
	start();
	pass_time(&loop, 5 * NS_PER_S);
	news("!");
	pass_time(&loop, NS_PER_MS);
	sampling_soon(sampling, SAMPLE_TO_PORT);
	pass_time(&loop, 0);
	got_samples(1);
	assert_int_equal(got.to, SAMPLE_TO_ALL);
	pass_time(&loop, NS_PER_S);
	got_samples(0);
}

static void a_collector_that_comes_late_is_listened_to(void **state)
{
	(void)state;
	world.open_result = -ENOENT;
	begin_sampling();
	start();
	world.open_result = 0;
	pass_time(&loop, INTERVAL_NS + 5 * NS_PER_S);
	got.samples = 0;
	news("!");
	pass_time(&loop, SAMPLING_SETTLE_NS);
	got_samples(1);
}

static void what_is_no_news_is_worth_no_sample(void **state)
{
	(void)state;
	start();
	news("?");
	pass_time(&loop, 5 * NS_PER_S);
	got_samples(0);
}

static void a_log_with_an_interval_of_its_own_has_a_grid_of_its_own(void **state)
{
	uint64_t began_ns = loop.now.mono_ns;
	unsigned to_log = 0, to_port = 0;

	(void)state;
	config.log.interval_ms = 70000;
	sampling_start(sampling, &config);
	pass_time(&loop, NS_PER_S);
	for (unsigned i = 0; i < 210; i++) {
		memset(&got, 0, sizeof(got));
		pass_time(&loop, NS_PER_S);
		to_log += got.to == SAMPLE_TO_LOG;
		to_port += got.to == (SAMPLE_TO_PORT | SAMPLE_TO_LATEST);
		if (got.to == SAMPLE_TO_LOG)
			assert_int_equal((got.at_ns - began_ns) % (70 * NS_PER_S), 0);
	}
	/* At 210 s both grids are due, and that is one sample or two; both got it. */
	assert_in_range(to_log, 2, 3);
	assert_in_range(to_port, 6, 7);
}

static void no_grid_of_the_log_where_there_is_none(void **state)
{
	(void)state;
	config.log.interval_ms = 1000;
	config.log.enabled = false;
	sampling_start(sampling, &config);
	pass_time(&loop, 10 * NS_PER_S);
	got_samples(1);
}

static void a_new_interval_holds_at_once_and_loses_no_tick(void **state)
{
	(void)state;
	start();
	pass_time(&loop, NS_PER_S);
	config.timers.metrics_interval_ms = 5000;
	sampling_configure(sampling, &config);
	pass_time(&loop, 5 * NS_PER_S - 1);
	got_samples(0);
	pass_time(&loop, 1);
	got_samples(1);
	/* A longer one: what was due is still due. */
	pass_time(&loop, NS_PER_S);
	config.timers.metrics_interval_ms = 60000;
	sampling_configure(sampling, &config);
	pass_time(&loop, 4 * NS_PER_S);
	got_samples(1);
	pass_time(&loop, 60 * NS_PER_S);
	got_samples(1);
	/* And a grid of the log comes and goes. */
	config.log.interval_ms = 1000;
	sampling_configure(sampling, &config);
	pass_time(&loop, 3 * NS_PER_S);
	got_samples(3);
	assert_int_equal(got.to, SAMPLE_TO_LOG);
	config.log.interval_ms = 0;
	sampling_configure(sampling, &config);
	pass_time(&loop, 3 * NS_PER_S);
	got_samples(0);
}

static void news_are_heard_after_a_new_configuration_and_once(void **state)
{
	(void)state;
	start();
	sampling_configure(sampling, &config);
	sampling_configure(sampling, &config);
	pass_time(&loop, 5 * NS_PER_S);
	news("!");
	pass_time(&loop, SAMPLING_SETTLE_NS);
	got_samples(1);
}

static void a_failing_collector_costs_no_sample(void **state)
{
	(void)state;
	start();
	world.result = -EIO;
	pass_time(&loop, INTERVAL_NS);
	got_samples(1);
	assert_non_null(strstr(got.text, "failed_collectors"));
	assert_null(strstr(got.text, "\"plain\":{"));
	world.result = 0;
	pass_time(&loop, INTERVAL_NS);
	got_samples(1);
	assert_null(strstr(got.text, "failed_collectors"));
	assert_non_null(strstr(got.text, "\"plain\":{"));
}

static void a_scan_for_a_question_is_over_at_once_or_after_its_slices(void **state)
{
	struct sampling_waiter waiter = { .ready = on_ready };

	(void)state;
	start();
	world.scans = 0;
	assert_true(sampling_scan(sampling, &waiter));
	assert_int_equal(world.scans, 1);
	world.scan_slices = 2;
	assert_false(sampling_scan(sampling, &waiter));
	assert_int_equal(got.ready, 0);
	pass_time(&loop, 0);
	assert_int_equal(got.ready, 1);
	got_samples(0);
}

static void a_question_during_a_scan_wants_the_one_after_it(void **state)
{
	struct sampling_waiter waiters[3] = { { .ready = on_ready }, { .ready = on_ready }, { .ready = on_ready } };

	(void)state;
	start();
	world.scans = 0;
	world.scan_slices = 2;
	for (size_t i = 0; i < ARRAY_SIZE(waiters); i++)
		assert_false(sampling_scan(sampling, &waiters[i]));
	assert_true(waiters[1].scans > waiters[0].scans);
	assert_int_equal(waiters[2].scans, waiters[1].scans);
	while (world.scans < 2) {
		assert_int_equal(got.ready, 0);
		assert_true(fake_turn(&loop, loop.now.mono_ns));
	}
	pass_time(&loop, 0);
	assert_int_equal(got.ready, 3);
	assert_int_equal(world.scans, 2);
}

static void a_question_during_a_sample_wants_a_scan_after_it(void **state)
{
	struct sampling_waiter waiter = { .ready = on_ready };

	(void)state;
	start();
	world.slices = 3;
	pass_time(&loop, INTERVAL_NS - 1);
	fake_set_clocks(&loop, loop.now.mono_ns + 1);
	assert_true(fake_turn(&loop, loop.now.mono_ns));
	world.scans = 0;
	assert_false(sampling_scan(sampling, &waiter));
	assert_int_equal(world.scans, 0);
	pass_time(&loop, 0);
	got_samples(1);
	assert_int_equal(world.scans, 2); /* the sample's own, and the one for the question */
	assert_int_equal(got.ready, 1);
}

/* What was begun for a question is taken up by the sample's own scan. */
static void a_sample_during_a_scan_ends_it(void **state)
{
	struct sampling_waiter waiter = { .ready = on_ready };

	(void)state;
	start();
	pass_time(&loop, NS_PER_S);
	world.scan_slices = 5;
	assert_false(sampling_scan(sampling, &waiter));
	world.slices = 1;
	sampling_soon(sampling, SAMPLE_TO_PORT);
	pass_time(&loop, 0);
	got_samples(1);
	assert_int_equal(got.ready, 1);
}

static void a_question_that_waits_for_probes_is_told_when_all_are_answered(void **state)
{
	struct sampling_waiter waiter = { .ready = on_ready };

	(void)state;
	start();
	assert_true(sampling_await_probes(sampling, &waiter));
	world.outstanding = 2;
	assert_false(sampling_await_probes(sampling, &waiter));
	assert_true(sampling_scan(sampling, &waiter)); /* a scan that is over at once wakes nobody */
	assert_int_equal(got.ready, 0);
	world.outstanding = 0;
	sampling_probed(sampling);
	sampling_probed(sampling);
	assert_int_equal(got.ready, 1);
}

static void a_question_that_is_given_up_is_told_nothing(void **state)
{
	struct sampling_waiter waiters[3] = { { .ready = on_ready }, { .ready = on_ready }, { .ready = on_ready } };

	(void)state;
	start();
	world.scan_slices = 2;
	for (size_t i = 0; i < ARRAY_SIZE(waiters); i++)
		sampling_scan(sampling, &waiters[i]);
	sampling_leave(&waiters[1]);
	sampling_leave(&waiters[1]);
	sampling_leave(&waiters[2]);
	pass_time(&loop, 0);
	assert_int_equal(got.ready, 1);
	world.outstanding = 1;
	sampling_await_probes(sampling, &waiters[0]);
	sampling = sampling_free(sampling);
	sampling_leave(&waiters[0]); /* after the sampling's end, too */
	assert_int_equal(got.ready, 1);
}

static void a_gap_marks_the_next_sample_and_no_other(void **state)
{
	(void)state;
	start();
	sampling_gap(sampling);
	pass_time(&loop, INTERVAL_NS);
	assert_non_null(strstr(got.text, "\"gap\":\"clock\""));
	assert_int_equal(world.gaps, 1);
	pass_time(&loop, INTERVAL_NS);
	assert_null(strstr(got.text, "\"gap\""));
	assert_int_equal(world.gaps, 1);
	/* What is seen as late as when it is begun is in time, and a sample asked for then is this one. */
	got.samples = 0;
	got.gap_at_begin = true;
	pass_time(&loop, INTERVAL_NS);
	assert_non_null(strstr(got.text, "\"gap\":\"clock\""));
	assert_int_equal(world.gaps, 2);
	got_samples(1);
	pass_time(&loop, NS_PER_S);
	got_samples(0);
}

static void a_late_tick_is_told_first_and_takes_what_is_asked_for_then_along(void **state)
{
	(void)state;
	start();
	fake_set_clocks(&loop, sampling_stats(sampling).due_ns + SAMPLING_LATE_NS - 1);
	pass_time(&loop, 0);
	got_samples(1);
	assert_int_equal(got.late, 0);
	config.log.interval_ms = INTERVAL_NS / NS_PER_MS * 2;
	sampling_configure(sampling, &config);
	fake_set_clocks(&loop, sampling_stats(sampling).due_ns + SAMPLING_LATE_NS);
	pass_time(&loop, NS_PER_S);
	got_samples(1);
	assert_int_equal(got.late, 1);
	assert_int_equal(got.to, SAMPLE_TO_ALL);
}

/* The guest slept, or the loop stood still: once, and on the old grid. */
static void what_was_slept_through_is_not_made_up_for(void **state)
{
	uint64_t due_ns;

	(void)state;
	start();
	due_ns = sampling_stats(sampling).due_ns;
	fake_set_clocks(&loop, due_ns + 5 * INTERVAL_NS + NS_PER_S);
	pass_time(&loop, 0);
	got_samples(1);
	assert_int_equal(sampling_stats(sampling).skipped, 5);
	assert_int_equal(sampling_stats(sampling).due_ns, due_ns + 6 * INTERVAL_NS);
}

static void nothing_comes_after_the_stop(void **state)
{
	(void)state;
	start();
	world.outstanding = 1;
	pass_time(&loop, INTERVAL_NS);
	assert_int_equal(sampling_stats(sampling).making, SAMPLE_TO_ALL);
	sampling_stop(sampling);
	assert_int_equal(sampling_stats(sampling).making, 0);
	sampling_probed(sampling);
	news("!");
	pass_time(&loop, 10 * INTERVAL_NS);
	got_samples(0);
}

/* The sample of the next point of the grid. */
static bool next_is_whole(void)
{
	bool says;

	pass_time(&loop, INTERVAL_NS);
	got_samples(1);
	says = strstr(got.text, "\"whole\":true,") && strstr(got.text, "\"plain\":{\"constant\":");
	assert_int_equal(says, got.whole);
	if (!got.whole)
		assert_true(!strstr(got.text, "whole") && strstr(got.text, "\"plain\":{\"collected\":"));
	return got.whole;
}

static void what_does_not_change_stands_in_the_first_sample_and_in_every_hundredth(void **state)
{
	(void)state;
	sampling_start(sampling, &config);
	pass_time(&loop, SAMPLING_BASELINE_NS);
	assert_true(got.samples == 1 && got.whole); /* for the log, */
	got.samples = 0;
	assert_true(next_is_whole()); /* and the first for the port */
	for (unsigned i = 1; i < WHOLE_EVERY; i++)
		assert_false(next_is_whole());
	assert_true(next_is_whole());
	assert_false(next_is_whole());
}

static void a_change_makes_one_whole_sample_for_each_who_gets_samples(void **state)
{
	(void)state;
	start();
	assert_false(next_is_whole());
	world.constant++;
	sampling_soon(sampling, SAMPLE_TO_LOG); /* the port does not get this one */
	pass_time(&loop, SAMPLING_BASELINE_NS);
	assert_true(got.samples == 1 && got.whole);
	got.samples = 0;
	assert_true(next_is_whole());
	assert_false(next_is_whole());
}

static void a_whole_sample_can_be_asked_for_and_the_latest_is_always_whole(void **state)
{
	(void)state;
	start();
	assert_false(next_is_whole());
	assert_non_null(strstr(sampling_latest(sampling)->text, "\"whole\":true,"));
	sampling_whole(sampling, SAMPLE_TO_PORT);
	assert_true(next_is_whole());
	assert_false(next_is_whole());
	sampling_gap(sampling);
	assert_true(next_is_whole());
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_first_sample_follows_a_silent_baseline_by_what_gives_its_rates_a_meaning),
		T(samples_come_on_the_grid_and_are_numbered),
		T(what_has_a_period_is_read_when_it_is_over_and_says_its_age_in_between),
		T(what_has_a_period_is_read_at_once_when_asked_for_after_a_gap_and_after_a_failure),
		T(one_out_of_turn_comes_at_once_but_not_sooner_than_its_rates_mean_something),
		T(what_is_asked_for_twice_is_taken_once),
		T(a_sample_in_the_making_takes_new_takers_along),
		T(the_baseline_takes_nobody_along),
		T(a_long_collect_is_done_a_slice_a_turn_and_is_of_the_moment_it_began_at),
		T(probes_that_are_answered_end_the_sample_and_so_does_their_time),
		T(probes_have_half_of_a_short_interval),
		T(news_of_a_collector_wait_for_the_rest_and_are_told_every_two_seconds_at_most),
		T(a_question_does_not_wait_for_news_to_settle_and_takes_them_along),
		T(a_collector_that_comes_late_is_listened_to),
		T(what_is_no_news_is_worth_no_sample),
		T(a_log_with_an_interval_of_its_own_has_a_grid_of_its_own),
		T(no_grid_of_the_log_where_there_is_none),
		T(a_new_interval_holds_at_once_and_loses_no_tick),
		T(news_are_heard_after_a_new_configuration_and_once),
		T(a_failing_collector_costs_no_sample),
		T(a_scan_for_a_question_is_over_at_once_or_after_its_slices),
		T(a_question_during_a_scan_wants_the_one_after_it),
		T(a_question_during_a_sample_wants_a_scan_after_it),
		T(a_sample_during_a_scan_ends_it),
		T(a_question_that_waits_for_probes_is_told_when_all_are_answered),
		T(a_question_that_is_given_up_is_told_nothing),
		T(a_gap_marks_the_next_sample_and_no_other),
		T(a_late_tick_is_told_first_and_takes_what_is_asked_for_then_along),
		T(what_was_slept_through_is_not_made_up_for),
		T(nothing_comes_after_the_stop),
		T(what_does_not_change_stands_in_the_first_sample_and_in_every_hundredth),
		T(a_change_makes_one_whole_sample_for_each_who_gets_samples),
		T(a_whole_sample_can_be_asked_for_and_the_latest_is_always_whole),
	};

	return cmocka_run_group_tests_name("sampling", tests, NULL, NULL);
}
