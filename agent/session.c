/* SPDX-License-Identifier: MIT */
/* From bytes to messages, and every bad line to its one answer; see session.h. */
#include "agent/session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "agent/agent.h"
#include "agent/history.h"
#include "agent/subscribe.h"
#include "transport/half_line.h"

static void answer_error(struct session *session, const char *component, enum error_code code, const char *reason,
			 const char *id, const char *text)
{
	struct agent *agent = session->agent;
	struct reply_error error = { .text = text, .component = component, .code = code, .reason = reason, .id = id };

	if (reply_error(&agent->writer, agent->now.wall_ms, &error) == 0)
		session_answer(agent, session, LINE_REPLY);
}

void session_refuse(struct session *session, const struct message_fault *fault, const char *command_type)
{
	struct agent *agent = session->agent;
	struct response response = { .id = fault->id,
				     .code = fault->code,
				     .error = fault->text,
				     .reason = fault->reason,
				     .command_type = command_type ? command_type : "unknown" };

	if (!fault->has_id)
		answer_error(session, "transport", fault->code, fault->reason, NULL, fault->text);
	else if (reply_response(&agent->writer, agent->now.wall_ms, &response) == 0)
		session_answer(agent, session, LINE_REPLY);
}

static void answer_fault(struct session *session, const struct message_fault *fault, const char *command_type)
{
	struct agent *agent = session->agent;

	session->bad_lines++;
	report_limited(&agent->refuse_topic, agent->now.mono_ns, LOG_NOTICE, "%s: line refused: %s (%s at byte %zu)",
		       session->name, fault->text, fault->reason, fault->offset);
	session_refuse(session, fault, command_type);
}

static void answer_keep_alive(struct session *session, const struct message *message)
{
	struct agent *agent = session->agent;

	if (reply_keep_alive(&agent->writer, agent->now.wall_ms, message->sequence_number) == 0)
		session_answer(agent, session, LINE_REPLY);
}

static void note_wish(struct session *session, enum message_type type)
{
	uint64_t now_ns = session->agent->now.mono_ns;

	if (type == MESSAGE_SUBSCRIBE)
		session->wished_ns[SESSION_WISH_SUBSCRIPTION] = now_ns;
	else if (type == MESSAGE_METRICS)
		session->wished_ns[SESSION_WISH_SAMPLE] = now_ns;
	else if (type == MESSAGE_ACK)
		session->wished_ns[SESSION_WISH_MISSED] = now_ns;
}

/* Takes over the message. */
static void take_message(struct session *session, struct message *message)
{
	struct agent *agent = session->agent;

	if (session->kind == SESSION_PORT)
		generation_hear(agent, message);
	note_wish(session, message->type);
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
		answer_keep_alive(session, message);
		break;
	case MESSAGE_KEEP_ALIVE_RESPONSE:
		break;
	case MESSAGE_METRICS:
		if (commands_permit(agent, session, "Metrics", GROUP_OBSERVE))
			asked_for_sample(agent, session);
		else
			answer_error(session, "commands", CODE_POLICY_DENIED, NULL, NULL,
				     "the policy of this guest does not allow Metrics");
		break;
	case MESSAGE_PENDING_SCRIPTS:
		/*
		 * Of a local client not even to refuse them: the host would be told that a script of its own had
		 * failed.
		 */
		if (session->kind == SESSION_LOCAL)
			answer_error(session, "commands", CODE_POLICY_DENIED, NULL, NULL,
				     "scripts are taken from the host alone");
		else
			scripts_take(&agent->scripts, session, message->items);
		break;
	case MESSAGE_ACK:
		if (commands_permit(agent, session, "Ack", GROUP_OBSERVE))
			history_ack(session,
				    session->kind == SESSION_PORT
					    ? generation_ack(agent, message->sequence_number, message->generation)
					    : message->sequence_number);
		else
			answer_error(session, "commands", CODE_POLICY_DENIED, NULL, NULL,
				     "the policy of this guest does not allow Ack");
		break;
	case MESSAGE_SIGNED:
	case MESSAGE_TYPES:
		break; /* opened before, or none */
	}
	message_free(message);
}

static bool signature_required(const struct agent *agent)
{
	return agent->config.auth.require_signature == CONFIG_SIGNATURE_YES ||
	       (agent->config.auth.require_signature == CONFIG_SIGNATURE_AUTO && agent->secret->len > 0);
}

static void refuse_unsigned(struct session *session, const struct message *message)
{
	struct message_fault fault = { .code = envelope_code(ENVELOPE_UNSIGNED),
				       .reason = envelope_reason(ENVELOPE_UNSIGNED),
				       .has_id = message->id[0] != '\0',
				       .text = "this guest accepts signed messages only" };

	memcpy(fault.id, message->id, sizeof(fault.id));
	answer_fault(session, &fault, message->action ? message->action : message_type_name(message->type));
}

/*
 * Always an `error`, never a `response`: a line that somebody replays must not end the command that is under way. The
 * id of the payload, where there is one to be read, tells the host which of its requests need not be waited for;
 * nothing else of it is used.
 */
