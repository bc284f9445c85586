/* SPDX-License-Identifier: MIT */
/*
 * The traffic of the agent with its peers. The host's side of the port: sessions begin with a handshake and a sample,
 * faults are told once, answers go out. The samples: the agent's own counters in them, and their destinations. Messages
 * of host and local clients: each goes to its part, and all parts are told when a peer is gone.
 */
#include "agent/agent.h"
#include "agent/log/pick.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <json-c/json.h>

#include <infiniservice/cleanup.h>

#include "agent/actions/detached.h"
#include "agent/actions/history.h"
#include "agent/actions/run.h"
#include "agent/base/notify.h"
#include "transport/addition.h"

/* A whole sample not older than this is sent again when a session has started, instead of taking a new one. */
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

/* Answers the commands that an earlier agent process accepted and never answered, until the port's queue is full. */
static void answer_lost(struct agent *agent)
{
	for (struct journal_entry *entry = agent->journal.lost, *next; entry; entry = next) {
		struct response response = {
			.id = entry->id,
			.command_type = entry->action,
			.code = CODE_INTERNAL,
			.reason = "lost: agent_restart",
			.error = "lost: agent_restart (the agent ended before the command did)",
		};
		struct line *line;
		bool sent = true;

		next = entry->next;
		if (entry->kind != JOURNAL_COMMAND)
			continue;
		if (reply_response(&agent->writer, agent->loop.now.wall_ms, &response) == 0) {
			line = line_new(LINE_REPLY, agent->writer.buf, agent->writer.len);
			sent = line && port_send(agent->port, line) == 0;
			line_unref(line);
		}
		if (!sent)
			return;
		journal_answered(&agent->journal, entry->serial);
	}
}

/* Sends a sample to the host, unless the host has subscribed to samples with an interval of its own. 0 or -errno. */
static int sample_to_host(struct agent *agent, struct line *line)
{
	struct session *session = &agent->port_session;

	return publish_reads(&session->subscriber, PUBLISH_METRICS) ? 0 : send_to_port(session, line);
}

static void start_session(struct agent *agent)
{
	struct moment now = agent->loop.now;
	struct reply_breaker_state breaker;
	struct reply_error_report recovered = {
		.error_type = port_fault_name(agent->recovered),
		.severity = REPLY_RECOVERABLE,
		.retry_attempt = agent->recovered_attempts,
		.recovery_suggestion = "none needed: the port was reopened",
		.vm_id = agent->id.vm_id,
	};

	if (agent->stopping != STOP_NOT) {
		scripts_session_began(&agent->scripts);
		return;
	}
	shake_hands(agent);
	/* The recovered fault of the port since the last session; never Fatal, see reply.h. */
	if (agent->recovered_attempts > 0 && reply_error_report(&agent->writer, now.wall_ms, &recovered) == 0)
		session_answer(&agent->port_session, LINE_EVENT);
	agent->recovered_attempts = 0;
	/* The changes of the circuit breaker while there was no session. */
	breaker_worked(&agent->breaker);
	breaker = breaker_describe(&agent->breaker, &now);
	if (agent->breaker.untold && reply_circuit_breaker_state(&agent->writer, now.wall_ms, &breaker) == 0)
		session_answer(&agent->port_session, LINE_EVENT);
	agent->breaker.untold = false;
	standing_each(&agent->standing, repeat_to_host, agent);
	answer_lost(agent);
	detached_session_began(&agent->actions.detached);
	generation_look(&agent->generation);
	scripts_session_began(&agent->scripts);
	if (sampling_latest(agent->sampling) && sampling_latest_went_whole(agent->sampling) &&
	    now.mono_ns - sampling_stats(agent->sampling).taken_ns < YOUNG_NS) {
		sample_to_host(agent, sampling_latest(agent->sampling));
		return;
	}
	sampling_whole(agent->sampling, SAMPLE_TO_PORT);
	sampling_soon(agent->sampling, SAMPLE_TO_ALL);
}

