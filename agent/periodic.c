/* SPDX-License-Identifier: MIT */
/*
 * The periodic work of the agent. Samples: their sources, the agent's own counters in them, and their destinations.
 * Health: the clock and the log are looked at, and the watchdog of the service manager is notified.
 */
#include "agent/agent.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "agent/base/notify.h"

/* ----------------------------------------------------------------------------------------------------- the samples */

/* All destinations get the same bytes; a destination that is absent or has no room costs no other one a sample. */
static void publish(struct agent *agent, unsigned to, struct line *line)
{
	struct published *published = &agent->published;

	if (to & SAMPLE_TO_PORT) {
		if (hostlink_sample(agent, line) == 0)
			published->port++;
		else
			published->port_missed++;
		publish_line(&agent->publisher, PUBLISH_METRICS, line);
		published->feed++;
	}
	if (to & SAMPLE_TO_LOG) {
		logger_put(agent->logger, line, agent->loop.now);
		published->log++;
	}
	if (to & SAMPLE_TO_LATEST) {
		logger_latest(agent->logger, line, agent->loop.now);
		published->latest++;
	}
	asked_publish(&agent->asked, line);
}

static void on_sample_begin(void *data)
{
	struct agent *agent = data;

	housekeeping_check_clock(agent);
	logger_check(agent->logger, agent->loop.now); /* its figures are part of the sample */
}

static void on_sample(void *data, unsigned to, struct line *line)
{
	struct agent *agent = data;

	if (line)
		publish(agent, to, line);
	else
		report_limited(&agent->encode_topic, agent->loop.now.mono_ns, LOG_ERR,
			       "a sample could not be encoded (out of memory, or over the line limit)");
}

/* The agent's own counters, into the object that the self collector has open. */
static void emit_self(void *data, struct sink *out)
{
	const struct agent *agent = data;
	const struct port_stats *port = port_stats(agent->port);
	struct logger_stats log = logger_stats(agent->logger);
	struct sampling_stats sampling = sampling_stats(agent->sampling);

	sink_uint(out, "samples", sampling.samples);
	sink_uint(out, "samples_lost", sampling.lost);
	sink_uint(out, "port_dropped", port->lines_dropped[LINE_SAMPLE] + port->lines_refused[LINE_SAMPLE]);
	sink_uint(out, "port_queued_bytes", port_queued_bytes(agent->port));
	sink_uint(out, "log_dropped", log.dropped);
	sink_uint(out, "log_queued", log.queued);
	sink_uint(out, "commands_running", commands_running(&agent->commands));
	sink_uint(out, "commands_queued", commands_queued(&agent->commands));
	sink_uint(out, "commands_answered", agent->commands.stats.answered);
	sink_uint(out, "worst_turn_us", agent->counters.turn_ns_worst / NS_PER_US);
}

static void on_collector_changed(void *data, const struct collector *collector, int error)
{
	struct agent *agent = data;

	if (error)
		report(LOG_WARNING, "collector %s: %s; it goes on being tried", collector->name, strerror(-error));
	else
		report(LOG_NOTICE, "collector %s works again", collector->name);
	if (error)
		standing_set(&agent->standing, REPLY_WARN, "collector", collector->name, "%s", strerror(-error));
	else
		standing_clear(&agent->standing, "collector", collector->name, "works again");
}

static void on_late(void *data)
{
	struct agent *agent = data;

	generation_late(&agent->generation);
}

static void on_renewed(void *data, const char *why)
{
	struct agent *agent = data;

	agent->counters.generations++;
	report(LOG_NOTICE,
	       "this guest was put back to an earlier state, or paused: %s; its samples are of generation %s from "
	       "%" PRIu64 " on",
	       why, agent->generation.text, agent->generation.first_seq);
	hostlink_renewed_generation(agent, why);
}

int samples_build(struct agent *agent, uint64_t first_seq)
{
	struct sampling_config config = {
		.loop = &agent->loop,
		.probers = agent->prober,
		.id = &agent->id,
		.first_seq = first_seq,
		.changed = on_collector_changed,
		.late = on_late,
		.begin = on_sample_begin,
		.sample = on_sample,
		.emit_self = emit_self,
		.data = agent,
	};

	agent->sampling = sampling_new(&config, &agent->config);
	agent->asked = (struct asked){ .loop = &agent->loop,
				       .sampling = agent->sampling,
				       .sources = &agent->commands.sources };
	if (!agent->sampling)
		return -ENOMEM;
	agent->generation = (struct generation){ .loop = &agent->loop,
						 .config = &agent->config,
						 .id = &agent->id,
						 .sampling = agent->sampling,
						 .probers = agent->prober,
						 .renewed = on_renewed,
						 .data = agent };
	generation_open(&agent->generation);
	return 0;
}

/* -------------------------------------------------------------------------------------- the clock and the watchdog */

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

/* The watchdog is notified only while samples are taken: a loop that turns without doing its work counts as hung. */
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

/* The health deadline stays armed: the watchdog must be notified while commands drain. */
void housekeeping_stop(struct agent *agent)
{
	ev_io_stop(agent->loop.ev, &agent->clock_io);
}
