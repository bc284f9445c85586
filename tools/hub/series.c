/* SPDX-License-Identifier: MIT */
#include "series.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/hub/metrics.h"
#include "tools/hub/parse.h"
#include "transport/printable.h"

#define CPUS_MAX	65 /* the first 64, and all others together */
#define WHOLE_ITEMS_MAX 32
#define LABEL_MAX	256 /* bytes of one label's value, before it is escaped */

/* An item of a sample, and what is kept of the same item of a whole one. */
struct source {
	struct json_object *now, *whole;
};

struct gathering {
	const struct series_bounds *bounds;
	struct series *series;
	char *text;
	size_t count, len, dropped;
};

size_t label_escape(char *out, const char *text, size_t len, size_t max)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + (len < max ? len : max);
	char *to = out;

	while (p < end) {
		int step = printable_step(p, end);

		if (step < 0 || *p == '\n') {
			*to++ = '?';
			p += step < 0 ? -step : step;
			continue;
		}
		if (*p == '\\' || *p == '"')
			*to++ = '\\';
		for (; step > 0; step--)
			*to++ = (char)*p++;
	}
	return (size_t)(to - out);
}

static size_t put(char *to, const char *text)
{
	size_t len = strlen(text);

	memcpy(to, text, len);
	return len;
}

/*
 * What is absent now, beside others that are there, is as it was in the last whole sample. What is null is not known,
 * and neither is anything of an object that is not there at all.
 */
static struct json_object *value_at(const struct source *from, const char *path)
{
	const char *dot = strrchr(path, '.');
	struct json_object *value = NULL;
	char above[128];

	if (json_has(from->now, path, &value))
		return value;
	snprintf(above, sizeof(above), "%.*s", dot ? (int)(dot - path) : 0, path);
	return dot && !json_object_is_type(json_at(from->now, above), json_type_object) ? NULL
											: json_at(from->whole, path);
}

static const char *text_of(const struct source *from, const char *path)
{
	struct json_object *text = value_at(from, path);

	return json_object_is_type(text, json_type_string) ? json_object_get_string(text) : "";
}

/* Appends the labels of an item. The place where they begin, SERIES_NO_LABELS for none, or -ENOSPC. */
static int add_labels(struct gathering *g, const struct metric *metric, const struct source *from, int cpu,
		      size_t *ret_len)
{
	const struct metric_list *list = metric->list;
	size_t start = g->len, at = g->len;

	*ret_len = 0;
	if (!list && !metric->fixed)
		return SERIES_NO_LABELS;
	if (metric->fixed) {
		if (at + strlen(metric->fixed) > g->bounds->labels)
			return -ENOSPC;
		at += put(g->text + at, metric->fixed);
	}
	if (cpu >= 0 && at + 20 > g->bounds->labels)
		return -ENOSPC;
	if (cpu >= 0)
		at += (size_t)sprintf(g->text + at, ",cpu=\"%d\"", cpu);
	for (size_t i = 0; list && i < METRIC_LABELS_MAX && list->labels[i].label; i++) {
		const char *text = text_of(from, list->labels[i].key);

		if (at + strlen(list->labels[i].label) + 4 + 2 * LABEL_MAX > g->bounds->labels)
			return -ENOSPC;
		if (at > start)
			g->text[at++] = ',';
		at += put(g->text + at, list->labels[i].label);
		at += put(g->text + at, "=\"");
		at += label_escape(g->text + at, text, strlen(text), LABEL_MAX);
		g->text[at++] = '"';
	}
	*ret_len = at - start;
	g->len = at;
	return (int)start;
}

static bool is_number(struct json_object *value)
{
	return json_object_is_type(value, json_type_int) || json_object_is_type(value, json_type_double);
}

/* The value of a row below `from`. False: it is not known. */
static bool value_of(const struct metric *metric, const struct source *from, double *ret)
{
	struct json_object *value = metric->path ? value_at(from, metric->path) : NULL, *less;
	int64_t ms;

	switch (metric->value) {
	case METRIC_ONE: /* its first label is what it is about */
		*ret = 1;
		return metric->list && *text_of(from, metric->list->labels[0].key) != '\0';
	case METRIC_COUNT:
		if (!json_object_is_type(value, json_type_array))
			return false;
		*ret = (double)json_object_array_length(value);
		return true;
	case METRIC_BOOL:
		if (!json_object_is_type(value, json_type_boolean))
			return false;
		*ret = json_object_get_boolean(value);
		return true;
	case METRIC_TIME:
		if (!json_object_is_type(value, json_type_string) ||
		    rfc3339_parse(json_object_get_string(value), &ms) < 0)
			return false;
		*ret = (double)ms / 1000;
		return true;
	case METRIC_IS_TEXT:
		if (!json_object_is_type(value, json_type_string))
			return false;
		*ret = !strcmp(json_object_get_string(value), metric->less);
		return true;
	case METRIC_CPUS: /* gather_cpus */
		return false;
	case METRIC_NUMBER:
		break;
	}
	less = metric->less ? value_at(from, metric->less) : NULL;
	if (!is_number(value) || (metric->less && !is_number(less)))
		return false;
	*ret = (json_object_get_double(value) - (less ? json_object_get_double(less) : 0)) * metric->scale;
	return isfinite(*ret);
}

