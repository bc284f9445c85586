/* SPDX-License-Identifier: MIT */
/*
 * Every path of the sample, or of the catalogue, gets a number of edits to what was typed, once as a whole and once by
 * its last name alone (people leave out the first parts), and the three paths with the fewest edits are chosen. Paths
 * and sample are bounded.
 */
#include "tools/infinictl/suggest.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "agent/catalog/catalog.h"
#include "agent/config/keys.h"
#include "tools/infinictl/metric.h"

#define DEPTH_MAX  12
#define LOOKED_MAX 20000
#define SHOWN	   3
#define FAR	   1000

struct candidate {
	unsigned distance;
	char path[METRIC_TEXT_MAX];
};

struct search {
	const char *wanted, *wanted_last;
	unsigned looked;
	struct candidate best[SHOWN]; /* the nearest first */
	char path[METRIC_TEXT_MAX];
};

static const char *last_name(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot ? dot + 1 : path;
}

/* Steps over a name's end: what stands in [] behind it, and the dot. */
static const char *next_name(const char *at)
{
	while (*at == '[') {
		const char *close = strchr(at, ']');

		at = close ? close + 1 : at + strlen(at);
	}
	return at + (*at == '.');
}

/* Names at the same place of both paths are compared one by one, whatever item of a list is meant; a missing or further
 * one is far. */
static unsigned whole_distance(const char *a, const char *b)
{
	unsigned sum = 0;

	while (*a && *b) {
		size_t m = strcspn(a, ".["), n = strcspn(b, ".[");
		char x[64], y[64];
		unsigned distance;

		snprintf(x, sizeof(x), "%.*s", (int)m, a);
		snprintf(y, sizeof(y), "%.*s", (int)n, b);
		distance = likely_distance(x, y);
		if (distance > LIKELY_EDITS)
			return FAR;
		sum += distance;
		a = next_name(a + m);
		b = next_name(b + n);
	}
	return *a || *b ? FAR : sum;
}

static unsigned distance_of(const struct search *s)
{
	unsigned whole = whole_distance(s->wanted, s->path), last = likely_distance(s->wanted_last, last_name(s->path));

	/* The last name alone says less than the whole path. */
	last = last > LIKELY_EDITS ? FAR : 3 * LIKELY_EDITS + last;
	return whole < last ? whole : last;
}

static void judge(struct search *s)
{
	unsigned distance = distance_of(s), at = SHOWN;

	while (at > 0 && distance < s->best[at - 1].distance)
		at--;
	if (at == SHOWN)
		return;
	memmove(&s->best[at + 1], &s->best[at], (SHOWN - 1 - at) * sizeof(s->best[0]));
	s->best[at].distance = distance;
	snprintf(s->best[at].path, sizeof(s->best[at].path), "%s", s->path);
}

static void look(struct search *s, struct json_object *value, size_t len, unsigned depth);

static void look_below(struct search *s, struct json_object *value, const char *name, size_t len, unsigned depth)
{
	int more = snprintf(s->path + len, sizeof(s->path) - len, "%s%s", len && *name != '[' ? "." : "", name);

	if (more > 0 && len + (size_t)more < sizeof(s->path) && s->looked++ < LOOKED_MAX) {
		judge(s);
		look(s, value, len + (size_t)more, depth + 1);
	}
	s->path[len] = '\0';
}

/* The first item of a list stands for all. */
static void look(struct search *s, struct json_object *value, size_t len, unsigned depth)
{
	if (depth > DEPTH_MAX)
		return;
	if (json_object_is_type(value, json_type_object)) {
		json_object_object_foreach(value, key, member) look_below(s, member, key, len, depth);
	} else if (json_object_is_type(value, json_type_array) && json_object_array_length(value) > 0) {
		look_below(s, json_object_array_get_idx(value, 0), "[0]", len, depth);
	}
}

/* All that a sample could have. */
static void look_up(struct search *s)
{
	for (size_t i = 0; i < catalog_count; i++) {
		snprintf(s->path, sizeof(s->path), "%s", catalog_metrics[i].path);
		judge(s);
	}
}

void suggest_metrics(struct json_object *data, const char *path, char *out, size_t size)
{
	struct search s = { .wanted = path, .wanted_last = last_name(path) };
	size_t at = 0;

	for (unsigned i = 0; i < SHOWN; i++)
		s.best[i].distance = FAR;
	if (data)
		look(&s, data, 0, 0);
	else
		look_up(&s);
	out[0] = '\0';
	for (unsigned i = 0; i < SHOWN && s.best[i].distance < FAR && at < size; i++)
		at += (size_t)snprintf(out + at, size - at, "%s%s", i ? " or " : "", s.best[i].path);
}
