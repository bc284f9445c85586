/* SPDX-License-Identifier: MIT */
/*
 * A path into a message's data: names by dots, in [] an index, or the name of an item:
 * network.interfaces[eth0].bytes_sent, disk.usage_stats[/].used_gb, cpu.cores_usage[0].
 */
#ifndef TOOLS_INFINICTL_METRIC_H
#define TOOLS_INFINICTL_METRIC_H

#include <stdbool.h>
#include <stddef.h>

#include <infiniservice/err.h>

struct json_object;

#define METRIC_STEPS_MAX 16
#define METRIC_TEXT_MAX	 512

struct metric_step {
	const char *name; /* into `text`; of a member, or in [] of an item */
	bool bracket;
	long index; /* of an item when the name is a number, else -1 */
};

struct metric {
	char text[METRIC_TEXT_MAX];  /* taken apart: NULs in it */
	char label[METRIC_TEXT_MAX]; /* as given */
	unsigned count;
	struct metric_step steps[METRIC_STEPS_MAX];
};

/* Parses a path. 0, or -EINVAL with a text. */
int metric_parse(const char *text, struct metric *ret, struct err *err);

/*
 * Looks the path up in `data`; an item is chosen by its name, mount_point, device, pid or port. True and *ret
 * (borrowed, NULL for a JSON null) if it is there.
 */
bool metric_find(const struct metric *metric, struct json_object *data, struct json_object **ret);

#endif
