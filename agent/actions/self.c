/* SPDX-License-Identifier: MIT */
/*
 * What a peer asks of the agent itself.
 *
 * Status: the state of the agent, for `infinictl status` and for hosts.
 * CancelCommand.
 * Subscribe and Unsubscribe. A host that subscribes to "metrics" gets samples as it asked for them instead of every
 * one. SetConfig: the few settings that a host may change, if the policy grants it at all. All values or none; they
 * hold until the configuration is read again (a reload, a restart), and are not written to files, which belong to the
 * guest's owner.
 */
#include "agent/actions/table.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "agent/actions/env.h"
#include "agent/base/report.h"
#include "agent/config/keys.h"
#include "agent/peer/session.h"

/* ---------------------------------------------------------------------------------------------------------- Status */

static void emit_status(struct sink *out, const char *key, const void *arg)
{
	const struct action_env *env = arg;

	sink_object_begin(out, key);
	env->report(env->data, out);
	sink_object_end(out);
}

static void run_status(struct command *command)
{
	struct action_env *env = command_env(command);

	/* Before the answer is begun: a change of the log's state is told by a message of its own. */
	logger_check(env->logger, env->loop->now);
	command_succeed(command, emit_status, env);
}

const struct action action_status = { .name = "Status", .group = GROUP_OBSERVE, .run = run_status };

const struct action action_status_message = {
	.name = "Status", .type = MESSAGE_STATUS, .group = GROUP_OBSERVE, .run = run_status
};

/* --------------------------------------------------------------------------------------------------- CancelCommand */

static void emit_target(struct sink *out, const char *key, const void *arg)
{
	sink_object_begin(out, key);
	sink_str(out, "target_id", arg);
	sink_object_end(out);
}

/* The target itself is answered CANCELLED: at once, or when its program has ended. */
static void run_cancel(struct command *command)
{
	const char *id = command->message.target_id;
	struct command *target = commands_find(command->commands, command->session, id);

	if (!target || target == command) {
		command_fail(command, CODE_NOT_FOUND, "not_found", "no command with this target_id is under way");
		return;
	}
	command_cancel(target, "cancelled before it was started");
	command_succeed(command, emit_target, id);
}

const struct action action_cancel_command = { .name = "CancelCommand",
					      .type = MESSAGE_CANCEL_COMMAND,
					      .group = GROUP_OBSERVE,
					      .always = true,
					      .run = run_cancel };

/* ------------------------------------------------------------------------------------------ Subscribe, Unsubscribe */

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
	session_subscribe(session, env->publisher, topics, command->message.interval_ms * NS_PER_MS, latest);
	command_succeed(command, emit_subscription, session);
	if (fresh && latest)
		session->send(session, latest);
	else if (topics & 1U << PUBLISH_METRICS)
		sampling_whole(env->sampling, SAMPLE_TO_PORT);
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

/* ------------------------------------------------------------------------------------------------------- SetConfig */

static const struct config_key *find_key(const char *full_name)
{
	const char *dot = strchr(full_name, '.');
	char section[32];

	if (!dot || (size_t)(dot - full_name) >= sizeof(section))
		return NULL;
	snprintf(section, sizeof(section), "%.*s", (int)(dot - full_name), full_name);
	return config_key_find(section, dot + 1);
}

/* CODE_NONE when all values have been put into `config`. */
static enum error_code put_values(struct config *config, struct json_object *values, struct err *e)
{
	json_object_object_foreach(values, name, value)
	{
		const struct config_key *key = find_key(name);

		if (!key) {
			err_set(e, -EINVAL, "there is no key %.100s", name);
			return CODE_INVALID_PARAMETERS;
		}
		if (!key->host_may_set) {
			err_set(e, -EPERM, "%s.%s is not for a host to set", key->section, key->name);
			return CODE_POLICY_DENIED;
		}
		if (!json_object_is_type(value, json_type_string) && !json_object_is_type(value, json_type_int) &&
		    !json_object_is_type(value, json_type_boolean)) {
			err_set(e, -EINVAL, "%s.%s: a text, an integer, true or false is expected", key->section,
				key->name);
			return CODE_INVALID_PARAMETERS;
		}
		if (config_key_parse(config, key, json_object_get_string(value), false, e) < 0)
			return e->code == -ENOMEM ? CODE_INTERNAL : CODE_INVALID_PARAMETERS;
	}
	return config_check(config, NULL, NULL, e) < 0 ? CODE_INVALID_PARAMETERS : CODE_NONE;
}

static void emit_values(struct sink *out, const char *key, const void *arg)
{
	const struct command *command = arg;
	char text[CONFIG_VALUE_MAX];

	sink_object_begin(out, key);
	sink_object_begin(out, "values");
	json_object_object_foreach(command->message.values, name, value)
	{
		(void)value;
		config_key_format(command->commands->config, find_key(name), text);
		sink_str(out, name, text);
	}
	sink_object_end(out);
	sink_bool(out, "persistent", false);
	sink_object_end(out);
}

static void run_set_config(struct command *command)
{
	struct action_env *env = command_env(command);
	struct config fresh;
	struct err e = { 0 };
	enum error_code code;

	if (config_copy(&fresh, env->config) < 0) {
		command_fail(command, CODE_INTERNAL, "no_memory", "out of memory");
		return;
	}
	code = put_values(&fresh, command->message.values, &e);
	if (code != CODE_NONE) {
		config_free(&fresh);
		command_fail(command, code, NULL, "%s; nothing was changed", e.text);
		return;
	}
	env->apply_config(env->data, &fresh);
	report(LOG_NOTICE, "%s set %d keys, until the configuration is read again", command->session->name,
	       json_object_object_length(command->message.values));
	command_succeed(command, emit_values, command);
}

const struct action action_set_config = {
	.name = "SetConfig", .type = MESSAGE_SET_CONFIG, .group = GROUP_CONTROL, .run = run_set_config
};
