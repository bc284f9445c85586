/* SPDX-License-Identifier: MIT */
/*
 * The end, in a fixed order and within a bounded time:
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
#include "agent/agent.h"

#include "agent/base/notify.h"

#define KILL_NS	 (2 * NS_PER_S)
#define FLUSH_NS (2 * NS_PER_S)

static void on_stop_timer(struct ev_loop *loop, ev_timer *timer, int events);

static void enter(struct agent *agent, enum stop_phase phase, uint64_t limit_ns)
{
	agent->stopping = phase;
	agent->stop_deadline_ns = agent->loop.now.mono_ns + limit_ns;
	ev_timer_stop(agent->loop.ev, &agent->stop_timer);
	ev_timer_init(&agent->stop_timer, on_stop_timer, (double)limit_ns / (double)NS_PER_S, 0);
	agent->stop_timer.data = agent;
	ev_timer_start(agent->loop.ev, &agent->stop_timer);
}

static void on_logger_stopped(void *data)
{
	((struct agent *)data)->logger_stopped = true;
}

static void begin_flush(struct agent *agent)
{
	enter(agent, STOP_FLUSH, FLUSH_NS);
	hostlink_event(agent, REPLY_INFO, "agent", "the agent is stopping");
	logger_stop(agent->logger, on_logger_stopped, agent);
}

static bool flushed(const struct agent *agent)
{
	return agent->logger_stopped &&
	       (port_state(agent->port) != PORT_CONNECTED || port_queued_bytes(agent->port) == 0);
}

void stop_begin(struct agent *agent)
{
	agent->loop.now = moment_now();
	if (agent->stopping == STOP_DRAIN) {
		enter(agent, STOP_KILL, KILL_NS);
		exec_stop(agent->exec, 0);
		exec_stop(agent->privileged, 0);
		commands_kill(&agent->commands);
	} else if (agent->stopping == STOP_NOT) {
		report(LOG_INFO, "stopping: %u commands run, %u wait", commands_running(&agent->commands),
		       commands_queued(&agent->commands));
		notify_stopping();
		sampling_stop(agent->sampling);
		generation_stop(&agent->generation);
		housekeeping_stop(agent);
		power_cancel(&agent->actions.power);
		enter(agent, STOP_DRAIN, agent->config.agent.shutdown_grace_s * NS_PER_S);
		commands_close(&agent->commands);
	}
}

static void advance(struct agent *agent)
{
	bool late = agent->loop.now.mono_ns >= agent->stop_deadline_ns;

	switch (agent->stopping) {
	case STOP_NOT:
	case STOP_END:
		break;
	case STOP_DRAIN:
		if (commands_idle(&agent->commands)) {
			begin_flush(agent);
		} else if (late) {
			enter(agent, STOP_KILL, KILL_NS);
			exec_stop(agent->exec, 0);
			exec_stop(agent->privileged, 0);
			commands_kill(&agent->commands);
		}
		break;
	case STOP_KILL:
		if (commands_idle(&agent->commands) || late)
			begin_flush(agent);
		break;
	case STOP_FLUSH:
		if (flushed(agent) || late) {
			agent->stopping = STOP_END;
			ev_break(agent->loop.ev, EVBREAK_ALL);
		}
		break;
	}
}

void stop_look(struct agent *agent)
{
	enum stop_phase before;

	do {
		before = agent->stopping;
		advance(agent);
	} while (agent->stopping != before);
}

static void on_stop_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct agent *agent = timer->data;

	(void)loop;
	(void)events;
	agent->loop.now = moment_now();
	if (agent->loop.now.mono_ns < agent->stop_deadline_ns)
		agent->loop.now.mono_ns = agent->stop_deadline_ns;
}
