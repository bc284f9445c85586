/* SPDX-License-Identifier: MIT */
/* A chart as SVG: a band from the least to the greatest value of each step, the average as a line, both broken at gaps.
 */
#include <string.h>

#include "tools/infinictl/chart.h"
#include "tools/infinictl/scale.h"
#include "tools/infinictl/text.h"
#include "tools/show/show.h"

#define LEFT	64
#define RIGHT	12
#define BOTTOM	24
#define LEGEND	18 /* a line of it */
#define CLASSES 6

struct frame {
	const struct chart *chart;
	struct scale scale;
	double top, width, height; /* of the plot */
};

void chart_svg_rules(FILE *out)
{
	show_words(
		out,
		":root{color-scheme:light dark;--ink:#1b1f24;--soft:#5c6670;--rule:#d8dde3;--paper:#fff;--gap:#f3d9a4;"
		"--s0:#0b63c5;--s1:#b3400f;--s2:#1a7f37;--s3:#8250df;--s4:#9a6700;--s5:#bf3989}\n"
		"@media "
		"(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa4ae;--rule:#363c44;--paper:#0f1318;--gap:#"
		"4d3d14;"
		"--s0:#6cb0ff;--s1:#ff9466;--s2:#57d16f;--s3:#c3a2ff;--s4:#e3b341;--s5:#ff8ac4}}\n"
		"svg{background:var(--paper);font:12px system-ui,sans-serif}\n"
		"svg text{fill:var(--soft)}svg .name{fill:var(--ink)}svg .title{fill:var(--ink);font-weight:600}\n"
		".grid{stroke:var(--rule);stroke-width:1}.gap{fill:var(--gap)}.line{fill:none;stroke-width:1.6;stroke-"
		"linejoin:round}.band{opacity:.22;stroke:none}\n");
	for (unsigned i = 0; i < CLASSES; i++)
		show(out, ".line.s%u{stroke:var(--s%u)}.band.s%u,.key.s%u{fill:var(--s%u)}\n", i, i, i, i, i);
}

static double x_of(const struct frame *f, int64_t ms)
{
	double part = (double)(ms - f->chart->begin_ms) / (double)(f->chart->end_ms - f->chart->begin_ms);

	return LEFT + f->width * (part < 0 ? 0 : part > 1 ? 1 : part);
}

static double y_of(const struct frame *f, double value)
{
	double part = (value - f->scale.low) / (f->scale.high - f->scale.low);

	return f->top + f->height * (1 - (part < 0 ? 0 : part > 1 ? 1 : part));
}

/* The next step with a value at or after `i`; step_count if there is none. */
static unsigned next_step(const struct curves *curves, const struct curve *metric, unsigned i)
{
	while (i < curves->step_count && metric->steps[i].count == 0)
		i++;
	return i;
}

/* The end of the run of steps that begins at `from` and has no gap in it. */
static unsigned run_end(const struct curves *curves, const struct curve *metric, unsigned from)
{
	unsigned last = from, next;

	while ((next = next_step(curves, metric, last + 1)) < curves->step_count && !curves_breaks(curves, last, next))
		last = next;
	return last;
}

static void draw_band(const struct frame *f, const struct curve *metric, unsigned class, unsigned from, unsigned to,
		      FILE *out)
{
	const struct curves *curves = f->chart->curves;
	bool any = false;

	for (unsigned i = from; i <= to; i++)
		any |= metric->steps[i].count > 0 && metric->steps[i].max > metric->steps[i].min;
	if (!any)
		return;
	show(out, "<polygon class=\"band s%u\" points=\"", class);
	for (unsigned i = from; i <= to; i++)
		if (metric->steps[i].count)
			show(out, "%.1f,%.1f ", x_of(f, curves_middle(curves, i)), y_of(f, metric->steps[i].max));
	for (unsigned i = to + 1; i-- > from;)
		if (metric->steps[i].count)
			show(out, "%.1f,%.1f ", x_of(f, curves_middle(curves, i)), y_of(f, metric->steps[i].min));
	show(out, "\"/>\n");
}

static void draw_average(const struct frame *f, const struct curve *metric, unsigned class, unsigned from, unsigned to,
			 FILE *out)
{
	const struct curves *curves = f->chart->curves;

	show(out, "<polyline class=\"line s%u\" points=\"", class);
	for (unsigned i = from; i <= to; i++) {
		double average, x = x_of(f, curves_middle(curves, i));

		if (!curves_average(&metric->steps[i], &average))
			continue;
		show(out, "%.1f,%.1f ", x, y_of(f, average));
		if (from == to) /* a single value is a short stroke */
			show(out, "%.1f,%.1f ", x + 2, y_of(f, average));
	}
	show(out, "\"/>\n");
}

