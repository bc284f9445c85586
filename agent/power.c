/* SPDX-License-Identifier: MIT */
/* Reboot and power-off, later, by the executor; see power.h. */
#include "agent/power.h"

#include <errno.h>

#include "agent/agent.h"
#include "agent/privilege.h"

#define CALL_NS (25 * NS_PER_S)

static const struct {
	const char *words, *action;
	enum runner_operation operation;
} operations[] = {
	[POWER_REBOOT] = { "reboot", "RebootSystem", RUNNER_OPERATION_REBOOT },
	[POWER_OFF] = { "power-off", "ShutdownSystem", RUNNER_OPERATION_POWER_OFF },
};

static void end(struct power *power, const char *trouble)
{
	power->pending = false;
	if (!trouble) {
		report(LOG_NOTICE, "%s has begun", operations[power->operation].words);
		return;
	}
	report(LOG_ERR, "%s did not happen: %s", operations[power->operation].words, trouble);
	hostlink_event(power->agent, REPLY_ERROR, "power", "%s did not happen: %s", operations[power->operation].words,
		       trouble);
}

static void on_operation(void *data, const struct bus_reply *reply)
{
	struct power *power = data;

	power->call = NULL;
	end(power, reply->error ? reply->text : NULL);
}

static void on_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct power *power = timer->data;
	struct privilege_request request = { .operation = operations[power->operation].operation,
					     .action = operations[power->operation].action,
					     .group = GROUP_POWER,
					     .unit = "",
					     .deadline_ns = power->agent->now.mono_ns + CALL_NS };
	int r;

	(void)loop;
	(void)events;
	r = privilege_operation_start(power->agent, &request, on_operation, power, &power->call);
	if (r < 0)
		end(power, privilege_operation_failure(power->agent, r).text);
}

void power_init(struct power *power, struct agent *agent)
{
	*power = (struct power){ .agent = agent };
	ev_timer_init(&power->timer, on_time, 0, 0);
	power->timer.data = power;
}

void power_done(struct power *power)
{
	if (!power->agent)
		return;
	ev_timer_stop(power->agent->loop, &power->timer);
	power->call = privilege_operation_cancel(power->call);
	power->pending = false;
}

void power_cancel(struct power *power)
{
	if (!ev_is_active(&power->timer))
		return;
	ev_timer_stop(power->agent->loop, &power->timer);
	end(power, "the agent was stopped before");
}

int power_schedule(struct power *power, enum power_operation operation, uint64_t delay_s)
{
	if (power->pending)
		return -EALREADY;
	power->pending = true;
	power->operation = operation;
	ev_timer_set(&power->timer, (double)delay_s, 0);
	ev_timer_start(power->agent->loop, &power->timer);
	report(LOG_NOTICE, "%s in %llu s", operations[operation].words, (unsigned long long)delay_s);
	return 0;
}