static void refuse_envelope(struct session *session, enum envelope_verdict verdict, struct json_object *envelope)
{
	struct agent *agent = session->agent;
	const char *payload, *reason = envelope_reason(verdict);
	size_t len = envelope_payload(envelope, &payload);
	char id[MESSAGE_ID_SIZE];

	if (len == 0 || json_check_line(&agent->parser.check, payload, len, &agent->parser.limits, NULL) < 0 ||
	    json_scan_id(payload, len, id) == 0)
		id[0] = '\0';
	session->bad_lines++;
	report_limited(&agent->refuse_topic, agent->now.mono_ns, LOG_NOTICE, "%s: the signed envelope was refused (%s)",
		       session->name, reason);
	answer_error(session, "transport", envelope_code(verdict), reason, id[0] ? id : NULL,
		     "the signed envelope was refused");
}

static void remember_nonce(struct agent *agent)
{
	int r = nonces_add(&agent->nonces, agent->config.agent.runtime_dir, &agent->guard);

	if (r == 0) {
		standing_clear(agent, "agent", "nonces", "are remembered over a restart again");
		return;
	}
	report_limited(&agent->nonce_topic, agent->now.mono_ns, LOG_WARNING,
		       "%s/" NONCES_NAME ": %s: this message would be taken again after a restart",
		       agent->config.agent.runtime_dir, strerror(-r));
	standing_set(agent, REPLY_WARN, "agent", "nonces",
		     "%s/" NONCES_NAME ": %s: signed messages would be taken again after a restart",
		     agent->config.agent.runtime_dir, strerror(-r));
}

/*
 * Who a client is, the kernel says. So the nonces are the host's alone, and nobody else can use up the room for them.
 */
static void refuse_local_envelope(struct session *session, struct message *message)
{
	struct message_fault fault = { .code = CODE_INVALID_MESSAGE,
				       .reason = "no_envelopes",
				       .text = "the local socket takes no signed envelopes" };

	message_free(message);
	answer_fault(session, &fault, NULL);
}

/* A signed message is opened, and its payload parsed only when every check has passed. Takes over the envelope. */
static int open_envelope(struct session *session, struct message *message)
{
	struct agent *agent = session->agent;
	struct message inner;
	struct message_fault fault;
	const char *payload;
	size_t len;
	enum envelope_verdict verdict = envelope_verify(&agent->guard, agent->secret->bytes, agent->secret->len,
							message->root, agent->now.wall_ms, &payload, &len);
	int r;

	if (verdict != ENVELOPE_GOOD) {
		refuse_envelope(session, verdict, message->root);
		message_free(message);
		return -EPERM;
	}
	remember_nonce(agent);
	r = message_parse(&agent->parser, payload, len, &inner, &fault);
	message_free(message);
	if (r == 0 && inner.type == MESSAGE_SIGNED) {
		message_free(&inner);
		fault = (struct message_fault){ .code = CODE_INVALID_MESSAGE,
						.reason = "bad_value",
						.text = "an envelope within an envelope" };
		r = -EBADMSG;
	}
	if (r < 0)
		answer_fault(session, &fault, NULL);
	else
		*message = inner;
	return r;
}

/* A message that parses: opened, judged, taken. Takes it over. */
static void admit_message(struct session *session, struct message *parsed)
{
	struct agent *agent = session->agent;
	struct message message = *parsed;

	if (message.type == MESSAGE_SIGNED && session->kind == SESSION_LOCAL) {
		refuse_local_envelope(session, &message);
		return;
	}
	if (message.type == MESSAGE_SIGNED) {
		if (open_envelope(session, &message) < 0)
			return;
	} else if (session->kind == SESSION_PORT && signature_required(agent)) {
		refuse_unsigned(session, &message);
		message_free(&message);
		return;
	}
	take_message(session, &message);
}

static void tell_half_line(struct session *session, size_t bytes)
{
	struct agent *agent = session->agent;
	char text[128];

	session->bad_lines++;
	snprintf(text, sizeof(text),
		 "%zu bytes of a line that was not ended stood before a whole message and were discarded", bytes);
	report_limited(&agent->refuse_topic, agent->now.mono_ns, LOG_NOTICE, "%s: %s", session->name, text);
	answer_error(session, "transport", CODE_INVALID_MESSAGE, "half_line", NULL, text);
}

/*
 * A line that does not parse may be the half line of a host that is gone, with the first line of the present one behind
 * it. That one is answered as if it had come alone; of the head nothing is answered to its id, which is none of the
 * present host's. `line_fault`: of the whole line, NULL when it has been reported. False: no message in the line can be
 * answered better than the line can.
 */
