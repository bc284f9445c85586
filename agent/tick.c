/* SPDX-License-Identifier: MIT */
/*
 * The periodic work: the metrics tick, the health tick, samples out of turn, and the clock. Each timer is one-shot and
 * armed anew from its grid (schedule.h), so nothing drifts and nothing comes in bursts.
 *
 *	collect, a slice a turn ─► all probes answered, or collect_timer ─► encode ─► hub
 */
#include <infiniservice/cleanup.h>

#include "agent/agent.h"
#include "agent/base/notify.h"
#include "collectors/processes.h"
#include "collectors/self.h"
#include "collectors/table.h"

/* Rates over less than this say more about the scheduler than about the guest. */
#define BASELINE_NS (200 * NS_PER_MS)
/* Address and link changes come in bursts (RTNETLINK): wait for the rest, and never more often than this. */
#define CHANGE_SETTLE_NS  (500 * NS_PER_MS)
#define CHANGE_SPACING_NS (2 * NS_PER_S)

static void attach_collectors(struct agent *agent);

static double seconds(uint64_t ns)
{
	return (double)ns / (double)NS_PER_S;
}

static void arm(struct ev_loop *loop, ev_timer *timer, uint64_t delay_ns)
{
	ev_timer_stop(loop, timer);
	ev_timer_set(timer, seconds(delay_ns), 0);
	ev_timer_start(loop, timer);
}

/* --------------------------------------------------------------------------------------------------------- samples */

static void finish_sample(struct agent *agent)
{
	unsigned topics = agent->pending_topics;
	struct line *line;

	agent->pending_topics = 0;
	ev_timer_stop(agent->loop, &agent->collect_timer);
	logger_check(agent->logger, agent->now); /* its figures are part of the sample */
	line = sampler_encode(agent->sampler, &agent->id, agent->next_seq, &agent->now);
	if (!line) {
		agent->counters.samples_lost++;
		report_limited(&agent->encode_topic, agent->now.mono_ns, LOG_ERR,
			       "a sample could not be encoded (out of memory, or over the line limit)");
		return;
	}
	agent->next_seq++;
	agent->counters.samples++;
	agent->last_sample_ns = agent->now.mono_ns;
	hub_publish(&agent->hub, topics, line);
	asked_publish(agent, line);
	line_unref(line);
}

static uint64_t probe_wait_ns(const struct agent *agent)
{
	uint64_t limit_ns = agent->config.timers.collect_timeout_ms * NS_PER_MS;
	uint64_t half_ns = agent->config.timers.metrics_interval_ms * NS_PER_MS / 2;

	return limit_ns < half_ns ? limit_ns : half_ns;
}

/* The collectors have read all they can by themselves. */
static void collected(struct agent *agent)
{
	agent->collecting = false;
	attach_collectors(agent);
	if (agent->pending_topics && prober_outstanding(agent->prober, NULL))
		arm(agent->loop, &agent->collect_timer, probe_wait_ns(agent));
	else if (agent->pending_topics)
		finish_sample(agent);
}

static void next_slice(struct agent *agent)
{
	arm(agent->loop, &agent->slice_timer, 0);
}

static void collect(struct agent *agent)
{
	agent->last_collect_ns = agent->now.mono_ns;
	agent->collecting = sampler_collect(agent->sampler, &agent->now, agent->gap);
	agent->gap = false;
	if (agent->collecting)
		next_slice(agent);
	else
		collected(agent);
}

static void extra_at(struct agent *agent, unsigned topics, uint64_t due_ns);

/*
 * A sample that is not finished yet takes the new topics along: there is never more than one in the making. The
 * baseline is none: it has no rates.
 */
static void take_sample(struct agent *agent, unsigned topics)
{
	bool baseline = agent->collecting && !agent->pending_topics, busy = agent->collecting || agent->pending_topics;

	if (baseline) {
		extra_at(agent, topics, agent->now.mono_ns);
		return;
	}
	agent->pending_topics |= topics;
	if (busy)
		return;
	tick_check_clock(agent);
	collect(agent);
}

void tick_probed(struct agent *agent)
{
	if (agent->pending_topics && !agent->collecting)
		finish_sample(agent);
}

