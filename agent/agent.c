/* SPDX-License-Identifier: MIT */
/*
 * The agent's start, its loop with the events that wake it, the clock and the watchdog, and its end. build.c makes the
 * parts.
 */
#include "agent/agent.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/detached.h"
#include "agent/base/notify.h"

#define TURN_LONG_NS NS_PER_MS
/*
 * Allocations of this size and above are mapped (mallopt(3)): only touched pages become resident, while calloc clears
 * all of an allocation from the heap; and free() returns the pages to the kernel.
 */
#define OWN_PAGES_BYTES 32768

/* --------------------------------------------------------------------------------------- the clock and the watchdog */

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
	loop_work(loop, "clock", NULL);
	(void)events;
	housekeeping_check_clock(io->data);
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
	/* The watchdog is notified only while samples are taken: a loop that turns without doing its work is hung. */
	uint64_t patience_ns = 3 * agent->config.timers.metrics_interval_ms * NS_PER_MS +
			       agent->config.timers.collect_timeout_ms * NS_PER_MS;
	bool useful = agent->stopping != STOP_NOT ||
		      agent->loop.now.mono_ns - sampling_stats(agent->sampling).begun_ns <= patience_ns;

	loop_work(agent->loop.ev, "health", NULL);
	if (schedule_due(&agent->health, agent->loop.now.mono_ns)) {
		housekeeping_check_clock(agent);
		logger_check(agent->logger, agent->loop.now);
		show_status(agent);
		if (agent->watchdog_ns && useful)
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

/* --------------------------------------------------------------------------------------------------------- the stop */

/*
 * The stop is in a fixed order and within a bounded time:
 *
 *	DRAIN  nothing new is taken; queued commands are answered SHUTTING_DOWN, running ones may finish
 *	       (shutdown_grace_s)
 *	KILL   those that still run are killed and answered (2 s)
 *	FLUSH  the log writes and syncs what it holds, the last message and the answers leave through the port (2 s)
 *	END    the loop breaks
 *
 * A phase ends when its condition holds or its time is up. stop_look checks that once a turn of the loop, after all
 * work of the turn, so no part has to report it.
 */
#define KILL_NS	 (2 * NS_PER_S)
#define FLUSH_NS (2 * NS_PER_S)

static void on_stop_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct agent *agent = timer->data;

	(void)loop;
	(void)events;
	agent->loop.now = moment_now();
	if (agent->loop.now.mono_ns < agent->stop_deadline_ns)
		agent->loop.now.mono_ns = agent->stop_deadline_ns;
}

static void enter(struct agent *agent, enum stop_phase phase, uint64_t limit_ns)
{
	agent->stopping = phase;
	agent->stop_deadline_ns = agent->loop.now.mono_ns + limit_ns;
	ev_timer_stop(agent->loop.ev, &agent->stop_timer);
	ev_timer_init(&agent->stop_timer, on_stop_timer, (double)limit_ns / (double)NS_PER_S, 0);
	agent->stop_timer.data = agent;
	ev_timer_start(agent->loop.ev, &agent->stop_timer);
}

static void enter_kill(struct agent *agent)
{
	enter(agent, STOP_KILL, KILL_NS);
	exec_stop(agent->exec, 0);
	exec_stop(agent->privileged, 0);
	commands_kill(&agent->commands);
}

static void on_logger_stopped(void *data)
{
	((struct agent *)data)->logger_stopped = true;
}

/* A signal begins the stop; another one ends the grace time. */
static void on_stop_signal(struct ev_loop *loop, ev_signal *signal, int events)
{
	struct agent *agent = signal->data;

	(void)loop;
	(void)events;
	agent->loop.now = moment_now();
	if (agent->stopping == STOP_DRAIN) {
		enter_kill(agent);
	} else if (agent->stopping == STOP_NOT) {
		report(LOG_INFO, "stopping: %u commands run, %u wait", commands_running(&agent->commands),
		       commands_queued(&agent->commands));
		notify_stopping();
		sampling_stop(agent->sampling);
		generation_stop(&agent->generation);
		/* The health deadline stays armed: the watchdog must be notified while commands drain. */
		ev_io_stop(agent->loop.ev, &agent->clock_io);
		power_cancel(&agent->actions.power);
		freeze_done(&agent->freeze); /* the last lines are written to a disk */
		enter(agent, STOP_DRAIN, agent->config.agent.shutdown_grace_s * NS_PER_S);
		commands_close(&agent->commands);
	}
}