/* True if this family has a series of these labels already. */
static bool is_twin(const struct gathering *g, size_t family, const char *labels, size_t len)
{
	for (size_t i = g->count; i > 0 && g->series[i - 1].metric >= family; i--)
		if (g->series[i - 1].labels_len == len && !memcmp(g->text + g->series[i - 1].labels, labels, len))
			return true;
	return false;
}

static void add_value(struct gathering *g, size_t index, size_t family, const struct source *from, int cpu,
		      double value)
{
	const struct metric *metric = &metrics[index];
	size_t before = g->len, len;
	int labels = g->count < g->bounds->series ? add_labels(g, metric, from, cpu, &len) : -ENOSPC;

	if (labels < 0) {
		g->dropped++;
		return;
	}
	if (labels != SERIES_NO_LABELS && is_twin(g, family, g->text + labels, len)) {
		g->len = before;
		return;
	}
	g->series[g->count++] = (struct series){
		.metric = (uint16_t)index, .labels = (uint16_t)labels, .labels_len = (uint32_t)len, .value = value
	};
}

static void add(struct gathering *g, size_t index, size_t family, const struct source *from)
{
	double value;

	if (value_of(&metrics[index], from, &value))
		add_value(g, index, family, from, -1, value);
}

static void gather_cpus(struct gathering *g, size_t index, size_t family, const struct source *data)
{
	struct json_object *list = value_at(data, metrics[index].path);

	if (!json_object_is_type(list, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(list) && i < CPUS_MAX; i++) {
		struct json_object *value = json_object_array_get_idx(list, i);

		if (is_number(value) && isfinite(json_object_get_double(value)))
			add_value(g, index, family, data, (int)i, json_object_get_double(value) * metrics[index].scale);
	}
}

/* The item of a list that has the same id; NULL: none. */
static struct json_object *same_item(struct json_object *list, const char *key, struct json_object *item)
{
	const char *id = json_text_at(item, key);

	for (size_t i = 0; json_object_is_type(list, json_type_array) && i < json_object_array_length(list); i++) {
		struct json_object *other = json_object_array_get_idx(list, i);

		if (!strcmp(json_text_at(other, key), id))
			return other;
	}
	return NULL;
}

static void gather_list(struct gathering *g, size_t index, size_t family, const struct source *lists)
{
	const struct metric_list *list = metrics[index].list;

	if (!list->id) {
		add(g, index, family, lists);
		return;
	}
	if (!json_object_is_type(lists->now, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(lists->now); i++) {
		struct json_object *item = json_object_array_get_idx(lists->now, i);
		struct source from = { item, same_item(lists->whole, list->id, item) };

		if (!list->skip || !json_object_get_boolean(json_at(item, list->skip)))
			add(g, index, family, &from);
	}
}

static void gather(struct gathering *g, const struct source *data)
{
	const struct metric_list *looked_up = NULL;
	struct source lists = { 0 };
	size_t family = 0;

	for (size_t i = 0; i < metrics_count; i++) {
		if (strcmp(metrics[i].name, metrics[family].name) != 0)
			family = i;
		if (metrics[i].value == METRIC_CPUS) {
			gather_cpus(g, i, family, data);
			continue;
		}
		if (!metrics[i].list) {
			add(g, i, family, data);
			continue;
		}
		if (metrics[i].list != looked_up)
			lists = (struct source){ json_at(data->now, metrics[i].list->path),
						 json_at(data->whole, metrics[i].list->path) };
		looked_up = metrics[i].list;
		gather_list(g, i, family, &lists);
	}
}

/* -------------------------------------------------------------------------------------------- of the whole sample */

/* The object at the path, made where it is not there. */
static struct json_object *object_at(struct json_object *from, const char *path)
{
	char key[64];

	while (from && *path) {
		size_t len = strcspn(path, ".");
		struct json_object *child = NULL;

		snprintf(key, sizeof(key), "%.*s", (int)len, path);
		if (!json_object_object_get_ex(from, key, &child)) {
			child = json_object_new_object();
			json_object_object_add(from, key, child);
		}
		from = child;
		path += len + (path[len] == '.');
	}
	return from;
}

/* Copies one value below the same path; values that are no text, number or boolean are not kept. */
static void keep_value(struct json_object *to, struct json_object *from, const char *path)
{
	struct json_object *value = json_at(from, path), *copy = NULL;
	const char *dot = strrchr(path, '.');
	char above[128];

	if (!value || json_object_is_type(value, json_type_array) || json_object_is_type(value, json_type_object) ||
	    json_has(to, path, NULL) || json_object_get_string_len(value) > LABEL_MAX)
		return;
	snprintf(above, sizeof(above), "%.*s", dot ? (int)(dot - path) : 0, path);
	if (json_object_deep_copy(value, &copy, NULL) == 0)
		json_object_object_add(object_at(to, above), dot ? dot + 1 : path, copy);
}

static void keep_item(struct json_object *to, struct json_object *from, const struct metric *metric)
{
	for (size_t i = 0; i < METRIC_LABELS_MAX && metric->list->labels[i].label; i++)
		keep_value(to, from, metric->list->labels[i].key);
	if (metric->path)
		keep_value(to, from, metric->path);
	if (metric->less && metric->value == METRIC_NUMBER)
		keep_value(to, from, metric->less);
}

static void keep_list(struct json_object *whole, struct json_object *data, const struct metric *metric)
{
	const char *path = metric->list->path, *dot = strrchr(path, '.');
	struct json_object *from = json_at(data, path), *to = json_at(whole, path);
	char above[128];

	if (!json_object_is_type(from, json_type_array))
		return;
	if (!to) {
		snprintf(above, sizeof(above), "%.*s", dot ? (int)(dot - path) : 0, path);
		to = json_object_new_array();
		json_object_object_add(object_at(whole, above), dot ? dot + 1 : path, to);
	}
	for (size_t i = 0; i < json_object_array_length(from) && i < WHOLE_ITEMS_MAX; i++) {
		if (i >= json_object_array_length(to))
			json_object_array_add(to, json_object_new_object());
		keep_item(json_object_array_get_idx(to, i), json_object_array_get_idx(from, i), metric);
	}
}

struct json_object *series_keep_whole(struct json_object *message)
{
	struct json_object *data = json_at(message, "data"), *whole = json_object_new_object();

	for (size_t i = 0; whole && i < metrics_count; i++) {
		const struct metric *metric = &metrics[i];

		/* Counters are in every sample, or are 0 where they are not. */
		if (metric->value == METRIC_CPUS || metric->type != METRIC_GAUGE)
			continue;
		if (metric->list && metric->list->id) {
			keep_list(whole, data, metric);
		} else if (metric->list) {
			struct json_object *from = json_at(data, metric->list->path);

			keep_item(object_at(whole, metric->list->path), from, metric);
		} else if (metric->value != METRIC_COUNT) {
			keep_value(whole, data, metric->path);
		}
	}
	return whole;
}

int series_of_sample(struct json_object *message, struct json_object *whole, const struct series_bounds *bounds,
		     struct series_set **ret)
{
	struct json_object *data = json_at(message, "data"), *seq = json_at(message, "seq");
	struct gathering g = { .bounds = bounds };
	struct series_set *set = NULL;
	int64_t time_ms;

	if (!json_object_is_type(data, json_type_object) || !json_object_is_type(seq, json_type_int) ||
	    rfc3339_parse(json_text_at(message, "timestamp"), &time_ms) < 0)
		return -EINVAL;
	g.series = calloc(bounds->series, sizeof(*g.series));
	g.text = malloc(bounds->labels);
	if (g.series && g.text) {
		gather(&g, &(struct source){ data, whole });
		set = malloc(sizeof(*set) + g.count * sizeof(*g.series) + g.len);
	}
	if (set) {
		char *text = (char *)(set->series + g.count);

		*set = (struct series_set){ .time_ms = time_ms,
					    .seq = json_object_get_uint64(seq),
					    .count = g.count,
					    .dropped = g.dropped,
					    .text = text };
		memcpy(set->series, g.series, g.count * sizeof(*g.series));
		memcpy(text, g.text, g.len);
	}
	free(g.series);
	free(g.text);
	if (!set)
		return -ENOMEM;
	*ret = set;
	return 0;
}

size_t series_find(const struct series_set *set, size_t metric)
{
	size_t low = 0, high = set->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (set->series[middle].metric < metric)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

size_t series_size(const struct series_set *set)
{
	size_t last = 0;

	for (size_t i = 0; i < set->count; i++)
		if (set->series[i].labels != SERIES_NO_LABELS)
			last = set->series[i].labels + set->series[i].labels_len;
	return sizeof(*set) + set->count * sizeof(struct series) + last;
}