static bool take_behind_half(struct session *session, const char *line, size_t len, struct message_fault *line_fault)
{
	struct message_parser *parser = &session->agent->parser;
	size_t head =
		session->kind == SESSION_PORT ? half_line_length(&parser->check, line, len, &parser->limits) : len;
	struct message_fault fault;
	struct message message;
	int r;

	/* At 0 stands what parses and is faulty all the same; or, of a line that was too long, what was kept of it. */
	if (head == len || (head == 0 && line_fault))
		return false;
	r = message_parse(parser, line + head, len - head, &message, &fault);
	if (r < 0 && !fault.has_id) {
		if (line_fault)
			line_fault->has_id = false;
		return false;
	}
	session->half_lines++;
	if (line_fault)
		tell_half_line(session, head);
	if (r < 0)
		answer_fault(session, &fault, NULL);
	else
		admit_message(session, &message);
	return true;
}

static void take_line(struct session *session, const char *line, size_t len)
{
	struct message_fault fault;
	struct message message;

	session->lines_in++;
	if (message_parse(&session->agent->parser, line, len, &message, &fault) == 0)
		admit_message(session, &message);
	else if (!take_behind_half(session, line, len, &fault))
		answer_fault(session, &fault, NULL);
}

static void take_lines(struct session *session)
{
	const char *line;
	size_t len;
	int what;

	while ((what = frame_next(&session->frames, &line, &len)) > 0) {
		struct message_fault fault;

		if (what == FRAME_LINE) {
			take_line(session, line, len);
		} else if (what == FRAME_TAIL) {
			take_behind_half(session, line, len, NULL);
		} else {
			message_fault_of_frame(what, &fault);
			answer_fault(session, &fault, NULL);
		}
	}
}

static void watch_half_line(struct session *session)
{
	if (frame_pending(&session->frames) == 0)
		ev_timer_stop(session->agent->loop, &session->half_line);
	else
		ev_timer_again(session->agent->loop, &session->half_line);
}

static void on_half_line(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct session *session = timer->data;
	size_t bytes = frame_reset(&session->frames);
	char text[96];

	(void)events;
	ev_timer_stop(loop, timer);
	snprintf(text, sizeof(text), "%zu bytes of a line that was not ended within %.0f s were discarded", bytes,
		 SESSION_HALF_LINE_S);
	session->bad_lines++;
	answer_error(session, "transport", CODE_INVALID_MESSAGE, "incomplete_line", NULL, text);
}

static size_t line_bytes(const struct agent *agent, enum session_kind kind)
{
	size_t most = agent->config.port.max_line_bytes;

	return kind == SESSION_LOCAL && most > LOCAL_LINE_BYTES ? LOCAL_LINE_BYTES : most;
}

void session_init(struct session *session, struct agent *agent, enum session_kind kind,
		  int (*send)(struct session *session, struct line *line))
{
	*session = (struct session){ .agent = agent, .kind = kind, .send = send };
	frame_init(&session->frames, line_bytes(agent, kind));
	ev_timer_init(&session->half_line, on_half_line, 0, SESSION_HALF_LINE_S);
	session->half_line.data = session;
}

/*
 * What it asked for before this time and would go on: the past it has not yet got, and what is new. Each wish by
 * itself.
 */
static void forget_wishes(struct session *session, uint64_t before_ns)
{
	history_leave(session, before_ns);
	if (session->wished_ns[SESSION_WISH_SUBSCRIPTION] < before_ns)
		subscribe_leave(session);
	if (session->wished_ns[SESSION_WISH_SAMPLE] < before_ns)
		asked_leave(session);
	if (session->wished_ns[SESSION_WISH_MISSED] < before_ns) {
		history_forget_ack(session);
		session->first_seq = 0;
	}
}

void session_reset(struct session *session)
{
	frame_reset(&session->frames);
	ev_timer_stop(session->agent->loop, &session->half_line);
	commands_orphan_before(&session->agent->commands, session, UINT64_MAX);
	forget_wishes(session, UINT64_MAX);
}

void session_border(struct session *session, uint64_t gone_ns)
{
	commands_orphan_before(&session->agent->commands, session, gone_ns);
	forget_wishes(session, gone_ns);
}

void session_done(struct session *session)
{
	if (!session->agent)
		return;
	session_reset(session);
	frame_free(&session->frames);
}

void session_receive(struct session *session, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = frame_feed(&session->frames, bytes, len);

		if (n < 0) {
			/* Out of memory: what is lost is said, and the stream is in step again at the next newline. */
			frame_reset(&session->frames);
			answer_error(session, "transport", CODE_INTERNAL, "no_memory", NULL,
				     "out of memory while reading a line");
			return;
		}
		bytes += n;
		len -= (size_t)n;
		take_lines(session);
	}
	watch_half_line(session);
}

bool session_crowded(const struct session *session)
{
	return session->backlog(session) > session->backlog_max;
}

void session_drained(struct session *session)
{
	if (session->feed.topics)
		feed_pump_reader(&session->agent->feed, &session->feed);
}

void session_answer(struct agent *agent, struct session *session, enum line_class class)
{
	struct line *line;

	if (!session) {
		agent->commands.stats.unclaimed++;
		return;
	}
	line = line_new(class, agent->writer.buf, agent->writer.len);
	if (!line || session->send(session, line) < 0)
		session->answers_lost++;
	line_unref(line);
}