/* True when there is more to scan. One that fails is over too: the table is as it was. */
static bool scan_step(struct agent *agent)
{
	struct collect_ctx ctx = sampler_context(agent->sampler, &collector_processes, &agent->now);
	void *state = sampler_state(agent->sampler, &collector_processes);

	return state && processes_refresh(state, &ctx) == COLLECT_MORE;
}

/* True when it goes on in the next turns of the loop. */
static bool scan(struct agent *agent)
{
	agent->scanning = scan_step(agent);
	if (agent->scanning)
		next_slice(agent);
	else
		agent->scans++;
	return agent->scanning;
}

/* What a scan under way has read already may be older than the question: that wants the one after it. */
uint64_t tick_scan_processes(struct agent *agent)
{
	if (agent->collecting || agent->scanning) {
		agent->scan_again = true;
		return agent->scans + 2;
	}
	return scan(agent) ? agent->scans + 1 : agent->scans;
}

/* Something may wait for the processes, whoever had them scanned. */
static void scanned(struct agent *agent)
{
	bool again = agent->scan_again;

	agent->scanning = agent->scan_again = false;
	agent->scans++;
	if (!again || !scan(agent))
		commands_probed(&agent->commands);
}

/* A collect scans the processes too, and finishes what was begun for a command. */
static void on_slice(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct agent *agent = timer->data;
	bool more = agent->collecting ? sampler_go_on(agent->sampler, &agent->now) : scan_step(agent);

	(void)loop;
	(void)events;
	if (more) {
		next_slice(agent);
		return;
	}
	if (agent->collecting)
		collected(agent);
	scanned(agent);
}

static void on_collect_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	tick_probed(timer->data);
}

static void extra_at(struct agent *agent, unsigned topics, uint64_t due_ns)
{
	uint64_t earliest_ns = agent->last_collect_ns + BASELINE_NS;

	agent->extra_topics |= topics;
	if (due_ns < earliest_ns)
		due_ns = earliest_ns;
	if (ev_is_active(&agent->extra_timer) &&
	    ev_timer_remaining(agent->loop, &agent->extra_timer) <=
		    seconds(due_ns > agent->now.mono_ns ? due_ns - agent->now.mono_ns : 0))
		return;
	arm(agent->loop, &agent->extra_timer, due_ns > agent->now.mono_ns ? due_ns - agent->now.mono_ns : 0);
}

void tick_sample_soon(struct agent *agent, unsigned topics)
{
	extra_at(agent, topics, agent->now.mono_ns);
}

static void on_extra(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct agent *agent = timer->data;
	unsigned topics = agent->extra_topics;

	(void)loop;
	(void)events;
	agent->extra_topics = 0;
	agent->last_extra_ns = agent->now.mono_ns;
	take_sample(agent, topics);
}

static void on_wake(struct ev_loop *loop, ev_io *io, int events)
{
	struct wake_watch *wake = container_of(io, struct wake_watch, io);
	struct agent *agent = io->data;
	uint64_t due_ns = agent->now.mono_ns + CHANGE_SETTLE_NS;

	(void)loop;
	(void)events;
	if (!sampler_wake(agent->sampler, wake->collector))
		return;
	if (agent->last_extra_ns && due_ns < agent->last_extra_ns + CHANGE_SPACING_NS)
		due_ns = agent->last_extra_ns + CHANGE_SPACING_NS;
	extra_at(agent, HUB_PORT | HUB_LOG | HUB_LATEST, due_ns);
}

static void watch_wake_fd(void *data, int fd, const struct collector *collector)
{
	struct agent *agent = data;
	struct wake_watch *wake;

	if (agent->wake_count == AGENT_WAKE_FDS_MAX)
		return;
	wake = &agent->wakes[agent->wake_count++];
	wake->collector = collector;
	ev_io_init(&wake->io, on_wake, fd, EV_READ);
	wake->io.data = agent;
	ev_io_start(agent->loop, &wake->io);
}

static void unwatch_wake_fds(struct agent *agent)
{
	while (agent->wake_count)
		ev_io_stop(agent->loop, &agent->wakes[--agent->wake_count].io);
}

/* ----------------------------------------------------------------------------------------------------------- clock */