/* Goes on to the next phases while the present one is over. */
static void stop_look(struct agent *agent)
{
	bool late = agent->loop.now.mono_ns >= agent->stop_deadline_ns, idle = commands_idle(&agent->commands);

	if (agent->stopping == STOP_DRAIN && !idle && late) {
		enter_kill(agent);
		idle = commands_idle(&agent->commands);
		late = false;
	}
	if ((agent->stopping == STOP_DRAIN && idle) || (agent->stopping == STOP_KILL && (idle || late))) {
		enter(agent, STOP_FLUSH, FLUSH_NS);
		hostlink_event(agent, REPLY_INFO, "agent", "the agent is stopping");
		logger_stop(agent->logger, on_logger_stopped, agent);
		late = false;
	}
	if (agent->stopping == STOP_FLUSH &&
	    (late || (agent->logger_stopped &&
		      (port_state(agent->port) != PORT_CONNECTED || port_queued_bytes(agent->port) == 0)))) {
		agent->stopping = STOP_END;
		ev_break(agent->loop.ev, EVBREAK_ALL);
	}
}

/* ------------------------------------------------------------------------------------------------------ the turns */

static void on_port(struct ev_loop *loop, ev_io *io, int events)
{
	const struct port_watcher *watcher = io->data;

	loop_work(loop, "port", NULL);
	(void)events;
	port_dispatch(watcher->port, &watcher->agent->loop.now);
}

static void on_port_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	const struct port_watcher *watcher = timer->data;

	loop_work(loop, "port", NULL);
	(void)events;
	port_dispatch(watcher->port, &watcher->agent->loop.now);
}

/* A port's deadline and its need to be polled may have changed with any call in this turn. */
static void watch_port(struct port_watcher *watcher, uint64_t now_ns)
{
	struct ev_loop *loop = watcher->agent->loop.ev;
	uint64_t deadline_ns = port_deadline_ns(watcher->port);
	bool poll = port_needs_poll(watcher->port);

	if (deadline_ns != watcher->deadline_ns || (deadline_ns != TIME_NEVER && !ev_is_active(&watcher->timer))) {
		watcher->deadline_ns = deadline_ns;
		ev_timer_stop(loop, &watcher->timer);
		if (deadline_ns != TIME_NEVER) {
			ev_timer_set(&watcher->timer,
				     deadline_ns > now_ns ? (double)(deadline_ns - now_ns) / (double)NS_PER_S : 0, 0);
			ev_timer_start(loop, &watcher->timer);
		}
	}
	if (poll != ev_is_active(&watcher->poll)) {
		watcher->poll.repeat = (double)watcher->agent->config.timers.command_poll_ms / 1000;
		if (poll)
			ev_timer_again(loop, &watcher->poll);
		else
			ev_timer_stop(loop, &watcher->poll);
	}
}

static void begin_to_watch(struct agent *agent, struct port_watcher *watcher, struct port *port)
{
	if (!port)
		return;
	*watcher = (struct port_watcher){ .agent = agent, .port = port, .deadline_ns = TIME_NEVER };
	ev_timer_init(&watcher->timer, on_port_timer, 0, 0);
	ev_timer_init(&watcher->poll, on_port_timer, 0, 0);
	ev_io_init(&watcher->io, on_port, port_fd(port), EV_READ);
	watcher->timer.data = watcher->poll.data = watcher->io.data = watcher;
	ev_io_start(agent->loop.ev, &watcher->io);
}

static void on_before_wait(struct ev_loop *loop, ev_prepare *prepare, int events)
{
	struct agent *agent = prepare->data;
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC), turn_ns = now_ns - agent->loop.now.mono_ns;

	(void)events;
	if (turn_ns > TURN_LONG_NS)
		agent->counters.turns_over_1ms++;
	if (turn_ns > agent->counters.turn_ns_worst)
		agent->counters.turn_ns_worst = turn_ns;
	/* Timers are relative to the loop's own idea of now, which is as old as this turn. */
	if (turn_ns > TURN_LONG_NS)
		ev_now_update(loop);
	commands_drain(&agent->commands);
	if (agent->stopping != STOP_NOT)
		stop_look(agent);
	for (size_t i = 0; i < ARRAY_SIZE(agent->watchers); i++)
		if (agent->watchers[i].port)
			watch_port(&agent->watchers[i], now_ns);
}

static void on_hup(struct ev_loop *loop, ev_signal *signal, int events)
{
	struct agent *agent = signal->data;

	loop_work(loop, "reload", NULL);
	(void)events;
	if (agent->stopping == STOP_NOT)
		agent_reload(agent);
}

static void watch_signal(struct agent *agent, ev_signal *watcher, int number,
			 void (*callback)(struct ev_loop *, ev_signal *, int))
{
	ev_signal_init(watcher, callback, number);
	watcher->data = agent;
	ev_signal_start(agent->loop.ev, watcher);
}

static void watch_everything(struct agent *agent)
{
	watch_signal(agent, &agent->on_term, SIGTERM, on_stop_signal);
	watch_signal(agent, &agent->on_int, SIGINT, on_stop_signal);
	watch_signal(agent, &agent->on_hup, SIGHUP, on_hup);
	ev_prepare_init(&agent->before_wait, on_before_wait);
	agent->before_wait.data = agent;
	ev_prepare_start(agent->loop.ev, &agent->before_wait);
	begin_to_watch(agent, &agent->watchers[0], agent->port);
	begin_to_watch(agent, &agent->watchers[1], agent->qga_port);
}

