/* SPDX-License-Identifier: MIT */
/* Fault rows 78 and 79: clock steps and sleep, by arithmetic on moments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/base/clockwatch.h"

#define YEAR_MS (365LL * 86400 * 1000)

static const struct moment start = { .mono_ns = 5 * NS_PER_S, .boot_ns = 8 * NS_PER_S, .wall_ms = 1790000000000 };

static int setup(void **state)
{
	static struct clockwatch watch;

	clockwatch_init(&watch, &start);
	*state = &watch;
	return 0;
}

static int teardown(void **state)
{
	clockwatch_done(*state);
	return 0;
}

/* All clocks 30 s on, then the wall clock by `wall_ms` and the boot clock by `slept_ms` more. */
static struct moment later(int64_t wall_ms, uint64_t slept_ms)
{
	return (struct moment){
		.mono_ns = start.mono_ns + 30 * NS_PER_S,
		.boot_ns = start.boot_ns + 30 * NS_PER_S + slept_ms * NS_PER_MS,
		.wall_ms = start.wall_ms + 30000 + wall_ms + (int64_t)slept_ms,
	};
}

static void says_nothing_of_ordinary_time(void **state)
{
	struct clock_change change;
	struct moment now = later(0, 0);

	assert_false(clockwatch_check(*state, &now, &change));
}

static void takes_slewing_for_ordinary_time(void **state)
{
	struct clock_change change;
	struct moment now = later(499, 0);

	assert_false(clockwatch_check(*state, &now, &change));
}

static void notices_steps_of_ten_years_both_ways(void **state)
{
	struct clock_change change;
	struct moment ahead = later(10 * YEAR_MS, 0), back = later(-10 * YEAR_MS, 0);

	assert_true(clockwatch_check(*state, &ahead, &change));
	assert_true(change.stepped_ms == 10 * YEAR_MS);
	assert_int_equal(change.slept_ms, 0);
	assert_true(clockwatch_check(*state, &back, &change));
	assert_true(change.stepped_ms == -20 * YEAR_MS);
}

static void tells_sleep_from_a_step(void **state)
{
	struct clock_change change;
	struct moment now = later(0, 3600 * 1000);

	assert_true(clockwatch_check(*state, &now, &change));
	assert_int_equal(change.slept_ms, 3600 * 1000);
	assert_true(change.stepped_ms == 0);
}

static void tells_each_change_once(void **state)
{
	struct clock_change change;
	struct moment now = later(60000, 0);

	assert_true(clockwatch_check(*state, &now, &change));
	assert_false(clockwatch_check(*state, &now, &change));
}

/* The kernel's socket is played: a sender without an address is taken for the kernel. */
static void a_new_generation_id_is_found_among_other_events(void **state)
{
	static const char other[] = "change@/devices/platform/x\0ACTION=change",
			  id[] = "change@/devices/platform/QEMUVGID:00\0ACTION=change\0NEW_VMGENID=1";
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_false(vmgenid_read(fds[0]));
	assert_int_equal(send(fds[1], other, sizeof(other), 0), sizeof(other));
	assert_false(vmgenid_read(fds[0]));
	assert_int_equal(send(fds[1], id, sizeof(id), 0), sizeof(id));
	assert_int_equal(send(fds[1], other, sizeof(other), 0), sizeof(other));
	assert_true(vmgenid_read(fds[0]));
	assert_false(vmgenid_read(fds[0]));
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(says_nothing_of_ordinary_time, setup, teardown),
		cmocka_unit_test_setup_teardown(takes_slewing_for_ordinary_time, setup, teardown),
		cmocka_unit_test_setup_teardown(notices_steps_of_ten_years_both_ways, setup, teardown),
		cmocka_unit_test_setup_teardown(tells_sleep_from_a_step, setup, teardown),
		cmocka_unit_test_setup_teardown(tells_each_change_once, setup, teardown),
		cmocka_unit_test(a_new_generation_id_is_found_among_other_events),
	};

	return cmocka_run_group_tests_name("clockwatch", tests, NULL, NULL);
}