void tick_check_clock(struct agent *agent)
{
	struct clock_change change;

	if (!clockwatch_check(&agent->clock, &agent->now, &change))
		return;
	agent->gap = true;
	agent->counters.clock_steps += change.stepped_ms != 0;
	agent->counters.sleeps += change.slept_ms != 0;
	report(LOG_NOTICE, "time broke: the clock was set by %+lld ms, the guest slept for %llu ms",
	       (long long)change.stepped_ms, (unsigned long long)change.slept_ms);
	generation_clock_set(agent, change.stepped_ms);
	hostlink_event(agent, REPLY_WARN, "clock", "the clock was set by %+lld ms, the guest slept for %llu ms",
		       (long long)change.stepped_ms, (unsigned long long)change.slept_ms);
	tick_sample_soon(agent, HUB_PORT | HUB_LOG | HUB_LATEST);
}

static void on_clock(struct ev_loop *loop, ev_io *io, int events)
{
	(void)loop;
	(void)events;
	tick_check_clock(io->data);
}

/* ---------------------------------------------------------------------------------------------------------- timers */

static bool logs_apart(const struct agent *agent)
{
	return config_log_interval_ms(&agent->config) != agent->config.timers.metrics_interval_ms;
}

static void on_metrics(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct agent *agent = timer->data;

	(void)events;
	asked_tick(agent);
	if (schedule_due(&agent->metrics, agent->now.mono_ns))
		take_sample(agent, HUB_PORT | HUB_LATEST | (logs_apart(agent) ? 0 : HUB_LOG));
	arm(loop, timer, schedule_left(&agent->metrics, agent->now.mono_ns));
}

static void on_log_only(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct agent *agent = timer->data;

	(void)events;
	if (schedule_due(&agent->log_only, agent->now.mono_ns))
		take_sample(agent, HUB_LOG);
	arm(loop, timer, schedule_left(&agent->log_only, agent->now.mono_ns));
}

/* The watchdog is fed while samples come: a loop that turns without doing its work is as dead as one that hangs. */
static bool useful(const struct agent *agent)
{
	uint64_t patience_ns = 3 * agent->config.timers.metrics_interval_ms * NS_PER_MS +
			       agent->config.timers.collect_timeout_ms * NS_PER_MS;

	return agent->stopping != STOP_NOT || agent->now.mono_ns - agent->last_collect_ns <= patience_ns;
}

static void show_status(const struct agent *agent)
{
	static const char *const log_states[] = { "ok", "lagging", "failing" };

	notify_status("host %s, %llu samples, log %s, %u commands running, %u queued",
		      port_state(agent->port) == PORT_CONNECTED ? "connected" : "absent",
		      (unsigned long long)agent->counters.samples,
		      agent->config.log.enabled ? log_states[logger_stats(agent->logger).state] : "off",
		      commands_running(&agent->commands), commands_queued(&agent->commands));
}

static void on_health(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct agent *agent = timer->data;

	(void)events;
	if (schedule_due(&agent->health, agent->now.mono_ns)) {
		tick_check_clock(agent);
		logger_check(agent->logger, agent->now);
		show_status(agent);
		if (agent->watchdog_ns && useful(agent))
			notify_watchdog();
	}
	arm(loop, timer, schedule_left(&agent->health, agent->now.mono_ns));
}

static uint64_t health_period_ns(const struct agent *agent)
{
	uint64_t period_ns = agent->config.timers.health_interval_ms * NS_PER_MS;

	return agent->watchdog_ns && agent->watchdog_ns < period_ns ? agent->watchdog_ns : period_ns;
}

/* The log has a grid of its own only where its interval differs; else the metrics tick serves it. */
static void arm_log_timer(struct agent *agent)
{
	if (logs_apart(agent) && agent->config.log.enabled)
		arm(agent->loop, &agent->log_timer, schedule_left(&agent->log_only, agent->now.mono_ns));
	else
		ev_timer_stop(agent->loop, &agent->log_timer);
}

/* The agent's own counters, into the object that the self collector has open. */
static void emit_self(void *data, struct sink *out)
{
	const struct agent *agent = data;
	const struct port_stats *port = port_stats(agent->port);
	struct logger_stats log = logger_stats(agent->logger);

	sink_uint(out, "samples", agent->counters.samples);
	sink_uint(out, "samples_lost", agent->counters.samples_lost);
	sink_uint(out, "port_dropped", port->lines_dropped[LINE_SAMPLE] + port->lines_refused[LINE_SAMPLE]);
	sink_uint(out, "port_queued_bytes", port_queued_bytes(agent->port));
	sink_uint(out, "log_dropped", log.dropped);
	sink_uint(out, "log_queued", log.queued);
	sink_uint(out, "commands_running", commands_running(&agent->commands));
	sink_uint(out, "commands_queued", commands_queued(&agent->commands));
	sink_uint(out, "commands_answered", agent->commands.stats.answered);
	sink_uint(out, "worst_turn_us", agent->counters.turn_ns_worst / NS_PER_US);
}

