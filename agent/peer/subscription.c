/* SPDX-License-Identifier: MIT */
/* See subscription.h. */
#include "agent/peer/subscription.h"

#include <errno.h>

#include <infiniservice/cleanup.h>

#include "agent/peer/session.h"
#include "transport/addition.h"

/* A session with this much unsent output is not handed further lines: they stay in the ring, not in its queue. */
#define BACKLOG_MAX (64u << 10)

static struct session *session_of(struct subscriber *subscriber)
{
	return container_of(subscriber, struct session, subscriber);
}

static bool has_room(struct subscriber *subscriber)
{
	const struct session *session = session_of(subscriber);

	return session->backlog(session) < BACKLOG_MAX;
}

static int put(struct subscriber *subscriber, struct line *line)
{
	struct session *session = session_of(subscriber);

	return session->send(session, line);
}

static int tell_lagged(struct subscriber *subscriber, enum publish_topic topic, uint64_t from_seq, uint64_t count)
{
	struct session *session = session_of(subscriber);
	struct json_writer *writer = session->peers->writer;
	int r = addition_lagged(writer, session->peers->loop->now.wall_ms, publish_topic_name(topic), from_seq, count);
	struct line *line;

	if (r < 0)
		return r;
	line = line_new(LINE_EVENT, writer->buf, writer->len);
	if (!line)
		return -ENOMEM;
	r = session->send(session, line);
	line_unref(line);
	return r;
}

void subscription_add(struct session *session, struct publisher *publisher, unsigned topics, uint64_t interval_ns,
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
