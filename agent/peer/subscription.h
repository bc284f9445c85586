/* SPDX-License-Identifier: MIT */
/* Sessions as subscribers: lines that are published reach a peer when its output has room for them. */
#ifndef AGENT_PEER_SUBSCRIPTION_H
#define AGENT_PEER_SUBSCRIPTION_H

#include <stdint.h>

#include <infiniservice/line.h>

#include "agent/metrics/publish.h"

struct session;

/*
 * Adds topics (bits of enum publish_topic) to what the peer reads; a host gets every event unasked. `interval_ns`: the
 * least distance of samples, taken when "metrics" is among the topics. `latest`: the last sample, or NULL.
 */
void subscription_add(struct session *session, struct publisher *publisher, unsigned topics, uint64_t interval_ns,
		      const struct line *latest);

#endif
