/* SPDX-License-Identifier: MIT */
/* Which clocks tell of a snapshot that was loaded, and which do not. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "tests/fake_loop.h"

#include "agent/metrics/generation.h"
#include "transport/message.h"
#include "agent/base/clockwatch.h"

#define T0 INT64_C(1790000000)

/* Seconds: the real-time clock against a true one, the guest's boot clock, the wall clock against a true one. */
struct reading {
	int64_t rtc, boot, wall;
};

static struct probe_rtc reading_of(struct reading r)
{
	return (struct probe_rtc){ .rtc_s = T0 + r.rtc,
				   .boot_ns = (uint64_t)r.boot * NS_PER_S,
				   .wall_ms = (T0 + r.wall) * 1000 };
}

static void the_real_time_clock_tells_of_time_that_was_not_lived_through(void **state)
{
	static const struct {
		const char *what;
		struct reading before, now;
		bool ahead;
	} cases[] = {
		{ "nothing happened", { 0, 100, 0 }, { 50, 150, 50 }, false },
		{ "its seconds are whole", { 0, 100, 0 }, { 55, 150, 51 }, false },
		{ "a snapshot was loaded", { 0, 100, 0 }, { 70, 150, 50 }, true },
		{ "of just before", { 0, 100, 0 }, { 56, 150, 50 }, true },
		{ "and the clock was set right since", { 0, 100, 0 }, { 70, 150, 70 }, true },
		{ "the guest slept: its boot clock ran on", { 0, 100, 0 }, { 3600, 3700, 3600 }, false },
		{ "the wall clock was set forward", { 0, 100, 0 }, { 50, 150, 3650 }, false },
		{ "and back", { 0, 100, 0 }, { 50, 150, -3550 }, false },
		{ "the real-time clock keeps local time", { 7200, 100, 0 }, { 7250, 150, 50 }, false },
		{ "and a snapshot was loaded", { 7200, 100, 0 }, { 7270, 150, 50 }, true },
		{ "it was slow and has been set from the wall clock", { -600, 100, 0 }, { 50, 150, 50 }, false },
		{ "it was fast and has been set", { 600, 100, 0 }, { 50, 150, 50 }, false },
		{ "it was set back", { 0, 100, 0 }, { -3600, 150, 50 }, false },
		{ "before 1970", { -T0 - 5, 1, -T0 }, { -T0 + 45, 51, -T0 + 50 }, false },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct generation generation = { 0 };
		struct probe_rtc before = reading_of(cases[i].before), now = reading_of(cases[i].now);

		assert_false(generation_rtc_ran_ahead(&generation, &before));
		if (generation_rtc_ran_ahead(&generation, &now) != cases[i].ahead)
			fail_msg("%s", cases[i].what);
		/* It is told once. */
		now.rtc_s += 30;
		now.boot_ns += 30 * NS_PER_S;
		now.wall_ms += 30000;
		assert_false(generation_rtc_ran_ahead(&generation, &now));
	}
}

