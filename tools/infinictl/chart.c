/* SPDX-License-Identifier: MIT */
/*
 * A canvas of dots: a cell of characters has 2 x 4 of them in braille (U+2800 and its eight bits), 1 x 8 in blocks
 * (U+2581 to U+2588), and one in ASCII.
 */
#include "tools/infinictl/chart.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "tools/infinictl/scale.h"
#include "tools/show/show.h"

#define LABEL_WIDTH 9
#define TICKS_EVERY 12 /* columns for a time */

static const char ascii_marks[SHOW_LINES] = { '*', '+', 'o', 'x', '#', '@' };

struct canvas {
	const struct chart *chart;
	struct scale scale;
	unsigned columns, rows;	    /* in cells */
	unsigned across, down;	    /* dots in a cell */
	unsigned char *line, *band; /* a cell's dots, braille's bits, or the filled eighths of a block */
	unsigned char *owner;	    /* whose line goes through it, + 1 */
};

enum catalog_unit chart_unit(const struct chart *chart)
{
	const struct catalog_metric *known = chart->curves->metrics[chart->which[0]].known;

	return known ? known->unit : UNIT_NONE;
}

bool chart_range(const struct chart *chart, double *min, double *max)
{
	bool any = false;

	for (unsigned i = 0; i < chart->count; i++) {
		const struct curve_step *whole = &chart->curves->metrics[chart->which[i]].whole;

		if (whole->count == 0)
			continue;
		*min = !any || whole->min < *min ? whole->min : *min;
		*max = !any || whole->max > *max ? whole->max : *max;
		any = true;
	}
	return any;
}

/* ---------------------------------------------------------------------------------------------------------- dots */

static void set_dot(struct canvas *c, long x, long y, unsigned owner, bool band)
{
	static const unsigned char bits[4][2] = { { 0x01, 0x08 }, { 0x02, 0x10 }, { 0x04, 0x20 }, { 0x40, 0x80 } };
	size_t cell;

	if (x < 0 || y < 0 || x >= (long)c->columns * c->across || y >= (long)c->rows * c->down)
		return;
	cell = (size_t)y / c->down * c->columns + (size_t)x / c->across;
	if (band) {
		c->band[cell] |= c->down == 4 ? bits[y % 4][x % 2] : 1;
	} else {
		c->line[cell] |= c->down == 4 ? bits[y % 4][x % 2] : 1;
		c->owner[cell] = (unsigned char)(owner + 1);
	}
}

/* Bresenham's line. */
static void draw_line(struct canvas *c, long x0, long y0, long x1, long y1, unsigned owner)
{
	long dx = labs(x1 - x0), dy = -labs(y1 - y0), sx = x0 < x1 ? 1 : -1, sy = y0 < y1 ? 1 : -1, error = dx + dy;

	for (;;) {
		long twice = 2 * error;

		set_dot(c, x0, y0, owner, false);
		if (x0 == x1 && y0 == y1)
			return;
		if (twice >= dy) {
			error += dy;
			x0 += sx;
		}
		if (twice <= dx) {
			error += dx;
			y0 += sy;
		}
	}
}

static long x_of(const struct canvas *c, int64_t ms)
{
	double part = (double)(ms - c->chart->begin_ms) / (double)(c->chart->end_ms - c->chart->begin_ms);

	return (long)(part * (double)(c->columns * c->across));
}

static long y_of(const struct canvas *c, double value)
{
	double part = (value - c->scale.low) / (c->scale.high - c->scale.low);

	part = part < 0 ? 0 : part > 1 ? 1 : part;
	return (long)((1 - part) * (double)(c->rows * c->down - 1) + 0.5);
}

static void draw_metric(struct canvas *c, unsigned owner)
{
	const struct curves *curves = c->chart->curves;
	const struct curve *metric = &curves->metrics[c->chart->which[owner]];
	unsigned before = 0;
	long before_x = -1, before_y = 0;

	for (unsigned i = 0; i < curves->step_count; i++) {
		const struct curve_step *step = &metric->steps[i];
		int64_t ms = curves_middle(curves, i);
		double average;
		long x, y;

		if (!curves_average(step, &average))
			continue;
		ms = ms < c->chart->end_ms ? ms : c->chart->end_ms - 1;
		x = x_of(c, ms > c->chart->begin_ms ? ms : c->chart->begin_ms);
		y = y_of(c, average);
		for (long at = y_of(c, step->max); at <= y_of(c, step->min) && step->max > step->min; at++)
			if ((x + at) % 2 == 0)
				set_dot(c, x, at, owner, true);
		if (before_x < 0 || curves_breaks(curves, before, i))
			set_dot(c, x, y, owner, false);
		else
			draw_line(c, before_x, before_y, x, y, owner);
		before_x = x;
		before_y = y;
		before = i;
	}
}

