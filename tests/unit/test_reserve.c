/* SPDX-License-Identifier: MIT */
/* What libev's memory comes from when the heap has none, and what is told when its loop cannot be made. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "agent/base/loop.h"

/* The calls of the archives come here (LDLIBS_reserve in the Makefile). */
static bool heap_is_full;
void *__real_malloc(size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
	return heap_is_full ? NULL : __real_malloc(size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return heap_is_full ? NULL : __real_realloc(old, size);
}

static int give_memory(void **state)
{
	(void)state;
	heap_is_full = false;
	return 0;
}

static void memory_moves_into_the_reserve_with_its_content_and_back(void **state)
{
	char *a, *b;

	(void)state;
	a = reserve_realloc(NULL, 100);
	assert_non_null(a);
	memset(a, 'a', 100);
	heap_is_full = true;
	a = reserve_realloc(a, 5000);
	b = reserve_realloc(NULL, 1000);
	assert_non_null(a);
	assert_non_null(b);
	assert_int_equal(a[0], 'a');
	assert_int_equal(a[99], 'a');
	assert_true(reserve_used() >= 6000);
	heap_is_full = false;
	a = reserve_realloc(a, 6000);
	assert_int_equal(a[99], 'a');
	assert_null(reserve_realloc(b, 0));
	assert_int_equal(reserve_used(), 0);
	assert_null(reserve_realloc(a, 0));
}

static void when_both_are_exhausted_what_there_is_stays_if_it_is_large_enough(void **state)
{
	char *a = reserve_realloc(NULL, 1000), *b, *filler;

	(void)state;
	heap_is_full = true;
	filler = reserve_realloc(NULL, 120 * 1024);
	b = reserve_realloc(NULL, 1000);
	assert_non_null(filler);
	assert_non_null(b);
	assert_null(reserve_realloc(NULL, 10L << 20));
	assert_null(reserve_realloc(a, 100000));
	assert_null(reserve_realloc(b, 100000));
	assert_ptr_equal(reserve_realloc(filler, 100000), filler);
	reserve_realloc(b, 0);
	reserve_realloc(filler, 0);
	assert_int_equal(reserve_used(), 0);
	reserve_realloc(a, 0);
}

static void a_loop_without_descriptors_is_an_error_with_its_reason(void **state)
{
	struct rlimit before, none;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){ .rlim_cur = 4, .rlim_max = before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_null(reserve_loop(&e));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(e.code, -EMFILE);
	assert_non_null(strstr(e.text, "the event loop"));
}

static void the_loop_that_is_made_turns(void **state)
{
	struct err e = { 0 };
	struct ev_loop *loop = reserve_loop(&e);

	(void)state;
	assert_non_null(loop);
	assert_int_equal(e.code, 0);
	ev_run(loop, EVRUN_NOWAIT);
	ev_loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(memory_moves_into_the_reserve_with_its_content_and_back, give_memory),
		cmocka_unit_test_teardown(when_both_are_exhausted_what_there_is_stays_if_it_is_large_enough,
					  give_memory),
		cmocka_unit_test(a_loop_without_descriptors_is_an_error_with_its_reason),
		cmocka_unit_test(the_loop_that_is_made_turns),
	};

	return cmocka_run_group_tests_name("reserve", tests, NULL, NULL);
}
