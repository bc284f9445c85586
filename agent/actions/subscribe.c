/* SPDX-License-Identifier: MIT */
/*
 * Subscribe and Unsubscribe. A host that subscribes to "metrics" gets samples as it asked for them instead of every
 * one.
 */
#include "agent/actions/table.h"

#include <json-c/json.h>

#include "agent/actions/env.h"
#include "agent/peer/session.h"
#include "agent/peer/subscription.h"

/* The topics named, all when none are; 0 with the command answered when one is unknown. */
static unsigned find_topics(struct command *command)
{
	struct json_object *items = command->message.items;
	size_t count = items ? json_object_array_length(items) : 0;
	unsigned topics = 0;

	if (!items)
		return (1U << PUBLISH_TOPICS) - 1;
	for (size_t i = 0; i < count; i++) {
		struct json_object *item = json_object_array_get_idx(items, i);
		enum publish_topic topic = json_object_is_type(item, json_type_string)
						   ? publish_topic_find(json_object_get_string(item))
						   : PUBLISH_TOPICS;

		topics = topic == PUBLISH_TOPICS ? 0 : topics | 1U << topic;
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
	const struct subscriber *subscriber = &session->subscriber;

	sink_object_begin(out, key);
	sink_array_begin(out, "topics");
	for (unsigned topic = 0; topic < PUBLISH_TOPICS; topic++)
		if (publish_reads(subscriber, (enum publish_topic)topic))
			sink_str(out, NULL, publish_topic_name((enum publish_topic)topic));
	sink_array_end(out);
	sink_uint(out, "interval_ms", subscriber->interval_ns / NS_PER_MS);
	sink_uint(out, "sample_interval_ms", session->peers->config->timers.metrics_interval_ms);
	sink_object_end(out);
}

/* The answer goes first, then the latest sample: a local client need not wait for the next one to see something. */
static void run_subscribe(struct command *command)
{
	struct action_env *env = command_env(command);
	struct session *session = command->session;
	struct line *latest = sampling_latest(env->sampling);
	unsigned topics = find_topics(command);
	bool fresh;

	if (!topics)
		return;
	fresh = session->kind == SESSION_LOCAL && topics & 1U << PUBLISH_METRICS &&
		!publish_reads(&session->subscriber, PUBLISH_METRICS);
	subscription_add(session, env->publisher, topics, command->message.interval_ms * NS_PER_MS, latest);
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
	publish_unsubscribe(&session->subscriber, topics);
	command_succeed(command, emit_subscription, session);
}

const struct action action_subscribe = {
	.name = "Subscribe", .type = MESSAGE_SUBSCRIBE, .group = GROUP_OBSERVE, .run = run_subscribe
};

const struct action action_unsubscribe = {
	.name = "Unsubscribe", .type = MESSAGE_UNSUBSCRIBE, .group = GROUP_OBSERVE, .run = run_unsubscribe
};