/* Bars as high as the greatest value of their column's time, in eighths of a cell. */
static void draw_bars(struct canvas *c)
{
	const struct curves *curves = c->chart->curves;
	const struct curve *metric = &curves->metrics[c->chart->which[0]];

	for (unsigned i = 0; i < curves->step_count; i++) {
		long x = x_of(c, curves_middle(curves, i)), filled;
		double average;

		if (!curves_average(&metric->steps[i], &average) || x < 0 || x >= (long)c->columns)
			continue;
		filled = (long)(c->rows * 8) - y_of(c, average);
		for (unsigned row = 0; row < c->rows; row++) {
			long here = filled - (long)((c->rows - 1 - row) * 8);
			unsigned char *cell = &c->line[row * c->columns + (unsigned)x];

			here = here < 0 ? 0 : here > 8 ? 8 : here;
			*cell = here > *cell ? (unsigned char)here : *cell;
			c->owner[row * c->columns + (unsigned)x] = 1;
		}
	}
}

/* ---------------------------------------------------------------------------------------------------------- text */

/* The character of a cell; its length. */
static size_t cell_text(const struct canvas *c, size_t cell, char out[4])
{
	unsigned line = c->line[cell], dots = line | c->band[cell];

	out[0] = ' ';
	if (dots == 0)
		return 1;
	if (c->chart->style == CHART_ASCII) {
		out[0] = line ? ascii_marks[(c->owner[cell] - 1) % SHOW_LINES] : ':';
		return 1;
	}
	/* U+2800 + dots, or U+2580 + eighths, as UTF-8. */
	out[0] = '\xe2';
	out[1] = c->chart->style == CHART_BRAILLE ? (char)(0xA0 | (dots >> 6)) : '\x96';
	out[2] = c->chart->style == CHART_BRAILLE ? (char)(0x80 | (dots & 0x3F)) : (char)(0x80 | dots);
	return 3;
}

static unsigned style_of(const struct canvas *c, size_t cell)
{
	return c->line[cell] ? SHOW_LINE + (c->owner[cell] - 1u) % SHOW_LINES : c->band[cell] ? SHOW_DIM : SHOW_PLAIN;
}

/* A row in runs of one colour. */
static void print_cells(const struct canvas *c, unsigned row, FILE *out)
{
	char run[3 * CHART_WIDTH_MAX + 4];
	unsigned style = SHOW_PLAIN;
	size_t len = 0;

	for (unsigned i = 0; i <= c->columns; i++) {
		size_t cell = (size_t)row * c->columns + i;
		unsigned next = i < c->columns ? style_of(c, cell) : SHOW_PLAIN;

		if (next != style || i == c->columns) {
			show_text(out, run, len);
			len = 0;
			if (style != SHOW_PLAIN)
				show_style(out, c->chart->colored, SHOW_PLAIN);
			if (next != SHOW_PLAIN)
				show_style(out, c->chart->colored, next);
			style = next;
		}
		if (i < c->columns)
			len += cell_text(c, cell, run + len);
	}
	show(out, "\n");
}

/* Whether this row has a line of the scale, and its value. */
static bool has_tick(const struct canvas *c, unsigned row, double *value)
{
	for (*value = c->scale.low; *value <= c->scale.high + c->scale.step / 2; *value += c->scale.step)
		if ((unsigned)y_of(c, *value) / c->down == row)
			return true;
	return false;
}

static void print_plot(const struct canvas *c, FILE *out)
{
	bool ascii = c->chart->style == CHART_ASCII;

	for (unsigned row = 0; row < c->rows; row++) {
		char label[32] = "";
		double value;
		bool tick = has_tick(c, row, &value);

		if (tick)
			scale_value(value, chart_unit(c->chart), label, sizeof(label));
		show(out, "%*.*s%s", LABEL_WIDTH - 1, LABEL_WIDTH - 1, label,
		     ascii  ? (tick ? "+" : "|")
		     : tick ? "┤"
			    : "│");
		print_cells(c, row, out);
	}
}

/* The axis of time: where a time stands below it, and where nothing was measured. */
static void print_axis(const struct canvas *c, const unsigned char *ticks, FILE *out)
{
	bool ascii = c->chart->style == CHART_ASCII;
	int64_t span = c->chart->end_ms - c->chart->begin_ms;

	show(out, "%*s%s", LABEL_WIDTH - 1, "", ascii ? "+" : "└");
	for (unsigned x = 0; x < c->columns; x++) {
		int64_t from = c->chart->begin_ms + span * x / c->columns,
			to = c->chart->begin_ms + span * (x + 1) / c->columns;

		if (curves_has_gap(c->chart->curves, from, to))
			show(out, "x");
		else
			show(out, "%s", ticks[x] ? (ascii ? "+" : "┬") : ascii ? "-" : "─");
	}
	show(out, "\n");
}

