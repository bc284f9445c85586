/* SPDX-License-Identifier: MIT */
/*
 * A cell for each kept metric, and for each place of a list; the places of a list belong to its items by their names,
 * in the order in which they came, for all metrics of the list together.
 */
#include "agent/log/sums.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/log/tiers.h"

#define ITEMS CATALOG_KEPT_ITEMS

struct cell {
	double min, max, sum, last;
	uint64_t count;
};

struct list {
	struct catalog_list list; /* path and member */
	unsigned items;
	unsigned key_len[ITEMS];
	char keys[ITEMS][SUMS_KEY_MAX];
};

struct kept {
	const struct catalog_metric *metric;
	int list; /* index, -1: none */
};

struct sums {
	unsigned metrics, lists;
	struct kept kept[CATALOG_KEPT_MAX];
	int64_t begin_ms;
	uint64_t count, first_seq, last_seq, left_out;
	uint64_t weight; /* samples that the line being added stands for */
	bool summary;	 /* it is a summary */
	struct list list[SUMS_LISTS_MAX];
	struct cell cells[CATALOG_KEPT_MAX][ITEMS];
};

struct pick *sums_pick(void)
{
	struct pick *pick = pick_new();

	for (size_t i = 0; pick && i < catalog_count; i++)
		if ((catalog_metrics[i].flags & CATALOG_KEPT) && pick_add_each(pick, catalog_metrics[i].path) < 0)
			pick = pick_free(pick);
	return pick;
}

static bool same_list(const struct catalog_list *a, const struct catalog_list *b)
{
	return a->path_len == b->path_len && !memcmp(a->path, b->path, a->path_len);
}

/* The index of the metric's list, made when it is the first of it; -1 for a metric outside of lists. */
static int list_of(struct sums *sums, const struct catalog_metric *metric)
{
	struct catalog_list list;

	if (!catalog_list(metric, &list))
		return -1;
	for (unsigned i = 0; i < sums->lists; i++)
		if (same_list(&sums->list[i].list, &list))
			return (int)i;
	if (sums->lists == SUMS_LISTS_MAX)
		return -1;
	sums->list[sums->lists].list = list;
	return (int)sums->lists++;
}

struct sums *sums_new(void)
{
	struct sums *sums = calloc(1, sizeof(*sums));

	for (size_t i = 0; sums && i < catalog_count && sums->metrics < CATALOG_KEPT_MAX; i++)
		if (catalog_metrics[i].flags & CATALOG_KEPT)
			sums->kept[sums->metrics++] =
				(struct kept){ &catalog_metrics[i], list_of(sums, &catalog_metrics[i]) };
	return sums;
}

struct sums *sums_free(struct sums *sums)
{
	free(sums);
	return NULL;
}

void sums_reset(struct sums *sums, int64_t begin_ms)
{
	sums->begin_ms = begin_ms;
	sums->count = sums->first_seq = sums->last_seq = sums->left_out = 0;
	for (unsigned i = 0; i < sums->metrics; i++)
		for (unsigned j = 0; j < (sums->kept[i].list < 0 ? 1 : sums->list[sums->kept[i].list].items); j++)
			sums->cells[i][j].count = 0;
	for (unsigned i = 0; i < sums->lists; i++)
		sums->list[i].items = 0;
}

int64_t sums_begin_ms(const struct sums *sums)
{
	return sums->begin_ms;
}

uint64_t sums_count(const struct sums *sums)
{
	return sums->count;
}

uint64_t sums_left_out(const struct sums *sums)
{
	return sums->left_out;
}

/* ------------------------------------------------------------------------------------------------------ adding */

/* The place of an item, given to it when it is new; -1: there is none left. */
static int item_place(struct sums *sums, struct list *list, struct pick_text key)
{
	for (unsigned i = 0; i < list->items; i++)
		if (list->key_len[i] == key.len && !memcmp(list->keys[i], key.text, key.len))
			return (int)i;
	if (!key.text || key.len > SUMS_KEY_MAX || list->items == ITEMS) {
		sums->left_out++;
		return -1;
	}
	memcpy(list->keys[list->items], key.text, key.len);
	list->key_len[list->items] = (unsigned)key.len;
	return (int)list->items++;
}

/* `four`: min, average, max, last. */
static void cell_add(struct cell *cell, const double four[4], uint64_t weight)
{
	if (cell->count == 0)
		*cell = (struct cell){ .min = four[0], .max = four[2] };
	cell->min = fmin(cell->min, four[0]);
	cell->max = fmax(cell->max, four[2]);
	cell->sum += four[1] * (double)weight;
	cell->last = four[3];
	cell->count += weight;
}

static void take(void *data, unsigned path, struct pick_text key, struct pick_text value)
{
	struct sums *sums = data;
	int list = sums->kept[path].list, place = 0;
	double four[4];

	if (sums->summary) {
		if (!pick_numbers(value, four, 4))
			return;
	} else {
		if (!pick_number(value, &four[0]))
			return;
		four[1] = four[2] = four[3] = four[0];
	}
	if (list >= 0)
		place = item_place(sums, &sums->list[list], key);
	if (place >= 0)
		cell_add(&sums->cells[path][place], four, sums->weight);
}

static void seqs_add(struct sums *sums, uint64_t count, uint64_t first, uint64_t last)
{
	if (sums->count == 0)
		sums->first_seq = first;
	sums->count += count;
	sums->last_seq = last;
}

