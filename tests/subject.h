/* SPDX-License-Identifier: MIT */
/* One collector over a directory that stands for a machine: what it emits, as a text. After <cmocka.h>. */
#ifndef TESTS_SUBJECT_H
#define TESTS_SUBJECT_H

#include "capture_sink.h"
#include "fixture_dir.h"

/* Opens, collects, emits and closes; the text is without its outermost braces. Fails the test if it differs. */
static inline void assert_emits(struct fixture *fixture, const struct collector *collector, const char *want)
{
	struct capture *capture = capture_begin();
	int r = collector->open(&fixture->ctx, &fixture->state);
	bool good;

	if (r == 0)
		r = collector->collect(fixture->state, &fixture->ctx);
	if (r == 0)
		collector->emit(fixture->state, &capture->sink);
	collector->close(fixture->state);
	fixture->state = NULL;
	good = r == 0 && capture->depth == 0 && strcmp(capture->text + 1, want) == 0;
	if (!good)
		print_error("%d\n%s\ninstead of\n%s\n", r, capture->text + 1, want);
	free(capture);
	assert_true(good);
}

static inline int subject_setup(void **state)
{
	*state = fixture_new();
	return 0;
}

static inline int subject_teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

#define SUBJECT_TEST(name) cmocka_unit_test_setup_teardown(name, subject_setup, subject_teardown)

#endif
