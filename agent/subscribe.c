/* SPDX-License-Identifier: MIT */
/* Sessions on the feed; see subscribe.h. */
#include "agent/subscribe.h"

#include <stddef.h>
#include <string.h>

#include <infiniservice/cleanup.h>
#include <json-c/json.h>

#include "agent/agent.h"
#include "transport/addition.h"

/* Readers served in one turn of the loop: about half a millisecond of send(2). */
#define READERS_PER_TURN 48
/* A session with this much unsent output is not handed more: what it misses stays in the ring, not in its queue. */
#define BACKLOG_MAX (64u << 10)

static struct session *session_of(struct feed_reader *reader)
{
	return container_of(reader, struct session, feed);
}

static bool reader_room(struct feed_reader *reader)
{
	const struct session *session = session_of(reader);

	return session->backlog(session) < BACKLOG_MAX;
}

static int reader_put(struct feed_reader *reader, struct line *line)
{
	struct session *session = session_of(reader);

	return session->send(session, line);
}

static int reader_lagged(struct feed_reader *reader, enum feed_topic topic, uint64_t from_seq, uint64_t count)
{
	struct session *session = session_of(reader);
	struct agent *agent = session_agent(session);
	struct line *line;
	int r = addition_lagged(&agent->writer, agent->now.wall_ms, feed_topic_name(topic), from_seq, count);

	if (r < 0)
		return r;
	line = line_new(LINE_EVENT, agent->writer.buf, agent->writer.len);
	if (!line)
		return -ENOMEM;
	r = session->send(session, line);
	line_unref(line);
	return r;
}

static const struct feed_reader_ops reader_ops = { .room = reader_room, .put = reader_put, .lagged = reader_lagged };

/* ---------------------------------------------------------------------------------------------------------- publish */

static void pump(struct agent *agent)
{
	if (feed_pump(&agent->feed, READERS_PER_TURN))
		ev_timer_start(agent->loop, &agent->feed_timer);
	else
		ev_timer_stop(agent->loop, &agent->feed_timer);
}

/* One-shot with no delay: the next turn of the loop, after what else is due has had its chance. */
static void on_feed_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	pump(timer->data);
}

void subscribe_init(struct agent *agent)
{
	ev_timer_init(&agent->feed_timer, on_feed_timer, 0, 0);
	agent->feed_timer.data = agent;
}

void subscribe_publish(struct agent *agent, enum feed_topic topic, struct line *line)
{
	if (!feed_wanted(&agent->feed, topic))
		return;
	feed_publish(&agent->feed, topic, line, agent->now.mono_ns);
	pump(agent);
}

void subscribe_publish_command(struct agent *agent, const struct addition_command *command)
{
	struct line *line;

	if (!feed_wanted(&agent->feed, FEED_COMMANDS) ||
	    addition_command(&agent->writer, agent->now.wall_ms, command) < 0)
		return;
	line = line_new(LINE_EVENT, agent->writer.buf, agent->writer.len);
	if (line)
		subscribe_publish(agent, FEED_COMMANDS, line);
	line_unref(line);
}

void subscribe_drained(struct session *session)
{
	if (session->feed.topics)
		feed_pump_reader(&session_agent(session)->feed, &session->feed);
}

void subscribe_leave(struct session *session)
{
	feed_unsubscribe(&session_agent(session)->feed, &session->feed, session->feed.topics);
}

bool subscribe_reads(const struct session *session, enum feed_topic topic)
{
	return session->feed.topics >> topic & 1;
}

void subscribe_report(const struct agent *agent, struct sink *out)
{
	sink_uint(out, "sessions", agent->feed.readers);
	sink_uint(out, "published", agent->feed.published);
	sink_uint(out, "lagged", agent->feed.lagged);
}

/* ---------------------------------------------------------------------------------------------------------- actions */

/* The topics named, all when none are; 0 with the command answered when one is unknown. */
static unsigned find_topics(struct command *command)
{
	struct json_object *items = command->message.items;
	size_t count = items ? json_object_array_length(items) : 0;
	unsigned topics = 0;

	if (!items)
		return (1U << FEED_TOPICS) - 1;
	for (size_t i = 0; i < count; i++) {
		struct json_object *item = json_object_array_get_idx(items, i);
		enum feed_topic topic = json_object_is_type(item, json_type_string)
						? feed_topic_find(json_object_get_string(item))
						: FEED_TOPICS;

		topics = topic == FEED_TOPICS ? 0 : topics | 1U << topic;
		if (!topics)
			break;
	}
	if (!topics)
		command_fail(command, CODE_INVALID_PARAMETERS, "bad_value", "topics are metrics, events and commands");
	return topics;
}

static void emit_subscription(struct sink *out, const char *key, const void *arg)
{
	const struct session *session = arg;

	sink_object_begin(out, key);
	sink_array_begin(out, "topics");
	for (unsigned topic = 0; topic < FEED_TOPICS; topic++)
		if (session->feed.topics >> topic & 1)
			sink_str(out, NULL, feed_topic_name((enum feed_topic)topic));
	sink_array_end(out);
	sink_uint(out, "interval_ms", session->feed.interval_ns / NS_PER_MS);
	sink_uint(out, "sample_interval_ms", session_agent(session)->config.timers.metrics_interval_ms);
	sink_object_end(out);
}

/* A host gets every event unasked. */
static unsigned wanted_of(const struct session *session, unsigned topics)
{
	return session->kind == SESSION_PORT ? topics & ~(1U << FEED_EVENTS) : topics;
}

/* The answer goes first, then the latest sample: a local client need not wait for the next tick to see something. */
static void run_subscribe(struct command *command)
{
	struct agent *agent = command_agent(command);
	struct session *session = command->session;
	struct line *latest = sampling_latest(agent->sampling);
	unsigned topics = find_topics(command);
	bool fresh;

	if (!topics)
		return;
	fresh = session->kind == SESSION_LOCAL && topics & ~session->feed.topics & 1U << FEED_METRICS;
	session->feed.ops = &reader_ops;
	if (topics & 1U << FEED_METRICS)
		session->feed.interval_ns = command->message.interval_ms * NS_PER_MS;
	feed_subscribe(&agent->feed, &session->feed, wanted_of(session, topics), latest ? latest->seq : 0);
	command_succeed(command, emit_subscription, session);
	if (fresh && latest)
		session->send(session, latest);
}

static void run_unsubscribe(struct command *command)
{
	struct session *session = command->session;
	unsigned topics = find_topics(command);

	if (!topics)
		return;
	feed_unsubscribe(&command_agent(command)->feed, &session->feed, topics);
	command_succeed(command, emit_subscription, session);
}

const struct action action_subscribe = {
	.name = "Subscribe", .type = MESSAGE_SUBSCRIBE, .group = GROUP_OBSERVE, .run = run_subscribe
};

const struct action action_unsubscribe = {
	.name = "Unsubscribe", .type = MESSAGE_UNSUBSCRIBE, .group = GROUP_OBSERVE, .run = run_unsubscribe
};