/* ------------------------------------------------------------------------------------------------------- the life */

int agent_init(struct agent *agent, const struct agent_options *options, struct err *e)
{
	static const int ignored[] = { SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGXFSZ };
	struct err warning;
	int r;

	*agent = (struct agent){ .options = options, .started = moment_now() };
	agent->state.dir_fd = agent->state.lock_fd = agent->clock.fd = -1;
	agent->loop.now = agent->started;
	mallopt(M_MMAP_THRESHOLD, OWN_PAGES_BYTES);
	r = agent_load_config(&agent->config, options, e);
	if (r < 0)
		return r;
	standing_init(&agent->standing, &agent->loop, hostlink_tell, agent);
	agent_set_log_level(agent);
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		signal(ignored[i], SIG_IGN);
	agent->secret = secret_new();
	if (!agent->secret)
		return err_set(e, -ENOMEM, "out of memory");
	r = secret_find(agent->config.auth.secret_file, agent->secret, &warning, e);
	secret_forget_environment();
	if (r == 0 && warning.code) {
		report(LOG_WARNING, "%s", warning.text);
		standing_set(&agent->standing, REPLY_WARN, "config", "secret", "%s", warning.text);
	}
	if (r == 0)
		r = build_agent(agent, e);
	if (r == 0)
		r = local_new(&agent->peers, &agent->local, &warning, e);
	if (r == 0 && warning.code)
		report(LOG_WARNING, "%s", warning.text);
	return r;
}

int agent_run(struct agent *agent)
{
	watch_everything(agent);
	generation_start(&agent->generation);
	generation_look(&agent->generation);
	sampling_start(agent->sampling, &agent->config);
	housekeeping_start(agent);
	port_dispatch(agent->port, &agent->loop.now);
	if (agent->qga_port)
		port_dispatch(agent->qga_port, &agent->loop.now);
	report(LOG_INFO, "infiniservice " INFINISERVICE_VERSION ": vm %s (%s), port %s, log %s", agent->id.vm_id,
	       agent->id.source, agent->config.port.spec, agent->config.log.enabled ? agent->config.log.dir : "off");
	agent_tell_policy(agent);
	notify_ready();
	ev_run(agent->loop.ev, 0);
	return agent->exit_code;
}

/* Helpers end when their socket is closed; a helper in a slow disk write is left to init. */
static void reap_helpers(void)
{
	const struct timespec pause = { .tv_nsec = 5 * (long)NS_PER_MS };

	for (unsigned i = 0; i < 60; i++) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid < 0)
			return;
		if (pid == 0)
			nanosleep(&pause, NULL);
	}
}

void agent_done(struct agent *agent)
{
	if (agent->port) {
		if (agent->stopping == STOP_END)
			hostlink_hand_over(agent);
		port_close(agent->port);
	}
	if (agent->qga_port) {
		if (agent->stopping == STOP_END)
			qgalink_hand_over(agent);
		port_close(agent->qga_port);
	}
	scripts_done(&agent->scripts);
	freeze_done(&agent->freeze); /* thaws, before anything is written to a disk */
	agent->local = local_free(agent->local);
	session_done(&agent->port_session);
	/*
	 * The next seq is written only when the log has written every line it was given; else the rule for a crash
	 * applies at the next start (state.h).
	 */
	if (agent->state.dir_fd >= 0 && agent->stopping == STOP_END && agent->logger_stopped &&
	    state_finish(&agent->state, sampling_stats(agent->sampling).next_seq, agent->id.boot_id) < 0)
		report(LOG_WARNING, "%s: the next sample number could not be written", agent->config.agent.state_dir);
	agent->sampling = sampling_free(agent->sampling);
	agent->alerts = alerts_free(agent->alerts);
	power_done(&agent->actions.power);
	detached_done(&agent->actions.detached);
	commands_abandon(&agent->commands);
	agent->privileged = exec_free(agent->privileged);
	agent->exec = exec_free(agent->exec);
	while (agent->commands.first)
		commands_drain(&agent->commands);
	agent->bus = bus_free(agent->bus);
	agent->qga = qga_free(agent->qga);
	agent->prober = prober_free(agent->prober);
	agent->logger = logger_free(agent->logger);
	agent->port = port_free(agent->port);
	agent->qga_port = port_free(agent->qga_port);
	standing_done(&agent->standing);
	publish_done(&agent->publisher);
	journal_close(&agent->journal);
	audit_done(&agent->audit);
	peers_done(&agent->peers);
	clockwatch_done(&agent->clock);
	agent->secret = secret_free(agent->secret);
	free(agent->writer_text);
	if (agent->loop.ev)
		reap_helpers();
	state_close(&agent->state);
	config_free(&agent->config);
	loop_done(&agent->loop);
	if (agent->loop.ev)
		ev_loop_destroy(agent->loop.ev);
}