static void attach_self(struct agent *agent)
{
	void *self = sampler_state(agent->sampler, &collector_self);

	if (self)
		self_attach(self, emit_self, agent);
}

/* A collector that could not be opened at first, or failed, may be there by now. */
static void attach_collectors(struct agent *agent)
{
	attach_self(agent);
	if (!sampler_opened(agent->sampler))
		return;
	unwatch_wake_fds(agent);
	sampler_each_wake_fd(agent->sampler, watch_wake_fd, agent);
}

static void init_timer(struct agent *agent, ev_timer *timer, void (*callback)(struct ev_loop *, ev_timer *, int))
{
	ev_timer_init(timer, callback, 0, 0);
	timer->data = agent;
}

void tick_start(struct agent *agent)
{
	uint64_t now_ns = agent->now.mono_ns;

	agent->watchdog_ns = notify_watchdog_ns();
	schedule_start(&agent->metrics, agent->config.timers.metrics_interval_ms * NS_PER_MS, now_ns);
	schedule_start(&agent->log_only, config_log_interval_ms(&agent->config) * NS_PER_MS, now_ns);
	schedule_start(&agent->health, health_period_ns(agent), now_ns);
	init_timer(agent, &agent->metrics_timer, on_metrics);
	init_timer(agent, &agent->health_timer, on_health);
	init_timer(agent, &agent->log_timer, on_log_only);
	init_timer(agent, &agent->extra_timer, on_extra);
	init_timer(agent, &agent->slice_timer, on_slice);
	init_timer(agent, &agent->collect_timer, on_collect_timer);

	generation_start(agent);
	generation_look(agent);
	/* A silent baseline: the first message then has rates, not inventions. */
	collect(agent);
	sampler_started(agent->sampler);
	tick_sample_soon(agent, HUB_LOG | HUB_LATEST);

	arm(agent->loop, &agent->metrics_timer, schedule_left(&agent->metrics, now_ns));
	arm(agent->loop, &agent->health_timer, schedule_left(&agent->health, now_ns));
	arm_log_timer(agent);
	if (agent->clock.fd >= 0) {
		ev_io_init(&agent->clock_io, on_clock, agent->clock.fd, EV_READ);
		agent->clock_io.data = agent;
		ev_io_start(agent->loop, &agent->clock_io);
	}
	show_status(agent);
}

void tick_reconfigure(struct agent *agent)
{
	uint64_t now_ns = agent->now.mono_ns;

	schedule_change(&agent->metrics, agent->config.timers.metrics_interval_ms * NS_PER_MS, now_ns);
	schedule_change(&agent->log_only, config_log_interval_ms(&agent->config) * NS_PER_MS, now_ns);
	schedule_change(&agent->health, health_period_ns(agent), now_ns);
	unwatch_wake_fds(agent);
	sampler_configure(agent->sampler, &agent->config, &agent->now);
	sampler_each_wake_fd(agent->sampler, watch_wake_fd, agent);
	attach_collectors(agent);
	arm(agent->loop, &agent->metrics_timer, schedule_left(&agent->metrics, now_ns));
	arm(agent->loop, &agent->health_timer, schedule_left(&agent->health, now_ns));
	arm_log_timer(agent);
}

/* The health timer goes on: the watchdog must be fed while commands drain. */
void tick_stop(struct agent *agent)
{
	unwatch_wake_fds(agent);
	ev_io_stop(agent->loop, &agent->clock_io);
	generation_stop(agent);
	ev_timer_stop(agent->loop, &agent->metrics_timer);
	ev_timer_stop(agent->loop, &agent->log_timer);
	ev_timer_stop(agent->loop, &agent->extra_timer);
	ev_timer_stop(agent->loop, &agent->collect_timer);
	ev_timer_stop(agent->loop, &agent->slice_timer);
	agent->collecting = agent->scanning = agent->scan_again = false;
	agent->pending_topics = agent->extra_topics = 0;
}
