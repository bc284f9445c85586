/* SPDX-License-Identifier: MIT */
/* Sessions as subscribers: published lines are sent to a peer when its output has room for them. */
#ifndef AGENT_PEER_SUBSCRIPTION_H
#define AGENT_PEER_SUBSCRIPTION_H

#include <stdint.h>

#include <infiniservice/line.h>

#include "agent/metrics/publish.h"

struct session;

/*
 * Subscribes the peer to topics (bits of enum publish_topic); "events" is ignored for a host, which gets every event
 * anyway. `interval_ns`: the least time between two samples, used if "metrics" is among the topics. `latest`: the last
 * sample, or NULL.
 */
void subscription_add(struct session *session, struct publisher *publisher, unsigned topics, uint64_t interval_ns,
		      const struct line *latest);

#endif
