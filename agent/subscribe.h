/* SPDX-License-Identifier: MIT */
/*
 * Sessions as readers of the feed: Subscribe and Unsubscribe, and what is published to those who did. A host that
 * subscribes to "metrics" gets samples as it asked for them instead of every one.
 */
#ifndef AGENT_SUBSCRIBE_H
#define AGENT_SUBSCRIBE_H

#include <stdbool.h>

#include <infiniservice/line.h>
#include <infiniservice/sink.h>

#include "agent/command/action.h"
#include "agent/metrics/feed.h"

struct addition_command;
struct agent;
struct session;

void subscribe_init(struct agent *agent);

/* Its queue has drained: it is handed what it has room for. */
void subscribe_drained(struct session *session);

/* The session is over: it reads nothing any more. */
void subscribe_leave(struct session *session);

/* Does this session read the topic? */
bool subscribe_reads(const struct session *session, enum feed_topic topic);

/* To all who read the topic; the caller keeps its reference. Costs nothing when nobody does. */
void subscribe_publish(struct agent *agent, enum feed_topic topic, struct line *line);

/* The same for the state of a command. Uses the agent's writer. */
void subscribe_publish_command(struct agent *agent, const struct addition_command *command);

/* Keys of Status, into an open object. */
void subscribe_report(const struct agent *agent, struct sink *out);

#endif
