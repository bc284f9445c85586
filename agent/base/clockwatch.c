/* SPDX-License-Identifier: MIT */
/*
 * Clock steps and suspends; see clockwatch.h. The comparison is arithmetic on a struct moment, so tests need no clock.
 */
#include "agent/base/clockwatch.h"

#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#define STEP_MS	     500
#define SLEEP_MS     100
#define FAR_FUTURE_S 8000000000L /* year 2223: the timer is armed for its cancellation only, never to expire */

static void take_reference(struct clockwatch *watch, const struct moment *now)
{
	watch->wall_minus_boot_ms = now->wall_ms - (int64_t)(now->boot_ns / NS_PER_MS);
	watch->boot_minus_mono_ns = now->boot_ns - now->mono_ns;
}

static void arm(const struct clockwatch *watch)
{
	struct itimerspec far = { .it_value.tv_sec = FAR_FUTURE_S };

	if (watch->fd >= 0)
		timerfd_settime(watch->fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL);
}

void clockwatch_init(struct clockwatch *watch, const struct moment *now)
{
	watch->fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	take_reference(watch, now);
	arm(watch);
}

void clockwatch_done(struct clockwatch *watch)
{
	close_fd(&watch->fd);
}

bool clockwatch_check(struct clockwatch *watch, const struct moment *now, struct clock_change *change)
{
	struct clockwatch before = *watch;
	uint64_t expired;

	take_reference(watch, now);
	if (watch->fd >= 0 && read(watch->fd, &expired, sizeof(expired)) < 0 && errno == ECANCELED)
		arm(watch);
	*change = (struct clock_change){
		.stepped_ms = watch->wall_minus_boot_ms - before.wall_minus_boot_ms,
		.slept_ms = (watch->boot_minus_mono_ns - before.boot_minus_mono_ns) / NS_PER_MS,
	};
	if (watch->boot_minus_mono_ns < before.boot_minus_mono_ns || change->slept_ms < SLEEP_MS)
		change->slept_ms = 0;
	if (llabs(change->stepped_ms) < STEP_MS)
		change->stepped_ms = 0;
	return change->stepped_ms != 0 || change->slept_ms != 0;
}