void sums_add_sample(struct sums *sums, const struct pick *pick, const char *line, size_t len, uint64_t seq)
{
	sums->summary = false;
	sums->weight = 1;
	pick_line(pick, line, len, take, sums);
	seqs_add(sums, 1, seq, seq);
}

bool sums_add_summary(struct sums *sums, const struct pick *pick, const char *line, size_t len)
{
	struct summary head;

	if (!summary_parse(line, len, &head))
		return false;
	sums->summary = true;
	sums->weight = head.count;
	pick_line(pick, line, len, take, sums);
	seqs_add(sums, head.count, head.first_seq, head.last_seq);
	return true;
}

/* ----------------------------------------------------------------------------------------------------- writing */

struct out {
	char *text;
	size_t len;
	bool overflow;
	bool comma;	  /* something stands before the next member of this level */
	const char *open; /* the path of the objects that are open, below data */
	size_t open_len;
};

__attribute__((format(printf, 2, 3))) static void put(struct out *out, const char *format, ...)
{
	size_t room = SUMS_LINE_MAX - out->len;
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(out->text + out->len, room, format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= room)
		out->overflow = true;
	else
		out->len += (size_t)len;
}

static void put_member(struct out *out, const char *name, size_t len)
{
	put(out, "%s\"%.*s\":", out->comma ? "," : "", (int)len, name);
	out->comma = true;
}

/* Closes and opens objects until `path` is open. */
static void move_to(struct out *out, const char *path, size_t len)
{
	size_t common = 0, at = 0;

	/* Whole parts that both have. */
	while (at <= len && at <= out->open_len) {
		bool end_path = at == len || path[at] == '.', end_open = at == out->open_len || out->open[at] == '.';

		if (end_path && end_open)
			common = at;
		if (at == len || at == out->open_len || path[at] != out->open[at])
			break;
		at++;
	}
	for (size_t i = common; i < out->open_len; i++)
		if (i == common || out->open[i] == '.') {
			put(out, "}");
			out->comma = true;
		}
	for (at = common; at < len;) {
		size_t part;

		at += path[at] == '.';
		part = 0;
		while (at + part < len && path[at + part] != '.')
			part++;
		put_member(out, path + at, part);
		put(out, "{");
		out->comma = false;
		at += part;
	}
	out->open = path;
	out->open_len = len;
}

static void put_cell(struct out *out, const char *name, size_t len, const struct cell *cell)
{
	put_member(out, name, len);
	/* 15 digits give any number of a sample back as it was; more of an average means nothing. */
	put(out, "[%.15g,%.9g,%.15g,%.15g]", cell->min, cell->sum / (double)cell->count, cell->max, cell->last);
}

static size_t parent_len(const char *path, size_t len)
{
	while (len > 0 && path[len - 1] != '.')
		len--;
	return len ? len - 1 : 0;
}

static void put_list(struct out *out, const struct sums *sums, int index)
{
	const struct list *list = &sums->list[index];
	size_t parent = parent_len(list->list.path, list->list.path_len), at = parent + (parent > 0);
	bool any = false;

	for (unsigned item = 0; item < list->items; item++) {
		bool begun = false;

		for (unsigned i = 0; i < sums->metrics; i++) {
			const char *path = sums->kept[i].metric->path, *name;

			if (sums->kept[i].list != index || sums->cells[i][item].count == 0)
				continue;
			if (!any) {
				move_to(out, list->list.path, parent);
				put_member(out, list->list.path + at, list->list.path_len - at);
				put(out, "[");
			}
			if (!begun) {
				put(out, "%s{\"%.*s\":%.*s", any ? "," : "", (int)list->list.member_len,
				    list->list.member, (int)list->key_len[item], list->keys[item]);
				out->comma = true;
			}
			any = begun = true;
			name = strchr(path, ']') + 2;
			put_cell(out, name, strlen(name), &sums->cells[i][item]);
		}
		if (begun)
			put(out, "}");
	}
	if (any) {
		put(out, "]");
		out->comma = true;
	}
}

size_t sums_write(const struct sums *sums, int64_t span_ms, bool partial, bool unsynced, char *text)
{
	struct out out = { .text = text, .open = "" };
	unsigned lists_done = 0;
	char time[RFC3339_SIZE];

	if (sums->count == 0)
		return 0;
	rfc3339_format(sums->begin_ms, time);
	put(&out,
	    "{\"type\":\"summary\",\"timestamp\":\"%s\",\"span_ms\":%" PRId64 ",\"count\":%" PRIu64
	    ",\"first_seq\":%" PRIu64 ",\"last_seq\":%" PRIu64 "%s%s,\"data\":{",
	    time, span_ms, sums->count, sums->first_seq, sums->last_seq, partial ? ",\"partial\":true" : "",
	    unsynced ? ",\"unsynced\":true" : "");
	for (unsigned i = 0; i < sums->metrics; i++) {
		const char *path = sums->kept[i].metric->path;
		size_t parent = parent_len(path, strlen(path));

		if (sums->kept[i].list >= 0) {
			if (!(lists_done & 1U << sums->kept[i].list))
				put_list(&out, sums, sums->kept[i].list);
			lists_done |= 1U << sums->kept[i].list;
		} else if (sums->cells[i][0].count) {
			size_t at = parent + (parent > 0);

			move_to(&out, path, parent);
			put_cell(&out, path + at, strlen(path + at), &sums->cells[i][0]);
		}
	}
	move_to(&out, "", 0);
	put(&out, "}}\n");
	return out.overflow ? 0 : out.len;
}
