/* SPDX-License-Identifier: MIT */
/* The agent's start, its loop with the events that wake it, and its end. build.c makes the parts. */
#include "agent/agent.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/build.h"
#include "agent/actions/detached.h"
#include "agent/base/notify.h"

#define TURN_LONG_NS NS_PER_MS
/*
 * Allocations of this size and above are mapped (mallopt(3)): only touched pages become resident, while calloc clears
 * all of an allocation from the heap; and free() returns the pages to the kernel.
 */
#define OWN_PAGES_BYTES 32768

/* ------------------------------------------------------------------------------------------------------ the turns */

void agent_dispatch_port(struct agent *agent)
{
	port_dispatch(agent->port, &agent->loop.now);
}

static void on_port(struct ev_loop *loop, ev_io *io, int events)
{
	(void)loop;
	(void)events;
	agent_dispatch_port(io->data);
}

static void on_port_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	agent_dispatch_port(timer->data);
}

/* The port's deadline and its need to be polled may have changed with any call in this turn. */
static void watch_port(struct agent *agent, uint64_t now_ns)
{
	uint64_t deadline_ns = port_deadline_ns(agent->port);
	bool poll = port_needs_poll(agent->port);

	if (deadline_ns != agent->port_deadline_ns ||
	    (deadline_ns != TIME_NEVER && !ev_is_active(&agent->port_timer))) {
		agent->port_deadline_ns = deadline_ns;
		ev_timer_stop(agent->loop.ev, &agent->port_timer);
		if (deadline_ns != TIME_NEVER) {
			ev_timer_set(&agent->port_timer,
				     deadline_ns > now_ns ? (double)(deadline_ns - now_ns) / (double)NS_PER_S : 0, 0);
			ev_timer_start(agent->loop.ev, &agent->port_timer);
		}
	}
	if (poll != ev_is_active(&agent->poll_timer)) {
		agent->poll_timer.repeat = (double)agent->config.timers.command_poll_ms / 1000;
		if (poll)
			ev_timer_again(agent->loop.ev, &agent->poll_timer);
		else
			ev_timer_stop(agent->loop.ev, &agent->poll_timer);
	}
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
	stop_look(agent);
	watch_port(agent, now_ns);
}

static void on_stop_signal(struct ev_loop *loop, ev_signal *signal, int events)
{
	(void)loop;
	(void)events;
	stop_begin(signal->data);
}

static void on_hup(struct ev_loop *loop, ev_signal *signal, int events)
{
	struct agent *agent = signal->data;

	(void)loop;
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
	ev_timer_init(&agent->port_timer, on_port_timer, 0, 0);
	agent->port_timer.data = agent;
	ev_timer_init(&agent->poll_timer, on_port_timer, 0, 0);
	agent->poll_timer.data = agent;
	ev_io_init(&agent->port_io, on_port, port_fd(agent->port), EV_READ);
	agent->port_io.data = agent;
	ev_io_start(agent->loop.ev, &agent->port_io);
}

/* ------------------------------------------------------------------------------------------------------- the life */

static void ignore_signals(void)
{
	static const int ignored[] = { SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGXFSZ };

	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		signal(ignored[i], SIG_IGN);
}

int agent_init(struct agent *agent, const struct agent_options *options, struct err *e)
{
	struct err warning;
	int r;

	*agent = (struct agent){ .options = options, .started = moment_now(), .port_deadline_ns = TIME_NEVER };
	agent->state.dir_fd = agent->state.lock_fd = agent->clock.fd = -1;
	agent->loop.now = agent->started;
	mallopt(M_MMAP_THRESHOLD, OWN_PAGES_BYTES);
	r = agent_load_config(&agent->config, options, e);
	if (r < 0)
		return r;
	standing_init(&agent->standing, &agent->loop, hostlink_tell, agent);
	agent_set_log_level(agent);
	ignore_signals();
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
	agent_dispatch_port(agent);
	report(LOG_INFO, "infiniservice " INFINISERVICE_VERSION ": vm %s (%s), port %s, log %s", agent->id.vm_id,
	       agent->id.source, agent->config.port.spec, agent->config.log.enabled ? agent->config.log.dir : "off");
	agent_tell_policy(agent);
	notify_ready();
	ev_run(agent->loop.ev, 0);
	return agent->exit_code;
}

/*
 * The next seq is written only when the log has written every line it was given; else the rule for a crash applies at
 * the next start (state.h).
 */
static void finish_state(struct agent *agent)
{
	if (agent->state.dir_fd < 0 || agent->stopping != STOP_END)
		return;
	if (agent->logger_stopped &&
	    state_finish(&agent->state, sampling_stats(agent->sampling).next_seq, agent->id.boot_id) < 0)
		report(LOG_WARNING, "%s: the next sample number could not be written", agent->config.agent.state_dir);
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
	scripts_done(&agent->scripts);
	agent->local = local_free(agent->local);
	session_done(&agent->port_session);
	finish_state(agent);
	agent->sampling = sampling_free(agent->sampling);
	power_done(&agent->actions.power);
	detached_done(&agent->actions.detached);
	commands_abandon(&agent->commands);
	agent->privileged = exec_free(agent->privileged);
	agent->exec = exec_free(agent->exec);
	while (agent->commands.first)
		commands_drain(&agent->commands);
	agent->bus = bus_free(agent->bus);
	agent->prober = prober_free(agent->prober);
	agent->logger = logger_free(agent->logger);
	agent->port = port_free(agent->port);
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
