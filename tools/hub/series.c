/* SPDX-License-Identifier: MIT */
#include "series.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/hub/metrics.h"
#include "tools/hub/parse.h"
#include "transport/printable.h"

#define LABEL_MAX 256 /* bytes of one label's value, before it is escaped */

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

/* Appends the labels of an item. The place where they begin, SERIES_NO_LABELS for none, or -ENOSPC. */
static int add_labels(struct gathering *g, const struct metric *metric, struct json_object *item, size_t *ret_len)
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
	for (size_t i = 0; list && i < METRIC_LABELS_MAX && list->labels[i].label; i++) {
		const char *text = json_text_at(item, list->labels[i].key);

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
static bool value_of(const struct metric *metric, struct json_object *from, double *ret)
{
	struct json_object *value = metric->path ? json_at(from, metric->path) : NULL, *less;
	int64_t ms;

	switch (metric->value) {
	case METRIC_ONE: /* its first label is what it is about */
		*ret = 1;
		return *json_text_at(from, metric->list->labels[0].key) != '\0';
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
	case METRIC_NUMBER:
		break;
	}
	less = metric->less ? json_at(from, metric->less) : NULL;
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

static void add(struct gathering *g, size_t index, size_t family, struct json_object *from)
{
	const struct metric *metric = &metrics[index];
	size_t before = g->len, len;
	double value;
	int labels;

	if (!value_of(metric, from, &value))
		return;
	labels = g->count < g->bounds->series ? add_labels(g, metric, from, &len) : -ENOSPC;
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

static void gather_list(struct gathering *g, size_t index, size_t family, struct json_object *list)
{
	const char *skip = metrics[index].list->skip;

	if (json_object_is_type(list, json_type_object))
		add(g, index, family, list);
	if (!json_object_is_type(list, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *item = json_object_array_get_idx(list, i);

		if (!skip || !json_object_get_boolean(json_at(item, skip)))
			add(g, index, family, item);
	}
}

static void gather(struct gathering *g, struct json_object *data)
{
	const struct metric_list *looked_up = NULL;
	struct json_object *list = NULL;
	size_t family = 0;

	for (size_t i = 0; i < metrics_count; i++) {
		if (strcmp(metrics[i].name, metrics[family].name) != 0)
			family = i;
		if (!metrics[i].list) {
			add(g, i, family, data);
			continue;
		}
		if (metrics[i].list != looked_up)
			list = json_at(data, metrics[i].list->path);
		looked_up = metrics[i].list;
		gather_list(g, i, family, list);
	}
}

int series_of_sample(struct json_object *message, const struct series_bounds *bounds, struct series_set **ret)
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
		gather(&g, data);
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