static void print_times(const struct canvas *c, FILE *out)
{
	const struct chart *chart = c->chart;
	int64_t span = chart->end_ms - chart->begin_ms;
	unsigned wanted = c->columns / TICKS_EVERY ? c->columns / TICKS_EVERY : 1;
	int64_t step = scale_time_step(span, wanted);
	char labels[CHART_WIDTH_MAX + 1], text[32];
	unsigned char ticks[CHART_WIDTH_MAX] = { 0 };
	size_t free_from = 0;

	memset(labels, ' ', c->columns);
	for (int64_t ms = scale_time_first(chart->begin_ms, step, chart->utc); ms < chart->end_ms; ms += step) {
		size_t x = (size_t)((ms - chart->begin_ms) * (int64_t)c->columns / span), len, at;

		scale_time(ms, step, chart->utc, text, sizeof(text));
		len = strlen(text);
		at = x >= len / 2 ? x - len / 2 : 0;
		if (at < free_from || at + len > c->columns)
			continue;
		ticks[x] = 1;
		memcpy(labels + at, text, len);
		free_from = at + len + 1;
	}
	print_axis(c, ticks, out);
	show(out, "%*s", LABEL_WIDTH, "");
	show_text(out, labels, c->columns);
	show(out, "\n");
}

void chart_numbers(const struct curve *metric, char *out, size_t size)
{
	enum catalog_unit unit = metric->known ? metric->known->unit : UNIT_NONE;
	char last[32], min[32], average[32], max[32];
	double value = 0;

	if (!curves_average(&metric->whole, &value)) {
		snprintf(out, size, "no value");
		return;
	}
	scale_value(metric->whole.last, unit, last, sizeof(last));
	scale_value(metric->whole.min, unit, min, sizeof(min));
	scale_value(value, unit, average, sizeof(average));
	scale_value(metric->whole.max, unit, max, sizeof(max));
	snprintf(out, size, "last %s  min %s  avg %s  max %s", last, min, average, max);
}

static void print_legend(const struct chart *chart, unsigned i, FILE *out)
{
	const struct curve *metric = &chart->curves->metrics[chart->which[i]];
	char numbers[160];
	size_t len, room;

	chart_numbers(metric, numbers, sizeof(numbers));
	len = strlen(numbers);
	room = chart->width > len + 6 ? chart->width - len - 6 : 10;
	show_style(out, chart->colored, SHOW_LINE + i % SHOW_LINES);
	if (chart->style == CHART_ASCII)
		show(out, "%c ", ascii_marks[i % SHOW_LINES]);
	else
		show(out, "━ ");
	show_style(out, chart->colored, SHOW_PLAIN);
	/* Of a path that is too long the end is what tells it apart. */
	if (strlen(metric->path) > room)
		show(out, "..%s", metric->path + strlen(metric->path) - room + 2);
	else
		show(out, "%s", metric->path);
	show(out, "  %.*s\n", (int)(chart->width > 4 ? chart->width - 4 : 0), numbers);
}

unsigned chart_extra_lines(const struct chart *chart)
{
	return chart->count + 2;
}

int chart_print(const struct chart *chart, FILE *out)
{
	struct canvas c = { .chart = chart, .columns = chart->width - LABEL_WIDTH, .rows = chart->height };
	_cleanup_(freep) unsigned char *cells = NULL;
	size_t size = (size_t)c.columns * c.rows;
	double min = 0, max = 0;

	for (unsigned i = 0; i < chart->count; i++)
		print_legend(chart, i, out);
	if (!chart_range(chart, &min, &max))
		return 0;
	cells = calloc(3, size);
	if (!cells)
		return -ENOMEM;
	c.line = cells;
	c.band = cells + size;
	c.owner = cells + 2 * size;
	c.across = chart->style == CHART_BRAILLE ? 2 : 1;
	c.down = chart->style == CHART_BRAILLE ? 4 : chart->style == CHART_BLOCK ? 8 : 1;
	c.scale = scale_make(min, max, chart->height > 8 ? 4 : 2, chart_unit(chart));
	if (chart->style == CHART_BLOCK)
		draw_bars(&c);
	else
		for (unsigned i = 0; i < chart->count; i++)
			draw_metric(&c, i);
	print_plot(&c, out);
	print_times(&c, out);
	return 0;
}
