/* SPDX-License-Identifier: MIT */
/* The host's side of the port: sessions begin with a handshake and a sample, faults are told once, answers go out. */
#include "agent/agent.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A sample this young is sent again to a host that has just come instead of taking another. */
#define YOUNG_NS (2 * NS_PER_S)

static const char *const capabilities[] = {
	"metrics", "keep_alive", "commands", "unsafe_command", "signed", "status", "script_refusal", NULL,
};

static int send_to_port(struct session *session, struct line *line)
{
	return port_send(session->agent->port, line);
}

/* What went wrong with the port since the last session and was survived; never Fatal, see reply.h. */
static void tell_survived(struct agent *agent)
{
	struct reply_error_report told = {
		.error_type = port_fault_name(agent->survived),
		.severity = REPLY_RECOVERABLE,
		.retry_attempt = agent->survived_attempts,
		.recovery_suggestion = "none needed: the port was reopened",
		.vm_id = agent->id.vm_id,
	};

	if (agent->survived_attempts == 0)
		return;
	agent->survived_attempts = 0;
	if (reply_error_report(&agent->writer, agent_now(agent).wall_ms, &told) == 0)
		session_answer(agent, &agent->port_session, LINE_EVENT);
}

static void greet(struct agent *agent)
{
	struct moment now = agent_now(agent);

	if (reply_handshake(&agent->writer, now.wall_ms, agent->id.vm_id, INFINISERVICE_VERSION, capabilities) == 0)
		session_answer(agent, &agent->port_session, LINE_EVENT);
	tell_survived(agent);
	if (agent->hub.latest && now.mono_ns - agent->last_sample_ns < YOUNG_NS)
		port_send(agent->port, agent->hub.latest);
	else
		tick_sample_soon(agent, HUB_PORT | HUB_LOG | HUB_LATEST);
}

static void on_connected(void *data)
{
	struct agent *agent = data;

	report(LOG_DEBUG, "port %s: host connected", port_where(agent->port));
	session_reset(&agent->port_session);
	if (agent->stopping == STOP_NOT)
		greet(agent);
}

static void on_renewed(void *data)
{
	struct agent *agent = data;

	if (agent->stopping == STOP_NOT)
		greet(agent);
}

static void on_received(void *data, const char *bytes, size_t len)
{
	struct agent *agent = data;

	session_receive(&agent->port_session, bytes, len);
}

static void on_disconnected(void *data)
{
	struct agent *agent = data;

	report(LOG_DEBUG, "port %s: host gone", port_where(agent->port));
	session_reset(&agent->port_session);
	stop_advance(agent);
}

static void on_dropped(void *data, const struct line *line)
{
	struct agent *agent = data;

	if (line->class == LINE_REPLY)
		agent->port_session.answers_lost++;
}

static void on_sent(void *data, const struct line *line)
{
	(void)line;
	stop_advance(data);
}

/* The host learns of what was survived once it is there again: a fault it can see itself needs no report. */
static void on_fault(void *data, const struct port_fault *fault)
{
	struct agent *agent = data;
	struct moment now = agent_now(agent);
	int level = fault->kind == PORT_FAULT_OPEN ? LOG_INFO : LOG_WARNING;

	report_limited(&agent->port_topic, now.mono_ns, level, "port: %s (%s, %u in a row), trying again%s", fault->text,
		       port_fault_name(fault->kind), fault->consecutive, fault->retry_ns == TIME_NEVER ? " when the node changes" : "");
	if (fault->kind != PORT_FAULT_OPEN) {
		agent->survived = fault->kind;
		agent->survived_attempts = fault->consecutive;
	}
}

const struct port_events hostlink_events = {
	.connected = on_connected,
	.renewed = on_renewed,
	.received = on_received,
	.disconnected = on_disconnected,
	.dropped = on_dropped,
	.sent = on_sent,
	.fault = on_fault,
};

void hostlink_init(struct agent *agent)
{
	session_init(&agent->port_session, agent, SESSION_PORT, send_to_port);
	snprintf(agent->port_session.name, sizeof(agent->port_session.name), "host");
}

void hostlink_event(struct agent *agent, enum reply_level level, const char *source, const char *format, ...)
{
	char text[512];
	struct reply_event event = { .severity = level, .source = source, .message = text };
	va_list args;

	if (port_state(agent->port) != PORT_CONNECTED)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (reply_agent_event(&agent->writer, agent_now(agent).wall_ms, &event) == 0)
		session_answer(agent, &agent->port_session, LINE_EVENT);
}
