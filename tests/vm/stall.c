/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into the agent: once FILE exists, timers of less than 0.1 s never come. Its loop goes on turning and
 * answering, but with a metrics interval as short as that it takes no sample any more.
 */
#include <dlfcn.h>
#include <ev.h>
#include <unistd.h>

#define FILE "/run/infiniservice/stalled"

void ev_timer_start(struct ev_loop *loop, ev_timer *timer)
{
	static void (*start)(struct ev_loop *, ev_timer *);

	if (!start)
		*(void **)&start = dlsym(RTLD_NEXT, "ev_timer_start");
	if (timer->at >= 0.1 || access(FILE, F_OK) != 0)
		start(loop, timer);
}