static void on_connected(void *data)
{
	struct agent *agent = data;

	report(LOG_DEBUG, "port %s: host connected", port_where(agent->port));
	session_reset(&agent->port_session);
	agent->port_session.present = true;
	start_session(agent);
}

static void on_renewed(void *data, uint64_t gone_ns)
{
	struct agent *agent = data;

	session_border(&agent->port_session, gone_ns);
	start_session(agent);
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
		agent->recovered = fault->kind;
		agent->recovered_attempts = fault->consecutive;
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

/*
 * A virtio port drops unread input when it is closed. So the service manager holds it open over a restart, and no
 * command is lost between the last one answered here and the first one of the next agent process.
 */
void hostlink_hand_over(struct agent *agent)
{
	const char *bytes;
	size_t len = frame_half(&agent->port_session.frames, &bytes);
	/* A file in memory with the half line that has been received, for the next agent process. */
	_cleanup_(closep) int half = len ? memfd_create("half-line", MFD_CLOEXEC) : -1;
	int fd = port_keep(agent->port);

	if (fd < 0 || (len && (half < 0 || write(half, bytes, len) != (ssize_t)len || lseek(half, 0, SEEK_SET) < 0)))
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

/* What an owner would look for later: warnings, errors, and alerts to their end. */
static void record_event(struct agent *agent, const struct reply_event *event)
{
	static const char *const severities[] = { "debug", "info", "warn", "error" };
	struct audit_record record = { .phase = AUDIT_EVENT,
				       .id = "-",
				       .action = event->source,
				       .origin = "agent",
				       .detail = event->message,
				       .severity = severities[event->severity],
				       .changes = true };

	if (event->severity < REPLY_WARN && strcmp(event->source, "alert") != 0)
		return;
	/* A fault can be told before there is a record, as of the journal that commands are recorded in. */
	if (agent->commands.record.audit && audit_takes_event(&agent->audit, &agent->loop.now))
		record_entry(&agent->commands.record, &record);
}

void hostlink_tell(void *data, const struct reply_event *event)
{
	struct agent *agent = data;
	/* A fault can be reported before the port has been made. */
	bool there = agent->port && port_state(agent->port) == PORT_CONNECTED;
	struct line *line;

	record_event(agent, event);
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

/* ------------------------------------------------------------------------------------------------------ the samples */

static void on_sample_begin(void *data)
{
	struct agent *agent = data;

	housekeeping_check_clock(agent);
	logger_check(agent->logger, agent->loop.now); /* its figures are part of the sample */
	if (logger_stats(agent->logger).wants_whole)
		sampling_whole(agent->sampling, SAMPLE_TO_LOG);
}

/*
 * Port and log get the same bytes; a destination that is absent or has no room costs no other one a sample. Who reads
 * one sample alone gets it whole.
 */
static void on_sample(void *data, unsigned to, struct line *line, struct line *whole)
{
	struct agent *agent = data;
	struct published *published = &agent->published;

	if (!line) {
		report_limited(&agent->encode_topic, agent->loop.now.mono_ns, LOG_ERR,
			       "a sample could not be encoded (out of memory, or over the line limit)");
		return;
	}
	if (to & SAMPLE_TO_PORT) {
		if (sample_to_host(agent, line) == 0)
			published->port++;
		else
			published->port_missed++;
		publish_sample(&agent->publisher, line, whole);
		published->feed++;
	}
	if (to & SAMPLE_TO_LOG) {
		logger_put(agent->logger, line, agent->loop.now);
		published->log++;
	}
	if (to & SAMPLE_TO_LATEST) {
		logger_latest(agent->logger, whole, agent->loop.now);
		published->latest++;
	}
	asked_publish(&agent->asked, whole);
	alerts_sample(agent->alerts, agent->loop.now.mono_ns, line->text, line->len);
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

static void on_generation_renewed(void *data, const char *why)
{
	struct agent *agent = data;

	agent->counters.generations++;
	sampling_whole(agent->sampling, SAMPLE_TO_ALL); /* it begins a segment of the log */
	report(LOG_NOTICE,
	       "this guest was put back to an earlier state, or paused: %s; its samples are of generation %s from "
	       "%" PRIu64 " on",
	       why, agent->generation.text, agent->generation.first_seq);
	/* The handshake is repeated with the new generation; the host may then send Ack again. */
	if (port_state(agent->port) == PORT_CONNECTED) {
		history_forget_ack(&agent->port_session);
		shake_hands(agent);
	}
	hostlink_event(agent, REPLY_WARN, "generation",
		       "this guest was put back to an earlier state, or paused: %s; generation %s begins", why,
		       agent->id.generation);
}

static void on_alert(void *data, const char *name, bool begins, const char *words)
{
	struct agent *agent = data;

	report(begins ? LOG_WARNING : LOG_NOTICE, "alert %s: %s", name, words);
	if (begins)
		standing_set(&agent->standing, REPLY_WARN, "alert", name, "%s", words);
	else
		standing_clear(&agent->standing, "alert", name, words);
}

void alerts_into_force(struct agent *agent)
{
	if (alerts_configure(agent->alerts, &agent->config.alerts) < 0)
		report(LOG_ERR,
		       "alerts: out of memory, or more than %d metrics in their conditions; there are none now",
		       PICK_MAX);
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
	agent->alerts = alerts_new(on_alert, agent);
	if (!agent->sampling || !agent->alerts)
		return -ENOMEM;
	alerts_into_force(agent);
	agent->generation = (struct generation){ .loop = &agent->loop,
						 .config = &agent->config,
						 .id = &agent->id,
						 .sampling = agent->sampling,
						 .probers = agent->prober,
						 .renewed = on_generation_renewed,
						 .data = agent };
	generation_open(&agent->generation);
	return 0;
}

/* ------------------------------------------------------------------------------- messages of host and local clients */

/* The policy also applies to messages that are not commands; a refusal is sent as an `error`. */
static bool permitted(struct session *session, const char *name, const char *refusal)
{
	if (commands_permit(&session_agent(session)->commands, session, name, GROUP_OBSERVE))
		return true;
	session_error(session, "commands", CODE_POLICY_DENIED, NULL, NULL, refusal);
	return false;
}

static void on_message(void *data, struct session *session, struct message *message)
{
	struct agent *agent = data;
	uint64_t seq = message->sequence_number;
	struct json_object *time;

	if (session->kind == SESSION_PORT && json_object_object_get_ex(message->root, "timestamp", &time) && time)
		generation_hear(&agent->generation, time);
	switch (message->type) {
	case MESSAGE_SAFE_COMMAND:
	case MESSAGE_UNSAFE_COMMAND:
	case MESSAGE_STATUS:
	case MESSAGE_COMMAND_BATCH:
	case MESSAGE_CANCEL_COMMAND:
	case MESSAGE_SUBSCRIBE:
	case MESSAGE_UNSUBSCRIBE:
	case MESSAGE_SET_CONFIG:
	case MESSAGE_GET_HISTORY:
		commands_submit(&agent->commands, session, message);
		return;
	case MESSAGE_KEEP_ALIVE_REQUEST:
		if (reply_keep_alive(&agent->writer, agent->loop.now.wall_ms, seq) == 0)
			session_answer(session, LINE_REPLY);
		break;
	case MESSAGE_METRICS:
		if (permitted(session, "Metrics", "the policy of this guest does not allow Metrics"))
			asked_for_sample(&agent->asked, session);
		break;
	case MESSAGE_PENDING_SCRIPTS:
		/*
		 * A local client gets an `error`, never a completion, which would tell the host that a script of its
		 * own had failed.
		 */
		if (session->kind == SESSION_LOCAL)
			session_error(session, "commands", CODE_POLICY_DENIED, NULL, NULL,
				      "scripts are taken from the host alone");
		else
			scripts_take(&agent->scripts, session, message->items);
		break;
	case MESSAGE_ACK:
		if (!permitted(session, "Ack", "the policy of this guest does not allow Ack"))
			break;
		if (session->kind == SESSION_PORT)
			seq = generation_ack(&agent->generation, seq, message->generation, agent->sent_seq);
		history_ack(&agent->actions, session, seq);
		break;
	case MESSAGE_KEEP_ALIVE_RESPONSE:
	case MESSAGE_SIGNED: /* opened before */
	case MESSAGE_TYPES:
		break;
	}
	message_free(message);
}

/*
 * Commands and histories know the time of their request. A subscription, a wait for a sample and an Ack end when their
 * last message is older than `before_ns`; heard_ns of a message that never came is 0, older than every time.
 */
static void on_gone(void *data, struct session *session, uint64_t before_ns)
{
	struct agent *agent = data;

	commands_orphan_before(&agent->commands, session, before_ns);
	history_leave(session, before_ns);
	if (session->heard_ns[MESSAGE_SUBSCRIBE] < before_ns)
		publish_unsubscribe(&session->subscriber, session->subscriber.topics);
	if (session->heard_ns[MESSAGE_METRICS] < before_ns)
		asked_leave(&agent->asked, session);
	if (session->heard_ns[MESSAGE_ACK] < before_ns) {
		history_forget_ack(session);
		session->first_seq = 0;
	}
	if (before_ns == UINT64_MAX)
		history_end(session);
}

static void on_drained(void *data, struct session *session)
{
	(void)data;
	publish_drained(&session->subscriber);
}

const struct peer_handler messages_handler = { .message = on_message, .gone = on_gone, .drained = on_drained };

/* ---------------------------------------------------------------------------------------------------- commands */

static bool host_reads(void *data)
{
	const struct agent *agent = data;

	/*
	 * Running commands may fill the rest of the queue (five answers of half a megabyte into three quarters of
	 * four), and every answer must find room.
	 */
	return port_queued_bytes(agent->port) <= agent->config.port.queue_bytes / 4;
}

static bool action_ready(void *data, const struct action *action)
{
	const struct agent *agent = data;

	return !action->bus || bus_ready(agent->bus) != -EINPROGRESS;
}

static void on_command_changed(void *data, const struct addition_command *told)
{
	struct agent *agent = data;
	struct line *line;

	if (!publish_wanted(&agent->publisher, PUBLISH_COMMANDS) ||
	    addition_command(&agent->writer, agent->loop.now.wall_ms, told) < 0)
		return;
	line = line_new(LINE_EVENT, agent->writer.buf, agent->writer.len);
	if (line)
		publish_line(&agent->publisher, PUBLISH_COMMANDS, line);
	line_unref(line);
}

static void deliver_resumed(void *data, struct command *command)
{
	struct agent *agent = data;

	detached_deliver(&agent->actions.detached, command);
}

static void on_command_over(void *data, struct command *command)
{
	(void)data;
	run_forget(command);
}

const struct command_hooks commands_hooks = { .host_reads = host_reads,
					      .ready = action_ready,
					      .changed = on_command_changed,
					      .deliver_resumed = deliver_resumed,
					      .over = on_command_over };

void messages_nonces_changed(void *data, int error)
{
	struct agent *agent = data;
	const char *dir = agent->config.agent.runtime_dir;

	if (error == 0) {
		standing_clear(&agent->standing, "agent", "nonces", "are remembered over a restart again");
		return;
	}
	report_limited(&agent->nonce_topic, agent->loop.now.mono_ns, LOG_WARNING,
		       "%s/" NONCES_NAME ": %s: this message would be taken again after a restart", dir,
		       strerror(-error));
	standing_set(&agent->standing, REPLY_WARN, "agent", "nonces",
		     "%s/" NONCES_NAME ": %s: signed messages would be taken again after a restart", dir,
		     strerror(-error));
}
