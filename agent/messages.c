/* SPDX-License-Identifier: MIT */
/* Dispatches each message of a peer to its part, and tells all parts when a peer is gone. */
#include "agent/agent.h"

#include <string.h>

#include "agent/actions/history.h"

static void answer_keep_alive(struct session *session, const struct message *message)
{
	struct peers *peers = session->peers;

	if (reply_keep_alive(peers->writer, peers->loop->now.wall_ms, message->sequence_number) == 0)
		session_answer(session, LINE_REPLY);
}

/* The policy also applies to messages that are not commands; a refusal is sent as an `error`. */
static bool permitted(struct session *session, const char *name, const char *refusal)
{
	if (commands_permit(&session_agent(session)->commands, session, name, GROUP_OBSERVE))
		return true;
	session_error(session, "commands", CODE_POLICY_DENIED, NULL, NULL, refusal);
	return false;
}

static void take_ack(struct session *session, const struct message *message)
{
	uint64_t seq = message->sequence_number;

	if (!permitted(session, "Ack", "the policy of this guest does not allow Ack"))
		return;
	history_ack(&session_agent(session)->actions, session,
		    session->kind == SESSION_PORT
			    ? generation_ack(&session_agent(session)->generation, seq, message->generation,
					     session_agent(session)->sent_seq)
			    : seq);
}

/* A local client gets an `error`, never a completion, which would tell the host that a script of its own had failed. */
static void take_scripts(struct session *session, const struct message *message)
{
	if (session->kind == SESSION_LOCAL)
		session_error(session, "commands", CODE_POLICY_DENIED, NULL, NULL,
			      "scripts are taken from the host alone");
	else
		scripts_take(&session_agent(session)->scripts, session, message->items);
}

static void on_message(void *data, struct session *session, struct message *message)
{
	struct agent *agent = data;

	if (session->kind == SESSION_PORT)
		generation_hear(&agent->generation, message);
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
	case MESSAGE_METRICS:
		if (permitted(session, "Metrics", "the policy of this guest does not allow Metrics"))
			asked_for_sample(&agent->asked, session);
		break;
	case MESSAGE_PENDING_SCRIPTS:
		take_scripts(session, message);
		break;
	case MESSAGE_ACK:
		take_ack(session, message);
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
