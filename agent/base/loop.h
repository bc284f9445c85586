/* SPDX-License-Identifier: MIT */
/*
 * The event loop for the parts of the agent: libev's loop, the time of the present turn, and what the turns cost. A
 * part holds a pointer to it and reads no clock itself. `deadline` is a one-shot timer on CLOCK_MONOTONIC.
 */
#ifndef AGENT_BASE_LOOP_H
#define AGENT_BASE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ev.h>

#include <infiniservice/err.h>
#include <infiniservice/moment.h>

#include "agent/base/turns.h"

struct loop {
	struct ev_loop *ev;
	struct moment now; /* read once a turn, after the wait and before any callback */
	ev_check woke;
	ev_prepare rests;
	struct turns turns;
};

/*
 * Reads the time now and in each turn of `ev`, whose user data it becomes, and counts what the turns cost. Does not
 * keep ev_run from returning.
 */
void loop_init(struct loop *loop, struct ev_loop *ev);
/* Stops reading the time; `ev` stays the caller's. Accepts zeroed memory. */
void loop_done(struct loop *loop);

/*
 * A callback begins its work, which is counted under this name (struct work). Returns CLOCK_MONOTONIC. `ev` may be NULL
 * or without a struct loop: then nothing is counted.
 */
static inline uint64_t loop_work(struct ev_loop *ev, const char *what, const char *which)
{
	struct loop *loop = ev ? ev_userdata(ev) : NULL;

	return loop ? turns_work(&loop->turns, what, which) : clock_ns(CLOCK_MONOTONIC);
}

struct deadline {
	ev_timer timer;
	struct loop *loop;
	void (*passed)(void *data);
	void *data;
	uint64_t at_ns; /* TIME_NEVER: not set */
};

/* Initializes it, not set. `loop` and `deadline` must not move while it is set. */
void deadline_init(struct deadline *deadline, struct loop *loop, void (*passed)(void *data), void *data);

/*
 * Calls passed(data) from the loop once, when loop->now.mono_ns has reached `at_ns`; for a time in the past, in the
 * next turn. TIME_NEVER stops it. Replaces a time that was set before.
 */
void deadline_at(struct deadline *deadline, uint64_t at_ns);

/* Like deadline_at, with a delay from loop->now; 0: in the next turn. */
void deadline_after(struct deadline *deadline, uint64_t delay_ns);

/* Stops it: passed() is not called any more. Accepts a deadline that is not set, or zeroed memory. */
void deadline_stop(struct deadline *deadline);

/* Whether it is set; zeroed memory is not. */
bool deadline_is_set(const struct deadline *deadline);

/*
 * The default loop of libev, including its signal handling. libev (4.33) aborts the process when an allocation fails
 * and when it gets no file descriptor for its wake-up pipe. So its memory comes from an allocator that falls back to a
 * reserved area, and the descriptors are tried before libev opens them. NULL with the reason in `e`.
 */
struct ev_loop *reserve_loop(struct err *e);

/* That allocator, for ev_set_allocator(3): size 0 frees. NULL only when heap and reserve are both exhausted. */
void *reserve_realloc(void *old, long size);

/* Bytes of the reserve in use. */
size_t reserve_used(void);

#endif
