/* SPDX-License-Identifier: MIT */
/* Deadlines on a real libev loop; those that use them are tested with tests/fake_loop.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/base/loop.h"

static struct loop loop;
static struct deadline deadline;
static unsigned passed;
static uint64_t due_ns; /* not to be called before */

static void on_passed(void *data)
{
	assert_ptr_equal(data, &passed);
	assert_false(deadline_is_set(&deadline));
	assert_true(loop.now.mono_ns >= due_ns);
	passed++;
}

static int setup(void **state)
{
	(void)state;
	loop_init(&loop, ev_loop_new(0));
	passed = 0;
	due_ns = 0;
	deadline_init(&deadline, &loop, on_passed, &passed);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	deadline_stop(&deadline);
	loop_done(&loop);
	ev_loop_destroy(loop.ev);
	return 0;
}

static void passes_once_at_its_time(void **state)
{
	(void)state;
	assert_false(deadline_is_set(&deadline));
	due_ns = loop.now.mono_ns + 5 * NS_PER_MS;
	deadline_at(&deadline, due_ns);
	assert_true(deadline_is_set(&deadline));
	ev_run(loop.ev, EVRUN_NOWAIT);
	assert_int_equal(passed, 0);
	ev_run(loop.ev, 0); /* ends when nothing is left to wait for */
	assert_int_equal(passed, 1);
}

static void a_time_that_has_passed_comes_in_the_next_turn_and_not_within_the_call(void **state)
{
	(void)state;
	deadline_at(&deadline, 1);
	assert_int_equal(passed, 0);
	ev_run(loop.ev, EVRUN_NOWAIT);
	assert_int_equal(passed, 1);
	deadline_after(&deadline, 0);
	assert_int_equal(passed, 1);
	ev_run(loop.ev, EVRUN_NOWAIT);
	assert_int_equal(passed, 2);
}

static void a_new_time_replaces_the_old_one_and_never_stops_it(void **state)
{
	(void)state;
	deadline_after(&deadline, 0);
	deadline_after(&deadline, 3600 * NS_PER_S);
	assert_int_equal(deadline.at_ns, loop.now.mono_ns + 3600 * NS_PER_S);
	ev_run(loop.ev, EVRUN_NOWAIT);
	assert_int_equal(passed, 0);
	deadline_at(&deadline, TIME_NEVER);
	assert_false(deadline_is_set(&deadline));
	ev_run(loop.ev, 0);
	assert_int_equal(passed, 0);
}

/* libev's idea of now is older than the loop's whenever something took time in between. */
static void never_passes_before_its_time_by_the_time_of_the_turn(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		usleep(900);
		loop.now = moment_now();
		due_ns = loop.now.mono_ns + 1500 * NS_PER_US;
		deadline_at(&deadline, due_ns);
		ev_run(loop.ev, 0);
		assert_int_equal(passed, i + 1);
	}
}

static void one_that_was_never_set_can_be_stopped(void **state)
{
	struct deadline zeroed = { 0 };

	(void)state;
	deadline_stop(&zeroed);
	deadline_after(&deadline, 0);
	deadline_stop(&deadline);
	deadline_stop(&deadline);
	ev_run(loop.ev, 0);
	assert_int_equal(passed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(passes_once_at_its_time, setup, teardown),
		cmocka_unit_test_setup_teardown(a_time_that_has_passed_comes_in_the_next_turn_and_not_within_the_call,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_new_time_replaces_the_old_one_and_never_stops_it, setup, teardown),
		cmocka_unit_test_setup_teardown(never_passes_before_its_time_by_the_time_of_the_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_was_never_set_can_be_stopped, setup, teardown),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