static void draw_metric(const struct frame *f, unsigned i, FILE *out)
{
	const struct curves *curves = f->chart->curves;
	const struct curve *metric = &curves->metrics[f->chart->which[i]];

	for (unsigned from = next_step(curves, metric, 0); from < curves->step_count;) {
		unsigned to = run_end(curves, metric, from);

		draw_band(f, metric, i % CLASSES, from, to, out);
		draw_average(f, metric, i % CLASSES, from, to, out);
		from = next_step(curves, metric, to + 1);
	}
}

static void draw_gaps(const struct frame *f, FILE *out)
{
	const struct curves *curves = f->chart->curves;

	for (unsigned i = 0; i < curves->gap_count; i++) {
		double from = x_of(f, curves->gaps[i].begin_ms), to = x_of(f, curves->gaps[i].end_ms);
		char begin[TEXT_TIME_SIZE], end[TEXT_TIME_SIZE];

		text_time(curves->gaps[i].begin_ms, f->chart->utc, true, begin);
		text_time(curves->gaps[i].end_ms, f->chart->utc, true, end);
		show(out,
		     "<rect class=\"gap\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>nothing was "
		     "measured: %s to %s</title></rect>\n",
		     from, f->top, to - from > 1 ? to - from : 1, f->height, begin, end);
	}
}

static void draw_axes(const struct frame *f, FILE *out)
{
	const struct chart *chart = f->chart;
	int64_t step = scale_time_step(chart->end_ms - chart->begin_ms, (unsigned)(f->width / 90) + 1);
	char text[40];

	for (double value = f->scale.low; value <= f->scale.high + f->scale.step / 2; value += f->scale.step) {
		double y = y_of(f, value);

		scale_value(value, chart_unit(chart), text, sizeof(text));
		show(out,
		     "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/><text x=\"%d\" y=\"%.1f\" "
		     "text-anchor=\"end\">%s</text>\n",
		     LEFT, y, LEFT + f->width, y, LEFT - 6, y + 4, text);
	}
	for (int64_t ms = scale_time_first(chart->begin_ms, step, chart->utc); ms < chart->end_ms; ms += step) {
		scale_time(ms, step, chart->utc, text, sizeof(text));
		show(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x_of(f, ms),
		     f->top + f->height + 16, x_of(f, ms) > LEFT + f->width - 24 ? "end" : "middle", text);
	}
}

static void draw_legend(const struct frame *f, double top, FILE *out)
{
	const struct chart *chart = f->chart;
	char numbers[160];

	for (unsigned i = 0; i < chart->count; i++) {
		const struct curve *metric = &chart->curves->metrics[chart->which[i]];

		chart_numbers(metric, numbers, sizeof(numbers));
		show(out,
		     "<rect class=\"key s%u\" x=\"%d\" y=\"%.0f\" width=\"12\" height=\"4\"/><text class=\"name\" "
		     "x=\"%d\" y=\"%.0f\">",
		     i % CLASSES, LEFT, top + i * LEGEND + 6, LEFT + 18, top + i * LEGEND + 12);
		show_markup(out, metric->path);
		show(out, "</text><text x=\"%.0f\" y=\"%.0f\" text-anchor=\"end\">", LEFT + f->width,
		     top + i * LEGEND + 12);
		show_markup(out, numbers);
		show(out, "</text>\n");
	}
}

void chart_svg(const struct chart *chart, FILE *out)
{
	double title = chart->title ? LEGEND + 4 : 0, top = title + LEGEND * chart->count + 8, min = 0, max = 0;
	struct frame f = {
		.chart = chart, .top = top, .width = chart->width - LEFT - RIGHT, .height = chart->height - top - BOTTOM
	};
	bool any = chart_range(chart, &min, &max);

	if (any)
		f.scale = scale_make(min, max, 4, chart_unit(chart));
	show(out,
	     "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %u %u\" width=\"%u\" height=\"%u\" role=\"img\"",
	     chart->width, chart->height, chart->width, chart->height);
	/* What the corners of the plot stand for, for whoever reads the picture by program. */
	show(out,
	     " data-begin=\"%lld\" data-end=\"%lld\" data-low=\"%.17g\" data-high=\"%.17g\" data-plot=\"%d %.0f %.0f "
	     "%.0f\">\n",
	     (long long)chart->begin_ms, (long long)chart->end_ms, f.scale.low, f.scale.high, LEFT, f.top, f.width,
	     f.height);
	if (chart->title) {
		show(out, "<text class=\"title\" x=\"%d\" y=\"14\">", LEFT);
		show_markup(out, chart->title);
		show(out, "</text>\n");
	}
	draw_legend(&f, title, out);
	if (any) {
		draw_gaps(&f, out);
		draw_axes(&f, out);
		for (unsigned i = 0; i < chart->count; i++)
			draw_metric(&f, i, out);
	}
	show(out, "</svg>\n");
}
