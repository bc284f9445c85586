/* SPDX-License-Identifier: MIT */
/* Which clocks tell of a snapshot that was loaded, and which do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/agent.h"
#include "agent/base/vmgenid.h"

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
		static struct agent agent;

		agent.sampling = sampling_new(&(struct sampling_config){ .loop = &agent.turns, .first_seq = 750 });
		agent.generation = (struct generation){ .text = "0123456789abcdef", .first_seq = 721, .sent_seq = 740 };
		if (generation_ack(&agent, cases[i].seq, cases[i].text) != cases[i].after)
			fail_msg("case %u", i);
		assert_string_equal(agent.generation.text, "0123456789abcdef");
		agent.sampling = sampling_free(agent.sampling);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_real_time_clock_tells_of_time_that_was_not_lived_through),
		cmocka_unit_test(the_times_of_a_host_tell_when_they_run_ahead),
		cmocka_unit_test(the_kernels_event_is_told_from_others),
		cmocka_unit_test(a_host_that_holds_samples_of_before_is_offered_this_generation_from_its_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
