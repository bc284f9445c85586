/* SPDX-License-Identifier: MIT */
/* Reboot and power-off, later, by the executor; see power.h. */
#include "agent/actions/power.h"

#include <errno.h>
#include <stdio.h>

#include "agent/actions/env.h"
#include "agent/base/report.h"
#include "agent/actions/privilege.h"

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
	char text[512];

	power->pending = false;
	if (!trouble) {
		report(LOG_NOTICE, "%s has begun", operations[power->operation].words);
		return;
	}
	snprintf(text, sizeof(text), "%s did not happen: %s", operations[power->operation].words, trouble);
	report(LOG_ERR, "%s", text);
	power->env->event(power->env->data, REPLY_ERROR, "power", text);
}

static void on_operation(void *data, const struct bus_reply *reply)
{
	struct power *power = data;

	power->call = NULL;
	end(power, reply->error ? reply->text : NULL);
}

static void on_time(void *data)
{
	struct power *power = data;
	struct privilege_request request = { .operation = operations[power->operation].operation,
					     .action = operations[power->operation].action,
					     .group = GROUP_POWER,
					     .unit = "",
					     .deadline_ns = power->env->loop->now.mono_ns + CALL_NS };
	int r = privilege_operation_start(power->env, &request, on_operation, power, &power->call);

	if (r < 0)
		end(power, privilege_operation_failure(power->env, r).text);
}

void power_init(struct power *power, struct action_env *env)
{
	*power = (struct power){ .env = env };
	deadline_init(&power->timer, env->loop, on_time, power);
}

void power_done(struct power *power)
{
	if (!power->env)
		return;
	deadline_stop(&power->timer);
	power->call = privilege_operation_cancel(power->call);
	power->pending = false;
}

void power_cancel(struct power *power)
{
	if (!deadline_is_set(&power->timer))
		return;
	deadline_stop(&power->timer);
	end(power, "the agent was stopped before");
}

int power_schedule(struct power *power, enum power_operation operation, uint64_t delay_s)
{
	if (power->pending)
		return -EALREADY;
	power->pending = true;
	power->operation = operation;
	deadline_after(&power->timer, delay_s * NS_PER_S);
	report(LOG_NOTICE, "%s in %llu s", operations[operation].words, (unsigned long long)delay_s);
	return 0;
}