/* A guest may be hours off its host: what counts is that it was not so before. */
static void the_times_of_a_host_tell_when_they_run_ahead(void **state)
{
	static const struct {
		int64_t ahead_ms[6]; /* of the messages one after the other */
		int told;	     /* the first of them that tells, or -1 */
	} cases[] = {
		{ { 0, 10, -20, 300, 0, 5 }, -1 },
		{ { 3600000, 3600010, 3600000, 3599000, 3600000, 3600000 }, -1 },
		{ { -9999999, -9999999, -9999999, -9999999, -9999999, -9999999 }, -1 },
		{ { 0, 1000, 2000, 3000, 4000, 5000 }, -1 }, /* they drift apart */
		{ { 0, 0, 5001, 5001, 5001, 5001 }, 2 },
		{ { 0, 60000, 60000, 60000, 60000, 60000 }, 1 },
		{ { 0, -10000, 0, 0, 0, 0 }, -1 }, /* one that had to wait */
		{ { 0, 4999, 9998, 9998, 9998, 9998 }, -1 },
		{ { -60000, -60000, -50000, -50000, -50000, -50000 }, 2 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct generation generation = { 0 };

		for (int at = 0; at < 6; at++) {
			int64_t wall_ms = T0 * 1000 + at * 120000;

			if (generation_host_ran_ahead(&generation, wall_ms + cases[i].ahead_ms[at], wall_ms) !=
			    (at == cases[i].told))
				fail_msg("case %u, message %d", i, at);
		}
	}
}

static struct loop loop;
static struct config config;

/* A number that a host holds is one of this generation only if it can be. */
static void a_host_that_holds_samples_of_before_is_offered_this_generation_from_its_start(void **state)
{
	static const struct {
		uint64_t seq;
		const char *text;
		uint64_t after;
	} cases[] = {
		{ 740, NULL, 740 },
		{ 721, NULL, 721 },
		{ 745, NULL, 720 }, /* not sent yet: another one's */
		{ 740, "0123456789abcdef", 740 },
		{ 745, "0123456789abcdef", 745 },
		{ 740, "fedcba9876543210", 720 },
		{ 727, "fedcba9876543210", 720 },
		{ 720, "fedcba9876543210", 720 },
		{ 700, "fedcba9876543210", 700 },
		{ 700, NULL, 700 },
		{ 0, NULL, 0 },
		{ 5000, "fedcba9876543210", 720 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct generation one = {
			.sampling = sampling_new(&(struct sampling_config){ .loop = &loop, .first_seq = 750 }, &config),
			.text = "0123456789abcdef",
			.first_seq = 721,
			.before_seq = 740,
		};

		if (generation_ack(&one, cases[i].seq, cases[i].text, 0) != cases[i].after)
			fail_msg("case %u", i);
		assert_string_equal(one.text, "0123456789abcdef");
		sampling_free(one.sampling);
	}
}

/* What the kernel says is in parts; nothing that only looks like it is it. */
static void the_kernels_event_is_told_from_others(void **state)
{
#define EVENT(text) text, sizeof(text) - 1
	static const struct {
		const char *text;
		size_t len;
		bool is;
	} cases[] = {
		{ EVENT("change@/devices/platform/QEMUVGID:00\0ACTION=change\0DEVPATH=/devices/platform/"
			"QEMUVGID:00\0NEW_VMGENID=1\0SEQNUM=9\0"),
		  true },
		{ EVENT("change@/devices/platform/x\0NEW_VMGENID=1"), true },
		{ EVENT("change@/devices/platform/x\0NEW_VMGENID=12\0"), false },
		{ EVENT("change@/devices/platform/x\0SYNTH_ARG_NEW_VMGENID=1\0"), false },
		{ EVENT("change@/devices/platform/NEW_VMGENID=1\0"), false },
		{ EVENT("NEW_VMGENID"), false },
		{ EVENT("\0\0\0\0"), false },
		{ EVENT(""), false },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (vmgenid_is_new(cases[i].text, cases[i].len) != cases[i].is)
			fail_msg("case %u", i);
}

/*
 * ---------------------------------------------------------------------------------------- the object, on a loop with a
 * sampling that has no collectors
 */

const struct collector *const collectors[] = { NULL };

static char folder[] = "/tmp/test-clocks-XXXXXX";
static struct identity id;
static struct generation generation;
static unsigned renewed;
static unsigned samples, gaps;
static uint64_t gap_seq;

static void on_begin(void *data)
{
	(void)data;
}

static void on_sample(void *data, unsigned to, struct line *line, struct line *whole)
{
	(void)data;
	(void)to;
	(void)whole;
	samples++;
	if (!memmem(line->text, line->len, "\"gap\":\"clock\"", strlen("\"gap\":\"clock\"")))
		return;
	gaps++;
	gap_seq = line->seq;
}

static void on_late(void *data)
{
	(void)data;
	generation_late(&generation);
}

static void on_renewed(void *data, const char *why)
{
	assert_ptr_equal(data, &renewed);
	assert_non_null(why);
	assert_string_equal(id.generation, generation.text);
	renewed++;
}

/* As an agent of this boot does at its start, which goes on with this number. */
static void open_at(uint64_t next_seq, const char *boot_id)
{
	sampling_free(generation.sampling);
	snprintf(id.boot_id, sizeof(id.boot_id), "%s", boot_id);
	generation = (struct generation){
		.loop = &loop,
		.config = &config,
		.id = &id,
		.sampling = sampling_new(&(struct sampling_config){ .loop = &loop,
								    .id = &id,
								    .first_seq = next_seq,
								    .late = on_late,
								    .begin = on_begin,
								    .sample = on_sample },
					 &config),
		.renewed = on_renewed,
		.data = &renewed,
	};
	assert_non_null(generation.sampling);
	generation_open(&generation);
}

static int setup(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	loop_init(&loop, ev_loop_new(0));
	assert_int_equal(config_init(&config), 0);
	free(config.agent.runtime_dir);
	config.agent.runtime_dir = strdup(folder);
	renewed = samples = gaps = 0;
	generation.sampling = NULL;
	open_at(100, "boot");
	return 0;
}

static int teardown(void **state)
{
	char path[64];

	(void)state;
	generation_stop(&generation);
	sampling_free(generation.sampling);
	config_free(&config);
	ev_loop_destroy(loop.ev);
	snprintf(path, sizeof(path), "%s/" GENERATION_NAME, folder);
	remove(path);
	assert_int_equal(remove(folder), 0);
	memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
	return 0;
}

static void a_generation_lasts_over_a_restart_and_not_over_a_boot(void **state)
{
	char first[GENERATION_SIZE];

	(void)state;
	memcpy(first, generation.text, sizeof(first));
	assert_int_equal(generation.first_seq, 100);
	open_at(150, "boot");
	assert_string_equal(generation.text, first);
	assert_string_equal(id.generation, first);
	assert_int_equal(generation.first_seq, 100);
	assert_int_equal(generation.before_seq, 149); /* as may be */
	/* Numbers that go back are not this generation's. */
	open_at(99, "boot");
	assert_string_not_equal(generation.text, first);
	memcpy(first, generation.text, sizeof(first));
	open_at(200, "another boot");
	assert_string_not_equal(generation.text, first);
	assert_int_equal(generation.first_seq, 200);
	assert_int_equal(renewed, 0);
}

static void one_that_is_woken_far_too_late_begins_another_and_marks_the_next_sample(void **state)
{
	char first[GENERATION_SIZE];
	uint64_t due_ns;

	(void)state;
	memcpy(first, generation.text, sizeof(first));
	generation_start(&generation);
	sampling_start(generation.sampling, &config);
	pass_time(&loop, NS_PER_S);
	assert_int_equal(samples, 1);
	due_ns = sampling_stats(generation.sampling).due_ns;
	fake_set_clocks(&loop, due_ns + SAMPLING_LATE_NS - 1);
	pass_time(&loop, 0);
	assert_int_equal(renewed, 0);
	assert_int_equal(samples, 2);
	due_ns = sampling_stats(generation.sampling).due_ns;
	fake_set_clocks(&loop, due_ns + SAMPLING_LATE_NS);
	pass_time(&loop, 0);
	assert_int_equal(renewed, 1);
	assert_string_not_equal(generation.text, first);
	assert_int_equal(generation.first_seq, 102);
	/* The sample that was due is the first of it already, and marked. */
	assert_int_equal(gap_seq, 102);
	assert_int_equal(gaps, 1);
	pass_time(&loop, NS_PER_S);
	assert_int_equal(gaps, 1);
	assert_int_equal(renewed, 1);
	/* The next agent goes on with it. */
	memcpy(first, generation.text, sizeof(first));
	open_at(150, "boot");
	assert_string_equal(generation.text, first);
}

static void one_that_is_stopping_looks_no_more(void **state)
{
	(void)state;
	generation_start(&generation);
	sampling_start(generation.sampling, &config);
	generation_stop(&generation);
	fake_set_clocks(&loop, loop.now.mono_ns + 3600 * NS_PER_S);
	pass_time(&loop, 0);
	assert_true(samples > 0);
	assert_int_equal(renewed, 0);
}

static void a_word_of_the_host_begins_one_now_and_then(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 10; i++)
		generation_ack(&generation, 1000 + i, NULL, 0);
	assert_int_equal(renewed, 4);
	fake_set_clocks(&loop, loop.now.mono_ns + 60 * NS_PER_S);
	for (unsigned i = 0; i < 10; i++)
		generation_ack(&generation, 2000 + i, NULL, 0);
	assert_int_equal(renewed, 6);
	/* The same again is no news. */
	fake_set_clocks(&loop, loop.now.mono_ns + 600 * NS_PER_S);
	generation_ack(&generation, 2009, NULL, 0);
	assert_int_equal(renewed, 6);
}

/* The prober, in whose place the test answers. */
static struct {
	struct prober handle;
	void (*probed)(void *state, const struct probe_result *result);
	unsigned asked, seldom;
} clock_probe;

static int take_request(struct prober *prober, const struct probe_request *request)
{
	(void)prober;
	assert_int_equal(request->kind, PROBE_RTC);
	clock_probe.asked++;
	return 0;
}

struct prober *prober_for(struct prober_pool *pool, void (*probed)(void *state, const struct probe_result *result),
			  void *state)
{
	(void)pool;
	assert_ptr_equal(state, &generation);
	clock_probe.handle.request = take_request;
	clock_probe.probed = probed;
	return &clock_probe.handle;
}

void prober_seldom(struct prober *prober)
{
	(void)prober;
	clock_probe.seldom++;
}

unsigned prober_outstanding(const struct prober_pool *pool, const struct prober *prober)
{
	(void)pool;
	(void)prober;
	return 0;
}

static void the_machine_says(int error, int64_t rtc_s)
{
	struct probe_rtc reading = { .rtc_s = rtc_s, .boot_ns = loop.now.boot_ns, .wall_ms = loop.now.wall_ms };
	struct probe_result result = { .kind = PROBE_RTC, .error = error, .data = error ? NULL : &reading };

	result.data_len = error ? 0 : sizeof(reading);
	clock_probe.probed(&generation, &result);
}

static void the_machines_clock_is_asked_for_and_begins_one_where_it_is_ahead(void **state)
{
	(void)state;
	memset(&clock_probe, 0, sizeof(clock_probe));
	generation_look(&generation); /* without a prober there is no such sign */
	assert_int_equal(clock_probe.asked, 0);
	generation.probers = (struct prober_pool *)&clock_probe;
	generation_look(&generation);
	generation_look(&generation);
	assert_int_equal(clock_probe.asked, 2);
	assert_int_equal(clock_probe.seldom, 1);
	the_machine_says(0, T0); /* it was stopped meanwhile */
	assert_false(generation.rtc_known);
	generation_start(&generation);
	the_machine_says(-ENOENT, 0);
	assert_false(generation.rtc_known);
	the_machine_says(0, T0);
	assert_true(generation.rtc_known);
	fake_set_clocks(&loop, loop.now.mono_ns + 10 * NS_PER_S);
	the_machine_says(0, T0 + 10);
	assert_int_equal(renewed, 0);
	the_machine_says(0, T0 + 60);
	assert_int_equal(renewed, 1);
	/* The clock being set is a reason to look, forward and by much. */
	generation_clock_set(&generation, -60000);
	generation_clock_set(&generation, GENERATION_AHEAD_MS);
	assert_int_equal(clock_probe.asked, 2);
	generation_clock_set(&generation, GENERATION_AHEAD_MS + 1);
	assert_int_equal(clock_probe.asked, 3);
	/* What was read is there for the next agent of this boot. */
	generation_stop(&generation);
	open_at(200, "boot");
	assert_true(generation.rtc_known);
	assert_int_equal(generation.rtc.rtc_s, T0 + 60);
}

static void hear(const char *text)
{
	struct json_object *root = json_tokener_parse(text), *time;

	if (json_object_object_get_ex(root, "timestamp", &time) && time)
		generation_hear(&generation, time);
	json_object_put(root);
}

static void a_time_in_a_message_counts_as_a_text_or_as_milliseconds(void **state)
{
	char text[64];

	(void)state;
	loop.now.wall_ms = 1700000000000; /* 2023-11-14T22:13:20Z */
	hear("{\"timestamp\":\"2023-11-14T22:13:20Z\"}");
	hear("{\"timestamp\":null}");
	hear("{\"timestamp\":\"soon\"}");
	hear("{\"timestamp\":1700000100}"); /* seconds */
	hear("{\"timestamp\":1700000100000.5}");
	hear("{\"time\":1700000100000}");
	assert_int_equal(renewed, 0);
	snprintf(text, sizeof(text), "{\"timestamp\":%ld}", 1700000000000 + GENERATION_AHEAD_MS + 1);
	hear(text);
	assert_int_equal(renewed, 1);
	hear("{\"timestamp\":\"2023-11-14T22:14:20Z\"}");
	assert_int_equal(renewed, 2);
}

static void what_has_been_sent_is_this_generations_unless_it_was_sent_before_it(void **state)
{
	(void)state;
	sampling_free(generation.sampling);
	generation.sampling = sampling_new(&(struct sampling_config){ .loop = &loop, .first_seq = 150 }, &config);
	assert_int_equal(generation_ack(&generation, 103, NULL, 103), 103);
	assert_int_equal(generation_ack(&generation, 104, NULL, 103), 99);
	assert_int_equal(generation_ack(&generation, 104, NULL, 99), 99);
	assert_int_equal(generation_ack(&generation, 98, NULL, 99), 98);
	assert_int_equal(renewed, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_real_time_clock_tells_of_time_that_was_not_lived_through),
		cmocka_unit_test(the_times_of_a_host_tell_when_they_run_ahead),
		cmocka_unit_test(the_kernels_event_is_told_from_others),
		cmocka_unit_test(a_host_that_holds_samples_of_before_is_offered_this_generation_from_its_start),
		T(a_generation_lasts_over_a_restart_and_not_over_a_boot),
		T(one_that_is_woken_far_too_late_begins_another_and_marks_the_next_sample),
		T(one_that_is_stopping_looks_no_more),
		T(a_word_of_the_host_begins_one_now_and_then),
		T(the_machines_clock_is_asked_for_and_begins_one_where_it_is_ahead),
		T(a_time_in_a_message_counts_as_a_text_or_as_milliseconds),
		T(what_has_been_sent_is_this_generations_unless_it_was_sent_before_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
