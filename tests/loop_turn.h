/* SPDX-License-Identifier: MIT */
/* A loop that is turned by a test, which looks after each turn at what has happened. */
#ifndef TESTS_LOOP_TURN_H
#define TESTS_LOOP_TURN_H

#include <ev.h>

static inline void loop_turn_tick(struct ev_loop *ev, struct ev_timer *timer, int events)
{
	(void)ev;
	(void)timer;
	(void)events;
}

/* One turn, which ends after 5 ms when nothing happens. */
static inline void loop_turn(struct ev_loop *ev)
{
	struct ev_timer tick;

	ev_timer_init(&tick, loop_turn_tick, 0.005, 0.);
	ev_timer_start(ev, &tick);
	ev_run(ev, EVRUN_ONCE);
	ev_timer_stop(ev, &tick);
}

#endif
