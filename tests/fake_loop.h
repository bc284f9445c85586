/* SPDX-License-Identifier: MIT */
/*
 * A clock that a test turns: the functions of agent/base/loop.h with deadlines that pass when pass_time() says so, in
 * their order and without waiting. Descriptors are watched by a real libev loop, which is looked at in between. A test
 * that includes this links these functions instead of those of agent/base/loop.c.
 */
#ifndef TESTS_FAKE_LOOP_H
#define TESTS_FAKE_LOOP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/base/loop.h"

#define FAKE_DEADLINES_MAX 1024

static struct deadline *fake_deadlines[FAKE_DEADLINES_MAX];
static unsigned fake_count;

void loop_init(struct loop *loop, struct ev_loop *ev)
{
	*loop = (struct loop){
		.ev = ev, .now = { .mono_ns = 1000 * NS_PER_S, .boot_ns = 1000 * NS_PER_S, .wall_ms = 1700000000000 }
	};
}

void loop_done(struct loop *loop)
{
	(void)loop;
}

void deadline_init(struct deadline *deadline, struct loop *loop, void (*passed)(void *data), void *data)
{
	*deadline = (struct deadline){ .loop = loop, .passed = passed, .data = data, .at_ns = TIME_NEVER };
}

void deadline_stop(struct deadline *deadline)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < fake_count; i++)
		if (fake_deadlines[i] != deadline)
			fake_deadlines[kept++] = fake_deadlines[i];
	fake_count = kept;
	deadline->at_ns = TIME_NEVER;
}

void deadline_at(struct deadline *deadline, uint64_t at_ns)
{
	deadline_stop(deadline);
	if (at_ns == TIME_NEVER)
		return;
	assert_true(fake_count < FAKE_DEADLINES_MAX);
	fake_deadlines[fake_count++] = deadline;
	deadline->at_ns = at_ns;
}

void deadline_after(struct deadline *deadline, uint64_t delay_ns)
{
	deadline_at(deadline, deadline->loop->now.mono_ns + delay_ns);
}

bool deadline_is_set(const struct deadline *deadline)
{
	return deadline->loop && deadline->at_ns != TIME_NEVER;
}

/* Of two for the same time the one that was set first. */
static inline struct deadline *fake_next(void)
{
	struct deadline *next = NULL;

	for (unsigned i = 0; i < fake_count; i++)
		if (!next || fake_deadlines[i]->at_ns < next->at_ns)
			next = fake_deadlines[i];
	return next;
}

/* All three clocks go on by the same. */
static inline void fake_set_clocks(struct loop *loop, uint64_t mono_ns)
{
	uint64_t before_ms = loop->now.mono_ns / NS_PER_MS;

	loop->now.boot_ns += mono_ns - loop->now.mono_ns;
	loop->now.mono_ns = mono_ns;
	loop->now.wall_ms += (int64_t)(mono_ns / NS_PER_MS - before_ms);
}

/* One turn: what descriptors have, then the first deadline up to `end_ns`. False when there was none. */
static inline bool fake_turn(struct loop *loop, uint64_t end_ns)
{
	struct deadline *next;

	ev_run(loop->ev, EVRUN_NOWAIT);
	next = fake_next();
	if (!next || next->at_ns > end_ns)
		return false;
	if (next->at_ns > loop->now.mono_ns)
		fake_set_clocks(loop, next->at_ns);
	deadline_stop(next);
	next->passed(next->data);
	return true;
}

/* Turns the loop for so long; 0: what is due now. */
static inline void pass_time(struct loop *loop, uint64_t ns)
{
	uint64_t end_ns = loop->now.mono_ns + ns;

	while (fake_turn(loop, end_ns))
		;
	fake_set_clocks(loop, end_ns);
}

#endif
