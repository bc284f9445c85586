/* SPDX-License-Identifier: MIT */
#include "agent/base/loop.h"

#include <infiniservice/cleanup.h>

static void on_woke(struct ev_loop *ev, ev_check *check, int events)
{
	struct loop *loop = container_of(check, struct loop, woke);

	(void)ev;
	(void)events;
	loop->now = moment_now();
	turns_begin(&loop->turns, loop->now.mono_ns);
}

/* After all that other parts do before a wait. */
static void on_rest(struct ev_loop *ev, ev_prepare *prepare, int events)
{
	struct loop *loop = container_of(prepare, struct loop, rests);

	(void)ev;
	(void)events;
	turns_end(&loop->turns, clock_ns(CLOCK_THREAD_CPUTIME_ID));
}

void loop_init(struct loop *loop, struct ev_loop *ev)
{
	*loop = (struct loop){ .ev = ev, .now = moment_now() };
	turns_init(&loop->turns);
	ev_set_userdata(ev, loop);
	ev_check_init(&loop->woke, on_woke);
	ev_set_priority(&loop->woke, EV_MAXPRI);
	ev_check_start(ev, &loop->woke);
	ev_unref(ev);
	ev_prepare_init(&loop->rests, on_rest);
	ev_set_priority(&loop->rests, EV_MINPRI);
	ev_prepare_start(ev, &loop->rests);
	ev_unref(ev);
}

void loop_done(struct loop *loop)
{
	if (!loop->ev || !ev_is_active(&loop->woke))
		return;
	ev_ref(loop->ev);
	ev_check_stop(loop->ev, &loop->woke);
	ev_ref(loop->ev);
	ev_prepare_stop(loop->ev, &loop->rests);
	ev_set_userdata(loop->ev, NULL);
	close_fd(&loop->turns.watch_fd);
}

static void arm(struct deadline *deadline)
{
	uint64_t now_ns = deadline->loop->now.mono_ns;
	uint64_t left_ns = deadline->at_ns > now_ns ? deadline->at_ns - now_ns : 0;

	ev_timer_set(&deadline->timer, (double)left_ns / (double)NS_PER_S, 0);
	ev_timer_start(deadline->loop->ev, &deadline->timer);
}

static void on_timer(struct ev_loop *ev, ev_timer *timer, int events)
{
	struct deadline *deadline = timer->data;

	(void)ev;
	(void)events;
	/* libev's time is slightly older than loop->now. */
	if (deadline->loop->now.mono_ns < deadline->at_ns) {
		arm(deadline);
		return;
	}
	deadline->at_ns = TIME_NEVER;
	deadline->passed(deadline->data);
}

void deadline_init(struct deadline *deadline, struct loop *loop, void (*passed)(void *data), void *data)
{
	*deadline = (struct deadline){ .loop = loop, .passed = passed, .data = data, .at_ns = TIME_NEVER };
	ev_timer_init(&deadline->timer, on_timer, 0, 0);
	deadline->timer.data = deadline;
}

void deadline_at(struct deadline *deadline, uint64_t at_ns)
{
	deadline_stop(deadline);
	deadline->at_ns = at_ns;
	if (at_ns != TIME_NEVER)
		arm(deadline);
}

void deadline_after(struct deadline *deadline, uint64_t delay_ns)
{
	deadline_at(deadline, deadline->loop->now.mono_ns + delay_ns);
}

void deadline_stop(struct deadline *deadline)
{
	if (deadline->loop)
		ev_timer_stop(deadline->loop->ev, &deadline->timer);
	deadline->at_ns = TIME_NEVER;
}

bool deadline_is_set(const struct deadline *deadline)
{
	return deadline->loop && deadline->at_ns != TIME_NEVER;
}
