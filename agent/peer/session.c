/* SPDX-License-Identifier: MIT */
/* Turns bytes into messages, and answers every bad line once; see session.h. */
#include "agent/peer/session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>
#include <json-c/json.h>

#include "transport/addition.h"
#include "transport/half_line.h"
#include "transport/reply.h"

void session_error(struct session *session, const char *component, enum error_code code, const char *reason,
		   const char *id, const char *text)
{
	struct peers *peers = session->peers;
	struct reply_error error = { .text = text, .component = component, .code = code, .reason = reason, .id = id };

	if (reply_error(peers->writer, peers->loop->now.wall_ms, &error) == 0)
		session_answer(session, LINE_REPLY);
}

void session_refuse(struct session *session, const struct message_fault *fault, const char *command_type)
{
	struct peers *peers = session->peers;
	struct response response = { .id = fault->id,
				     .code = fault->code,
				     .error = fault->text,
				     .reason = fault->reason,
				     .command_type = command_type ? command_type : "unknown" };

	if (!fault->has_id)
		session_error(session, "transport", fault->code, fault->reason, NULL, fault->text);
	else if (reply_response(peers->writer, peers->loop->now.wall_ms, &response) == 0)
		session_answer(session, LINE_REPLY);
}

/* Refuses a line and counts it as bad. */
static void answer_fault(struct session *session, const struct message_fault *fault, const char *command_type)
{
	struct peers *peers = session->peers;

	session->bad_lines++;
	report_limited(&peers->refused, peers->loop->now.mono_ns, LOG_NOTICE, "%s: line refused: %s (%s at byte %zu)",
		       session->name, fault->text, fault->reason, fault->offset);
	session_refuse(session, fault, command_type);
}

/* ------------------------------------------------------------------------------------------------------- signatures */

bool peers_demand_signature(const struct peers *peers)
{
	return peers->config->auth.require_signature == CONFIG_SIGNATURE_YES ||
	       (peers->config->auth.require_signature == CONFIG_SIGNATURE_AUTO && peers->secret->len > 0);
}

/*
 * Checks the envelope of a signed message and replaces the message by its payload, which is parsed only if every check
 * has passed. Takes over the message; 0, or negative: it has been answered.
 */
