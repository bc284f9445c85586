/* SPDX-License-Identifier: MIT */
/* The host's side of the port: sessions begin with a handshake and a sample, faults are told once, answers go out. */
#include "agent/agent.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/history.h"
#include "agent/actions/detached.h"
#include "agent/base/notify.h"

/* A sample not older than this is sent again when a session has started, instead of taking a new one. */
#define YOUNG_NS (2 * NS_PER_S)

static const char *const capabilities[] = {
	"metrics",     "keep_alive",	"commands",	 "unsafe_command", "signed",  "scripts",   "circuit_breaker",
	"status",      "command_batch", "cancel",	 "stream",	   "retries", "subscribe", "set_config",
	"get_history", "ack",		"lost_commands", "generation",	   NULL,
};

/* Every sample for the host passes here, so the first one sets first_seq of the session. */
static int send_to_port(struct session *session, struct line *line)
{
	int r = port_send(session_agent(session)->port, line);

	if (r == 0 && line->class == LINE_SAMPLE && session->first_seq == 0)
		session->first_seq = line->seq;
	return r;
}

/* Reports the recovered fault of the port since the last session; never Fatal, see reply.h. */
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
	if (reply_error_report(&agent->writer, agent->loop.now.wall_ms, &told) == 0)
		session_answer(&agent->port_session, LINE_EVENT);
}

/* Reports the changes of the circuit breaker while there was no session. */
static void tell_breaker(struct agent *agent)
{
	struct moment now = agent->loop.now;
	struct reply_breaker_state told = breaker_describe(&agent->breaker, &now);

	if (!agent->breaker.untold)
		return;
	agent->breaker.untold = false;
	if (reply_circuit_breaker_state(&agent->writer, now.wall_ms, &told) == 0)
		session_answer(&agent->port_session, LINE_EVENT);
}

static bool answer_lost_command(struct agent *agent, const struct journal_entry *entry)
{
	struct response response = {
		.id = entry->id,
		.command_type = entry->action,
		.code = CODE_INTERNAL,
		.reason = "lost: agent_restart",
		.error = "lost: agent_restart (the agent ended before the command did)",
	};
	struct line *line;
	bool sent;

	if (reply_response(&agent->writer, agent->loop.now.wall_ms, &response) < 0)
		return true;
	line = line_new(LINE_REPLY, agent->writer.buf, agent->writer.len);
	sent = line && port_send(agent->port, line) == 0;
	line_unref(line);
	return sent;
}

/* Answers the commands that an earlier agent process accepted and never answered. */
static void answer_lost(struct agent *agent)
{
	for (struct journal_entry *entry = agent->journal.lost, *next; entry; entry = next) {
		next = entry->next;
		if (entry->kind != JOURNAL_COMMAND)
			continue;
		if (!answer_lost_command(agent, entry))
			return;
		journal_answered(&agent->journal, entry->serial);
	}
}

/*
 * Sent as LINE_REPLY: requests that waited in the port are answered in the same turn and must not overtake the
 * handshake.
 */
static void shake_hands(struct agent *agent)
{
	if (reply_handshake(&agent->writer, agent->loop.now.wall_ms, agent->id.vm_id, INFINISERVICE_VERSION,
			    agent->id.generation, capabilities) == 0)
		session_answer(&agent->port_session, LINE_REPLY);
}

static void repeat_to_host(void *data, const struct reply_event *event)
{
	struct agent *agent = data;

	if (reply_agent_event(&agent->writer, agent->loop.now.wall_ms, event) == 0)
		session_answer(&agent->port_session, LINE_EVENT);
}

static void greet(struct agent *agent)
{
	struct moment now = agent->loop.now;

	shake_hands(agent);
	tell_survived(agent);
	breaker_worked(&agent->breaker);
	tell_breaker(agent);
	standing_each(&agent->standing, repeat_to_host, agent);
	answer_lost(agent);
	detached_session_began(&agent->actions.detached);
	generation_look(&agent->generation);
	scripts_session_began(&agent->scripts);
	if (sampling_latest(agent->sampling) && now.mono_ns - sampling_stats(agent->sampling).taken_ns < YOUNG_NS)
		hostlink_sample(agent, sampling_latest(agent->sampling));
	else
		sampling_soon(agent->sampling, SAMPLE_TO_ALL);
}

int hostlink_sample(struct agent *agent, struct line *line)
{
	struct session *session = &agent->port_session;

	return publish_reads(&session->subscriber, PUBLISH_METRICS) ? 0 : send_to_port(session, line);
}

static void on_connected(void *data)
{
	struct agent *agent = data;

	report(LOG_DEBUG, "port %s: host connected", port_where(agent->port));
	session_reset(&agent->port_session);
	agent->port_session.present = true;
	if (agent->stopping == STOP_NOT)
		greet(agent);
	else
		scripts_session_began(&agent->scripts);
}

