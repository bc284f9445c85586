/* SPDX-License-Identifier: MIT */
/* Series as a chart of characters, or as SVG. Several metrics share one chart when they have the same unit. */
#ifndef TOOLS_INFINICTL_CHART_H
#define TOOLS_INFINICTL_CHART_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tools/infinictl/curves.h"

enum chart_style { CHART_BRAILLE, CHART_BLOCK, CHART_ASCII };

#define CHART_WIDTH_MIN	 20
#define CHART_WIDTH_MAX	 1000
#define CHART_HEIGHT_MIN 3
#define CHART_HEIGHT_MAX 200

struct chart {
	const struct curves *curves;
	unsigned which[CURVES_METRICS_MAX], count; /* of curves->metrics, in one unit */
	int64_t begin_ms, end_ms;		   /* end > begin */
	bool utc, colored;
	enum chart_style style;
	unsigned width, height; /* of the text: columns, and rows of the plot alone; of SVG: in pixels */
	const char *title;	/* of SVG; NULL: none */
};

/* The lines a chart of characters needs beside its height. */
unsigned chart_extra_lines(const struct chart *chart);

/* A legend, the plot with its axes, and where nothing was measured an x on the axis. 0 or -ENOMEM. */
int chart_print(const struct chart *chart, FILE *out);

/*
 * One <svg> element, which stands alone or in a page. Its classes: line, band, axis, grid, gap, and s0 to s5 for the
 * metrics; chart_svg_rules prints the style sheet for them, with colours for light and dark.
 */
void chart_svg(const struct chart *chart, FILE *out);
void chart_svg_rules(FILE *out);

/* The unit that its metrics have in common. */
enum catalog_unit chart_unit(const struct chart *chart);

/* The least and greatest value of all its metrics; false when there is none. */
bool chart_range(const struct chart *chart, double *min, double *max);

/* The least, greatest and newest values of a metric, as its legend says them. */
void chart_numbers(const struct curve *metric, char *out, size_t size);

#endif