static int open_envelope(struct session *session, struct message *message)
{
	struct peers *peers = session->peers;
	struct message inner;
	struct message_fault fault;
	const char *payload;
	size_t len;
	enum envelope_verdict verdict = envelope_verify(&peers->guard, peers->secret->bytes, peers->secret->len,
							message->root, peers->loop->now.wall_ms, &payload, &len);
	int r;

	if (verdict != ENVELOPE_GOOD) {
		/*
		 * Always an `error`, never a `response`: a replayed line must not end the command under way with that
		 * id on the host. The id of the payload, if it can be read, tells the host which request was refused;
		 * no other part of the payload is used.
		 */
		char id[MESSAGE_ID_SIZE];

		len = envelope_payload(message->root, &payload);
		if (len == 0 || json_check_line(&peers->parser.check, payload, len, &peers->parser.limits, NULL) < 0 ||
		    json_scan_id(payload, len, id) == 0)
			id[0] = '\0';
		session->bad_lines++;
		report_limited(&peers->refused, peers->loop->now.mono_ns, LOG_NOTICE,
			       "%s: the signed envelope was refused (%s)", session->name, envelope_reason(verdict));
		session_error(session, "transport", envelope_code(verdict), envelope_reason(verdict), id[0] ? id : NULL,
			      "the signed envelope was refused");
		message_free(message);
		return -EPERM;
	}
	peers->nonces_changed(peers->data, nonces_add(&peers->nonces, peers->config->agent.runtime_dir, &peers->guard));
	r = message_parse(&peers->parser, payload, len, &inner, &fault);
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

/* Opens the envelope of a parsed message, checks its signature, and gives it to the handler. Takes the message over. */
static void admit_message(struct session *session, struct message *parsed)
{
	struct peers *peers = session->peers;
	struct message message = *parsed;
	struct message_fault fault;

	if (message.type == MESSAGE_SIGNED && session->kind == SESSION_LOCAL) {
		/*
		 * The kernel identifies local clients, so they need no signature, and the replay window is for the host
		 * alone: no local client can fill it.
		 */
		fault = (struct message_fault){ .code = CODE_INVALID_MESSAGE,
						.reason = "no_envelopes",
						.text = "the local socket takes no signed envelopes" };
		answer_fault(session, &fault, NULL);
		message_free(&message);
		return;
	}
	if (message.type == MESSAGE_SIGNED) {
		if (open_envelope(session, &message) < 0)
			return;
	} else if (session->kind == SESSION_PORT && peers_demand_signature(peers)) {
		fault = (struct message_fault){ .code = envelope_code(ENVELOPE_UNSIGNED),
						.reason = envelope_reason(ENVELOPE_UNSIGNED),
						.has_id = message.id[0] != '\0',
						.text = "this guest accepts signed messages only" };
		memcpy(fault.id, message.id, sizeof(fault.id));
		answer_fault(session, &fault, message.action ? message.action : message_type_name(message.type));
		message_free(&message);
		return;
	}
	session->heard_ns[message.type] = peers->loop->now.mono_ns;
	peers->handler->message(peers->data, session, &message);
}

/*
 * A line that does not parse may be the half line of a former host, followed by the first message of the present host.
 * The message is handled as if it had come alone; the half line is not answered to its id, which is not of the present
 * host. `line_fault`: the fault of the whole line; NULL when it has been reported. False: there is no such message, and
 * the fault of the line stands.
 */
static bool take_behind_half(struct session *session, const char *line, size_t len, struct message_fault *line_fault)
{
	struct peers *peers = session->peers;
	struct message_parser *parser = &peers->parser;
	size_t head =
		session->kind == SESSION_PORT ? half_line_length(&parser->check, line, len, &parser->limits) : len;
	struct message_fault fault;
	struct message message;
	char text[128];
	int r;

	/*
	 * Offset 0: the line itself is a message that parses but is faulty; or it is the tail kept of a line that was
	 * too long.
	 */
	if (head == len || (head == 0 && line_fault))
		return false;
	r = message_parse(parser, line + head, len - head, &message, &fault);
	if (r < 0 && !fault.has_id) {
		if (line_fault)
			line_fault->has_id = false;
		return false;
	}
	session->half_lines++;
	if (line_fault) {
		session->bad_lines++;
		snprintf(text, sizeof(text),
			 "%zu bytes of a line that was not ended stood before a whole message and were discarded",
			 head);
		report_limited(&peers->refused, peers->loop->now.mono_ns, LOG_NOTICE, "%s: %s", session->name, text);
		session_error(session, "transport", CODE_INVALID_MESSAGE, "half_line", NULL, text);
	}
	if (r < 0)
		answer_fault(session, &fault, NULL);
	else
		admit_message(session, &message);
	return true;
}

static void on_half_line(void *data)
{
	struct session *session = data;
	size_t bytes = frame_reset(&session->frames);
	char text[96];

	snprintf(text, sizeof(text), "%zu bytes of a line that was not ended within %.0f s were discarded", bytes,
		 (double)SESSION_HALF_LINE_NS / (double)NS_PER_S);
	session->bad_lines++;
	session_error(session, "transport", CODE_INVALID_MESSAGE, "incomplete_line", NULL, text);
}

/* --------------------------------------------------------------------------------------------------- begin and end */

void peers_init(struct peers *peers, uint32_t seed)
{
	message_parser_init(&peers->parser, seed);
	envelope_guard_init(&peers->guard);
	nonces_open(&peers->nonces, peers->config->agent.runtime_dir, peers->config->agent.state_dir, &peers->guard,
		    peers->loop->now.wall_ms);
}

void peers_done(struct peers *peers)
{
	message_parser_free(&peers->parser);
	if (peers->config)
		nonces_close(&peers->nonces, peers->config->agent.state_dir, &peers->guard);
	envelope_guard_free(&peers->guard);
}

void session_init(struct session *session, struct peers *peers, enum session_kind kind,
		  int (*send)(struct session *session, struct line *line))
{
	size_t line_bytes = peers->config->port.max_line_bytes;

	if (kind == SESSION_LOCAL && line_bytes > SESSION_LOCAL_LINE_BYTES)
		line_bytes = SESSION_LOCAL_LINE_BYTES;
	*session = (struct session){ .peers = peers, .kind = kind, .send = send };
	frame_init(&session->frames, line_bytes);
	deadline_init(&session->half_line, peers->loop, on_half_line, session);
}

void session_border(struct session *session, uint64_t gone_ns)
{
	session->peers->handler->gone(session->peers->data, session, gone_ns);
}

void session_reset(struct session *session)
{
	frame_reset(&session->frames);
	deadline_stop(&session->half_line);
	session_border(session, UINT64_MAX);
}

void session_done(struct session *session)
{
	if (!session->peers)
		return;
	session_reset(session);
	frame_free(&session->frames);
}

void session_receive(struct session *session, const char *bytes, size_t len)
{
	struct message_fault fault;
	struct message message;
	const char *line;
	size_t line_len;
	int what;

	while (len) {
		ssize_t n = frame_feed(&session->frames, bytes, len);

		if (n < 0) {
			/* Out of memory: the loss is reported, and the stream is in sync again at the next newline. */
			frame_reset(&session->frames);
			session_error(session, "transport", CODE_INTERNAL, "no_memory", NULL,
				      "out of memory while reading a line");
			return;
		}
		bytes += n;
		len -= (size_t)n;
		while ((what = frame_next(&session->frames, &line, &line_len)) > 0) {
			if (what == FRAME_LINE) {
				session->lines_in++;
				if (message_parse(&session->peers->parser, line, line_len, &message, &fault) == 0)
					admit_message(session, &message);
				else if (!take_behind_half(session, line, line_len, &fault))
					answer_fault(session, &fault, NULL);
			} else if (what == FRAME_TAIL) {
				take_behind_half(session, line, line_len, NULL);
			} else {
				message_fault_of_frame(what, &fault);
				answer_fault(session, &fault, NULL);
			}
		}
	}
	if (frame_pending(&session->frames) == 0)
		deadline_stop(&session->half_line);
	else
		deadline_after(&session->half_line, SESSION_HALF_LINE_NS);
}

bool session_crowded(const struct session *session)
{
	return session->backlog(session) > session->backlog_max;
}

void session_drained(struct session *session)
{
	session->peers->handler->drained(session->peers->data, session);
}

void session_answer(struct session *session, enum line_class class)
{
	const struct json_writer *writer = session->peers->writer;
	struct line *line = line_new(class, writer->buf, writer->len);

	if (!line || session->send(session, line) < 0)
		session->answers_lost++;
	line_unref(line);
}

/* ---------------------------------------------------------------------------------------------------- subscriptions */

/* A session with this much unsent output is not handed further lines: they stay in the ring, not in its queue. */
#define SUBSCRIBER_BACKLOG_MAX (64u << 10)

static bool has_room(struct subscriber *subscriber)
{
	const struct session *session = container_of(subscriber, struct session, subscriber);

	return session->backlog(session) < SUBSCRIBER_BACKLOG_MAX;
}

static int put(struct subscriber *subscriber, struct line *line)
{
	struct session *session = container_of(subscriber, struct session, subscriber);

	return session->send(session, line);
}

static int tell_lagged(struct subscriber *subscriber, enum publish_topic topic, uint64_t from_seq, uint64_t count)
{
	struct session *session = container_of(subscriber, struct session, subscriber);
	struct json_writer *writer = session->peers->writer;
	int r = addition_lagged(writer, session->peers->loop->now.wall_ms, publish_topic_name(topic), from_seq, count);
	struct line *line;

	if (r < 0)
		return r;
	line = line_new(LINE_EVENT, writer->buf, writer->len);
	r = line ? session->send(session, line) : -ENOMEM;
	line_unref(line);
	return r;
}

void session_subscribe(struct session *session, struct publisher *publisher, unsigned topics, uint64_t interval_ns,
		       const struct line *latest)
{
	static const struct subscriber_ops ops = { .room = has_room, .put = put, .lagged = tell_lagged };

	session->subscriber.ops = &ops;
	if (topics & 1U << PUBLISH_METRICS)
		session->subscriber.interval_ns = interval_ns;
	if (session->kind == SESSION_PORT)
		topics &= ~(1U << PUBLISH_EVENTS);
	publish_subscribe(publisher, &session->subscriber, topics, latest ? latest->seq : 0);
}

/* ------------------------------------------------------------------------------------------- requests for samples */

static bool spaced(uint64_t last_ns, uint64_t now_ns)
{
	return last_ns == 0 || now_ns - last_ns >= ASKED_SPACING_NS;
}

/*
 * True when the source gets a new sample. All users but root share one rate limit and budget; besides, each user has a
 * limit of its own.
 */
static bool takes_turn(struct asked *asked, const struct session *session)
{
	uint64_t now_ns = asked->loop->now.mono_ns, ticks = sampling_stats(asked->sampling).ticks;
	bool user = session->kind == SESSION_LOCAL && session->uid != 0;
	struct source *source = session->kind == SESSION_PORT ? &asked->sources->host
							      : source_of_user(asked->sources, session->uid, now_ns);

	if (!spaced(source->sample_ns, now_ns))
		return false;
	if (user) {
		uint64_t back = ticks - asked->ticks;

		asked->ticks = ticks;
		asked->users_spent -= back < asked->users_spent ? (unsigned)back : asked->users_spent;
		if (!spaced(asked->users_ns, now_ns) || asked->users_spent >= ASKED_USERS_SAVED)
			return false;
		asked->users_ns = now_ns;
		asked->users_spent++;
	}
	source->sample_ns = now_ns;
	return true;
}

/* The host gets every sample anyway and need not wait, unless it has subscribed to "metrics". */
static void wait_for_sample(struct asked *asked, struct session *session)
{
	if (session->kind == SESSION_PORT && !publish_reads(&session->subscriber, PUBLISH_METRICS))
		return;
	for (const struct session *at = asked->first; at; at = at->asked_next)
		if (at == session)
			return;
	session->asked_next = asked->first;
	asked->first = session;
}

void asked_leave(struct asked *asked, struct session *session)
{
	struct session **at = &asked->first;

	while (*at && *at != session)
		at = &(*at)->asked_next;
	if (*at)
		*at = session->asked_next;
	session->asked_next = NULL;
}

/*
 * A subscriber to "metrics" is handed the sample as a published one, so that its subscription does not bring it again.
 */
static int hand(struct session *session, struct line *line)
{
	return publish_reads(&session->subscriber, PUBLISH_METRICS) ? publish_hand(&session->subscriber, line)
								    : session->send(session, line);
}

void asked_for_sample(struct asked *asked, struct session *session)
{
	struct line *latest = sampling_latest(asked->sampling);
	bool making = sampling_stats(asked->sampling).making & SAMPLE_TO_PORT;

	if (!making && latest && !takes_turn(asked, session)) {
		/* a session with back-pressure is not sent the sample again */
		if (!session_crowded(session) && hand(session, latest) == 0)
			asked->repeated++;
		return;
	}
	sampling_whole(asked->sampling, SAMPLE_TO_PORT);
	wait_for_sample(asked, session);
	if (making)
		return;
	asked->taken++;
	sampling_soon(asked->sampling, SAMPLE_TO_ALL);
}

/* A client that is cut off because of this line is removed later by the loop, so the list stays valid here. */
void asked_publish(struct asked *asked, struct line *line)
{
	while (asked->first) {
		struct session *session = asked->first;

		asked_leave(asked, session);
		/*
		 * A subscriber without an interval gets the sample by its subscription; with an interval unless it has
		 * had it.
		 */
		if (!publish_reads(&session->subscriber, PUBLISH_METRICS) ||
		    (session->subscriber.interval_ns && !publish_had(&session->subscriber, line)))
			hand(session, line);
	}
}