static void on_renewed(void *data, uint64_t gone_ns)
{
	struct agent *agent = data;

	session_border(&agent->port_session, gone_ns);
	if (agent->stopping == STOP_NOT)
		greet(agent);
	else
		scripts_session_began(&agent->scripts);
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
	agent->port_session.present = false;
	scripts_session_ended(&agent->scripts);
	session_reset(&agent->port_session);
}

static void on_dropped(void *data, const struct line *line)
{
	struct agent *agent = data;

	if (line->class <= LINE_BULK)
		agent->port_session.answers_lost++;
	scripts_dropped(&agent->scripts, line);
}

static void on_sent(void *data, const struct line *line)
{
	struct agent *agent = data;

	if (line->class == LINE_SAMPLE && line->seq > agent->sent_seq)
		agent->sent_seq = line->seq;
	session_drained(&agent->port_session);
}

/*
 * A fault of an open port is noted as recovered, to be reported when the next session has started; a failed open is
 * told by the circuit breaker alone.
 */
static void on_fault(void *data, const struct port_fault *fault)
{
	struct agent *agent = data;
	struct moment now = agent->loop.now;
	/* A port that does not exist may appear by itself; a port of another user (EACCES) needs an administrator. */
	int level = fault->kind == PORT_FAULT_OPEN && fault->error != -EACCES ? LOG_INFO : LOG_WARNING;

	report_limited(&agent->port_topic, now.mono_ns, level, "port: %s (%s, %u in a row), trying again%s",
		       fault->text, port_fault_name(fault->kind), fault->consecutive,
		       fault->retry_ns == TIME_NEVER ? " when the node changes" : "");
	if (fault->kind == PORT_FAULT_OPEN || fault->kind == PORT_FAULT_STALL)
		breaker_failed(&agent->breaker, &now, fault->retry_ns);
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

/* A memfd with the half line that has been received, for the next agent process. */
static int half_line_file(const char *bytes, size_t len)
{
	_cleanup_(closep) int fd = memfd_create("half-line", MFD_CLOEXEC);

	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	return TAKE_FD(fd);
}

/*
 * A virtio port drops unread input when it is closed. So the service manager holds it open over a restart, and no
 * command is lost between the last one answered here and the first one of the next agent process.
 */
void hostlink_hand_over(struct agent *agent)
{
	const char *bytes;
	size_t len = frame_half(&agent->port_session.frames, &bytes);
	_cleanup_(closep) int half = len ? half_line_file(bytes, len) : -1;
	int fd = port_keep(agent->port);

	if (fd < 0 || (len && half < 0))
		return;
	if (len)
		notify_keep(NOTIFY_HALF_LINE, half);
	notify_keep(NOTIFY_PORT, fd);
}

static size_t port_backlog(const struct session *session)
{
	return port_queued_bytes(session_agent(session)->port);
}

void hostlink_init(struct agent *agent)
{
	session_init(&agent->port_session, &agent->peers, SESSION_PORT, send_to_port);
	agent->port_session.backlog = port_backlog;
	agent->port_session.backlog_max = agent->config.port.queue_bytes / 4;
	snprintf(agent->port_session.name, sizeof(agent->port_session.name), "host");
}

void hostlink_renewed_generation(struct agent *agent, const char *why)
{
	if (port_state(agent->port) == PORT_CONNECTED) {
		history_forget_ack(&agent->port_session);
		shake_hands(agent);
	}
	hostlink_event(agent, REPLY_WARN, "generation",
		       "this guest was put back to an earlier state, or paused: %s; generation %s begins", why,
		       agent->id.generation);
}

/* A fault can be reported before the port has been made. */
static bool host_is_there(const struct agent *agent)
{
	return agent->port && port_state(agent->port) == PORT_CONNECTED;
}

void hostlink_tell(void *data, const struct reply_event *event)
{
	struct agent *agent = data;
	bool there = host_is_there(agent);
	struct line *line;

	if ((!there && !publish_wanted(&agent->publisher, PUBLISH_EVENTS)) ||
	    reply_agent_event(&agent->writer, agent->loop.now.wall_ms, event) < 0)
		return;
	line = line_new(LINE_EVENT, agent->writer.buf, agent->writer.len);
	if (!line)
		return;
	if (there && port_send(agent->port, line) < 0)
		agent->port_session.answers_lost++;
	publish_line(&agent->publisher, PUBLISH_EVENTS, line);
	line_unref(line);
}

void hostlink_event(struct agent *agent, enum reply_level level, const char *source, const char *format, ...)
{
	char text[512];
	struct reply_event event = { .severity = level, .source = source, .message = text };
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	hostlink_tell(agent, &event);
}
