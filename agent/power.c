/* SPDX-License-Identifier: MIT */
/* Reboot and power-off, later; see power.h and org.freedesktop.login1(5). */
#include "agent/power.h"

#include <errno.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/bus_work.h"
#include "agent/privilege.h"

#define CALL_NS	       (25 * NS_PER_S)
#define LOGIND_NAME    "org.freedesktop.login1"
#define LOGIND_PATH    "/org/freedesktop/login1"
#define LOGIND_MANAGER "org.freedesktop.login1.Manager"

static const struct {
	const char *words, *logind_member, *target;
} operations[] = {
	[POWER_REBOOT] = { "reboot", "Reboot", "reboot.target" },
	[POWER_OFF] = { "power-off", "PowerOff", "poweroff.target" },
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

static void ask(struct power *power);

static void on_reply(void *data, const struct bus_reply *reply)
{
	struct power *power = data;

	power->call = NULL;
	if (reply->error && power->asked_logind) {
		report(LOG_NOTICE, "%s: logind: %s; the service manager is asked", operations[power->operation].words,
		       reply->text);
		power->asked_logind = false;
		ask(power);
		return;
	}
	end(power, reply->error ? reply->text : NULL);
}

static int build(const struct power *power, sd_bus_message **message)
{
	struct bus *bus = power->agent->bus;
	int r;

	if (power->asked_logind) {
		r = bus_message(bus, LOGIND_NAME, LOGIND_PATH, LOGIND_MANAGER,
				operations[power->operation].logind_member, message);
		return r < 0 ? r : sd_bus_message_append(*message, "b", false);
	}
	r = bus_message(bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "StartUnit", message);
	return r < 0 ? r
		     : sd_bus_message_append(*message, "ss", operations[power->operation].target,
					     "replace-irreversibly");
}

static void on_operation(void *data, const struct bus_reply *reply)
{
	struct power *power = data;

	power->by_executor = NULL;
	end(power, reply->error ? reply->text : NULL);
}

static int ask_executor(struct power *power)
{
	struct privilege_wish wish = {
		.operation = power->operation == POWER_REBOOT ? RUNNER_OPERATION_REBOOT : RUNNER_OPERATION_POWER_OFF,
		.action = power->operation == POWER_REBOOT ? "RebootSystem" : "ShutdownSystem",
		.group = GROUP_POWER,
		.unit = "",
		.deadline_ns = power->agent->now.mono_ns + CALL_NS,
	};

	return privilege_operation_start(power->agent, &wish, on_operation, power, &power->by_executor);
}

static void ask(struct power *power)
{
	sd_bus_message *message = NULL;
	int r = privilege_available(power->agent) ? build(power, &message) : ask_executor(power);

	if (!message) {
		if (r < 0)
			end(power, strerror(-r));
		return;
	}
	if (r >= 0)
		r = bus_call(power->agent->bus, message, CALL_NS, on_reply, power, &power->call);
	sd_bus_message_unref(message);
	if (r < 0)
		end(power, strerror(-r));
}

static void on_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct power *power = timer->data;

	(void)loop;
	(void)events;
	power->asked_logind = true;
	ask(power);
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
	power->call = bus_cancel(power->call);
	power->by_executor = privilege_operation_cancel(power->by_executor);
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
