/* SPDX-License-Identifier: MIT */
/* What the agent does at intervals beside its samples: it looks at the clock and the log, and feeds the watchdog. */
#include "agent/agent.h"
#include "agent/base/notify.h"

void housekeeping_check_clock(struct agent *agent)
{
	struct clock_change change;

	if (!clockwatch_check(&agent->clock, &agent->loop.now, &change))
		return;
	sampling_gap(agent->sampling);
	agent->counters.clock_steps += change.stepped_ms != 0;
	agent->counters.sleeps += change.slept_ms != 0;
	report(LOG_NOTICE, "time broke: the clock was set by %+lld ms, the guest slept for %llu ms",
	       (long long)change.stepped_ms, (unsigned long long)change.slept_ms);
	generation_clock_set(&agent->generation, change.stepped_ms);
	hostlink_event(agent, REPLY_WARN, "clock", "the clock was set by %+lld ms, the guest slept for %llu ms",
		       (long long)change.stepped_ms, (unsigned long long)change.slept_ms);
	sampling_soon(agent->sampling, SAMPLE_TO_ALL);
}

static void on_clock(struct ev_loop *loop, ev_io *io, int events)
{
	(void)loop;
	(void)events;
	housekeeping_check_clock(io->data);
}

/* The watchdog is fed while samples come: a loop that turns without doing its work is as dead as one that hangs. */
static bool useful(const struct agent *agent)
{
	uint64_t patience_ns = 3 * agent->config.timers.metrics_interval_ms * NS_PER_MS +
			       agent->config.timers.collect_timeout_ms * NS_PER_MS;

	return agent->stopping != STOP_NOT ||
	       agent->loop.now.mono_ns - sampling_stats(agent->sampling).begun_ns <= patience_ns;
}

static void show_status(const struct agent *agent)
{
	static const char *const log_states[] = { "ok", "lagging", "failing" };

	notify_status("host %s, %llu samples, log %s, %u commands running, %u queued",
		      port_state(agent->port) == PORT_CONNECTED ? "connected" : "absent",
		      (unsigned long long)sampling_stats(agent->sampling).samples,
		      agent->config.log.enabled ? log_states[logger_stats(agent->logger).state] : "off",
		      commands_running(&agent->commands), commands_queued(&agent->commands));
}

static void on_health(void *data)
{
	struct agent *agent = data;

	if (schedule_due(&agent->health, agent->loop.now.mono_ns)) {
		housekeeping_check_clock(agent);
		logger_check(agent->logger, agent->loop.now);
		show_status(agent);
		if (agent->watchdog_ns && useful(agent))
			notify_watchdog();
	}
	deadline_at(&agent->health_deadline, agent->health.due_ns);
}

static uint64_t health_period_ns(const struct agent *agent)
{
	uint64_t period_ns = agent->config.timers.health_interval_ms * NS_PER_MS;

	return agent->watchdog_ns && agent->watchdog_ns < period_ns ? agent->watchdog_ns : period_ns;
}

void housekeeping_start(struct agent *agent)
{
	agent->watchdog_ns = notify_watchdog_ns();
	schedule_start(&agent->health, health_period_ns(agent), agent->loop.now.mono_ns);
	deadline_init(&agent->health_deadline, &agent->loop, on_health, agent);
	deadline_at(&agent->health_deadline, agent->health.due_ns);
	if (agent->clock.fd >= 0) {
		ev_io_init(&agent->clock_io, on_clock, agent->clock.fd, EV_READ);
		agent->clock_io.data = agent;
		ev_io_start(agent->loop.ev, &agent->clock_io);
	}
	show_status(agent);
}

void housekeeping_configure(struct agent *agent)
{
	schedule_change(&agent->health, health_period_ns(agent), agent->loop.now.mono_ns);
	deadline_at(&agent->health_deadline, agent->health.due_ns);
}

/* The health deadline goes on: the watchdog must be fed while commands drain. */
void housekeeping_stop(struct agent *agent)
{
	ev_io_stop(agent->loop.ev, &agent->clock_io);
}
