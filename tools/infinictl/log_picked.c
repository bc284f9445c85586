/* SPDX-License-Identifier: MIT */
/*
 * The values of infinictl log without a tree of each line. The line is validated as a whole (json_check.h), so that
 * nothing is printed of one that the parser would refuse; where the two may differ (limits, members or items that are
 * there twice, a metric that no sample had so far, for which likely names are sought in the tree) the tree is built.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/log/pick.h"
#include "tools/infinictl/log.h"
#include "tools/infinictl/text.h"
#include "transport/json_check.h"

/* Longer values are left to the tree. */
#define VALUE_MAX 256
/* A number of so many characters is printed as it stands. */
#define NUMBER_MAX 15

struct log_picked {
	struct pick *pick; /* NULL: the paths are none for it */
	struct json_check check;
	struct {
		unsigned times;
		struct pick_text text;
		char words[VALUE_MAX + 8];
		struct json_object *holder; /* of the cell's text */
	} values[LOG_METRICS_MAX];
};

static void on_value(void *data, unsigned path, struct pick_text key, struct pick_text text)
{
	struct log_picked *picked = data;

	(void)key;
	picked->values[path].times++;
	picked->values[path].text = text;
}

static struct log_picked *picked_new(const struct log_options *o)
{
	struct log_picked *picked = calloc(1, sizeof(*picked));

	if (!picked)
		return NULL;
	json_check_init(&picked->check, (uint32_t)clock_ns(CLOCK_MONOTONIC));
	picked->pick = pick_new();
	for (unsigned i = 0; i < o->metric_count && picked->pick; i++)
		if (pick_add(picked->pick, o->metrics[i].label, NULL) < 0)
			picked->pick = pick_free(picked->pick);
	return picked;
}

void log_picked_done(struct log_options *o)
{
	if (o->picked)
		pick_free(o->picked->pick);
	free(o->picked);
	o->picked = NULL;
}

/* Whether what was asked for is of values alone, each of which was there before. */
static bool is_possible(const struct log_options *o)
{
	if (!o->metric_count || o->process || o->lines || o->where.given)
		return false;
	for (unsigned i = 0; i < o->metric_count && o->chosen; i++)
		if (!o->seen[i])
			return false;
	return true;
}

/* A short number without exponent, which the tree's printer leaves as it is; but for -0. */
static bool is_short_number(struct pick_text text)
{
	if (text.len > NUMBER_MAX || (text.text[0] == '-' && (text.len < 2 || text.text[1] == '0')))
		return false;
	for (size_t i = text.text[0] == '-'; i < text.len; i++)
		if ((text.text[i] < '0' || text.text[i] > '9') && text.text[i] != '.')
			return false;
	return true;
}

/* The cell of a value. False: it needs the tree. */
static bool take_cell(struct log_picked *picked, unsigned i, struct rows_cell *cell)
{
	struct pick_text text = picked->values[i].text;
	char *words = picked->values[i].words;

	if (text.len > VALUE_MAX || *text.text == '{' || *text.text == '[')
		return false;
	if (is_short_number(text)) {
		memcpy(words, text.text, text.len);
		words[text.len] = '\0';
		*cell = (struct rows_cell){ .kind = CELL_NUMBER, .text = words };
		return pick_number(text, &cell->number);
	}
	memcpy(words, "{\"v\":", 5);
	memcpy(words + 5, text.text, text.len);
	memcpy(words + 5 + text.len, "}", 2);
	picked->values[i].holder = text_parse(words, text.len + 6);
	if (!picked->values[i].holder)
		return false;
	*cell = log_values_cell(text_member(picked->values[i].holder, "v", NULL));
	return true;
}

static bool take_cells(struct log_options *o, struct rows_cell *cells)
{
	for (unsigned i = 0; i < o->metric_count; i++) {
		unsigned times = o->picked->values[i].times;

		cells[i].kind = CELL_MISSING;
		if (times > 1 || (times == 1 && !take_cell(o->picked, i, &cells[i])))
			return false;
	}
	return true;
}

bool log_picked_add(struct log_options *o, const struct reader_line *line)
{
	struct rows_cell cells[LOG_METRICS_MAX] = { 0 };
	struct log_picked *picked;
	bool taken = false;

	if (!log_wants_values(o) || !is_possible(o))
		return false;
	if (!o->picked)
		o->picked = picked_new(o);
	picked = o->picked;
	if (!picked || !picked->pick || json_check_line(&picked->check, line->text, line->len, NULL, NULL) < 0)
		return false;
	for (unsigned i = 0; i < o->metric_count; i++) {
		picked->values[i].times = 0;
		picked->values[i].holder = NULL;
	}
	pick_line(picked->pick, line->text, line->len, on_value, picked);
	taken = take_cells(o, cells);
	if (taken) {
		o->reading.samples += line->sample;
		log_values_row(o, line->wall_ms, cells);
	}
	for (unsigned i = 0; i < o->metric_count; i++)
		json_object_put(picked->values[i].holder);
	return taken;
}
