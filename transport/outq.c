/* SPDX-License-Identifier: MIT */
/*
 * See outq.h. Three singly linked lists and the line that has begun. Callbacks run only when the queue is whole
 * again, so that they may push: finished and dropped lines are first moved to a list of their own.
 */
#include <errno.h>

#include "outq.h"

struct outq_item {
	struct outq_item *next;
	struct line *line;
	uint64_t stamp; /* of its push */
};

static void list_init(struct outq_list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

static void list_append(struct outq_list *list, struct outq_item *item)
{
	item->next = NULL;
	*list->end = item;
	list->end = &item->next;
}

static struct outq_item *list_shift(struct outq_list *list)
{
	struct outq_item *item = list->first;

	if (item && !(list->first = item->next))
		list->end = &list->first;
	return item;
}

static size_t cost_of(const struct line *line)
{
	return line->len + OUTQ_LINE_COST;
}

/* Tells `report` of each line and gives up the references. */
static void list_report(struct outq_list *list, outq_line_fn report, void *data)
{
	struct outq_item *item;

	while ((item = list_shift(list))) {
		if (report)
			report(data, item->line);
		line_unref(item->line);
		free(item);
	}
}

void outq_init(struct outq *q, size_t limit, outq_line_fn sent, outq_line_fn dropped, void *data)
{
	*q = (struct outq){ .limit = limit, .sent = sent, .dropped = dropped, .data = data };
	for (unsigned class = 0; class < LINE_CLASSES; class ++)
		list_init(&q->lists[class]);
}

/* Takes the oldest line of a class out of the queue. */
static struct outq_item *take_oldest(struct outq *q, unsigned class)
{
	struct outq_item *item = list_shift(&q->lists[class]);

	if (item) {
		q->cost_of[class] -= cost_of(item->line);
		q->cost -= cost_of(item->line);
		q->bytes -= item->line->len;
	}
	return item;
}

/* Takes the line that has begun out of the queue, and its unwritten bytes out of q->bytes. */
static struct outq_item *take_begun(struct outq *q)
{
	struct outq_item *item = q->begun;

	if (item) {
		q->cost -= cost_of(item->line);
		q->bytes -= item->line->len - q->offset;
		q->begun = NULL;
		q->offset = 0;
	}
	return item;
}

static void take_all(struct outq *q, struct outq_list *out)
{
	struct outq_item *item;

	list_init(out);
	if ((item = take_begun(q)))
		list_append(out, item);
	for (unsigned class = 0; class < LINE_CLASSES; class ++)
		while ((item = take_oldest(q, class)))
			list_append(out, item);
}

void outq_done(struct outq *q)
{
	struct outq_list gone;

	take_all(q, &gone);
	list_report(&gone, NULL, NULL);
}

void outq_drop_all(struct outq *q)
{
	struct outq_list gone;

	take_all(q, &gone);
	list_report(&gone, q->dropped, q->data);
}

void outq_drop_begun(struct outq *q)
{
	struct outq_item *item = take_begun(q);
	struct outq_list gone;

	list_init(&gone);
	if (item)
		list_append(&gone, item);
	list_report(&gone, q->dropped, q->data);
}

void outq_drop_before(struct outq *q, uint64_t stamp)
{
	struct outq_list gone;

	list_init(&gone);
	for (unsigned class = 0; class < LINE_CLASSES; class ++)
		while (q->lists[class].first && q->lists[class].first->stamp < stamp)
			list_append(&gone, take_oldest(q, class));
	list_report(&gone, q->dropped, q->data);
}

/*
 * The lowest class that a line of `class` may push out: its own for events and samples, for replies and bulk the
 * events.
 */
static unsigned last_victim(enum line_class class)
{
	return class == LINE_SAMPLE ? LINE_SAMPLE : LINE_EVENT;
}

/*
 * Moves the lines to be dropped for `need` more bytes to `gone`; false, and none moved, when that would not be enough.
 */
static bool make_room(struct outq *q, enum line_class class, size_t need, struct outq_list *gone)
{
	size_t freeable = 0;

	if (need > q->limit)
		return false;
	for (unsigned victim = last_victim(class); victim < LINE_CLASSES; victim++)
		freeable += q->cost_of[victim];
	if (q->cost - freeable > q->limit - need)
		return false;
	for (unsigned victim = LINE_CLASSES - 1; q->cost > q->limit - need; victim--)
		while (q->cost > q->limit - need && q->lists[victim].first)
			list_append(gone, take_oldest(q, victim));
	return true;
}

int outq_push(struct outq *q, struct line *line)
{
	enum line_class class = line->class;
	struct outq_item *item;
	struct outq_list gone;

	if (line->len == 0 || class >= LINE_CLASSES)
		return -EINVAL;
	if (line->len > SIZE_MAX - OUTQ_LINE_COST)
		return -ENOBUFS;
	item = malloc(sizeof(*item));
	if (!item)
		return -ENOMEM;
	list_init(&gone);
	if (!make_room(q, class, cost_of(line), &gone)) {
		free(item);
		return -ENOBUFS;
	}
	item->line = line_ref(line);
	item->stamp = q->stamp;
	list_append(&q->lists[class], item);
	q->cost_of[class] += cost_of(line);
	q->cost += cost_of(line);
	q->bytes += line->len;
	list_report(&gone, q->dropped, q->data);
	return 0;
}

bool outq_ready(const struct outq *q, bool samples)
{
	return q->begun || q->lists[LINE_REPLY].first || q->lists[LINE_BULK].first || q->lists[LINE_EVENT].first ||
	       (samples && q->lists[LINE_SAMPLE].first);
}

static unsigned classes(bool samples)
{
	return samples ? LINE_CLASSES : LINE_SAMPLE;
}

size_t outq_gather(const struct outq *q, bool samples, char *chunk, size_t size)
{
	size_t used = 0;

	if (q->begun) {
		size_t rest = q->begun->line->len - q->offset;

		used = rest < size ? rest : size;
		memcpy(chunk, q->begun->line->text + q->offset, used);
	}
	for (unsigned class = 0; class < classes(samples); class ++)
		for (struct outq_item *item = q->lists[class].first; item && used < size; item = item->next) {
			size_t part = item->line->len < size - used ? item->line->len : size - used;

			memcpy(chunk + used, item->line->text, part);
			used += part;
		}
	return used;
}

/* Begins the next line to be written; false when there is none. */
static bool begin_next(struct outq *q, bool samples)
{
	for (unsigned class = 0; class < classes(samples) && !q->begun; class ++)
		if ((q->begun = list_shift(&q->lists[class])))
			q->cost_of[class] -= cost_of(q->begun->line);
	return q->begun;
}

void outq_consume(struct outq *q, bool samples, size_t len)
{
	struct outq_list done;

	list_init(&done);
	while (len > 0 && (q->begun || begin_next(q, samples))) {
		size_t rest = q->begun->line->len - q->offset;

		if (len < rest) {
			q->offset += len;
			q->bytes -= len;
			break;
		}
		len -= rest;
		list_append(&done, take_begun(q));
	}
	list_report(&done, q->sent, q->data);
}
