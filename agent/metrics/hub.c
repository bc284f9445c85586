/* SPDX-License-Identifier: MIT */
/* Fan-out of encoded lines; see hub.h. */
#include "agent/metrics/hub.h"

#include <errno.h>

int hub_subscribe(struct hub *hub, const char *name, unsigned topic, int (*put)(void *data, struct line *line),
		  void *data)
{
	if (hub->count == HUB_SUBSCRIBERS_MAX)
		return -ENOSPC;
	hub->subscribers[hub->count++] =
		(struct hub_subscriber){ .name = name, .topic = topic, .put = put, .data = data };
	return 0;
}

void hub_publish(struct hub *hub, unsigned topics, struct line *line)
{
	hub->published++;
	line_unref(hub->latest);
	hub->latest = line_ref(line);
	for (unsigned i = 0; i < hub->count; i++) {
		struct hub_subscriber *subscriber = &hub->subscribers[i];

		if (!(subscriber->topic & topics))
			continue;
		if (subscriber->put(subscriber->data, line) == 0)
			subscriber->taken++;
		else
			subscriber->missed++;
	}
}

void hub_report(const struct hub *hub, struct sink *out)
{
	for (unsigned i = 0; i < hub->count; i++) {
		sink_object_begin(out, hub->subscribers[i].name);
		sink_uint(out, "taken", hub->subscribers[i].taken);
		sink_uint(out, "missed", hub->subscribers[i].missed);
		sink_object_end(out);
	}
}

void hub_done(struct hub *hub)
{
	hub->latest = line_unref(hub->latest);
}
