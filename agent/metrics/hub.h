/* SPDX-License-Identifier: MIT */
/*
 * Fan-out: a line is encoded once and the same bytes are handed to every subscriber. Subscribers are independent: one
 * that fails, lags or is away costs nobody else a line, and each keeps its own account of what it took and what it
 * lost.
 */
#ifndef AGENT_METRICS_HUB_H
#define AGENT_METRICS_HUB_H

#include <infiniservice/line.h>
#include <infiniservice/sink.h>

#define HUB_SUBSCRIBERS_MAX 8

/* What a publish reaches. */
enum hub_topic {
	HUB_PORT = 1 << 0,
	HUB_LOG = 1 << 1,
	HUB_LATEST = 1 << 2,
};

struct hub_subscriber {
	const char *name; /* shown by Status */
	unsigned topic;
	int (*put)(void *data,
		   struct line *line); /* takes its own reference; 0, or -errno when it cannot take it now */
	void *data;
	uint64_t taken, missed;
};

struct hub {
	unsigned count;
	struct hub_subscriber subscribers[HUB_SUBSCRIBERS_MAX];
	struct line *latest; /* owned: the last sample published */
	uint64_t published;
};

/* -ENOSPC when all places are taken. */
int hub_subscribe(struct hub *hub, const char *name, unsigned topic, int (*put)(void *data, struct line *line),
		  void *data);

/*
 * Hands `line` to the subscribers of the given topics and keeps it as the latest sample. The caller keeps its
 * reference.
 */
void hub_publish(struct hub *hub, unsigned topics, struct line *line);

/* Per subscriber: taken, missed. Into an open object. */
void hub_report(const struct hub *hub, struct sink *out);

void hub_done(struct hub *hub);

#endif
