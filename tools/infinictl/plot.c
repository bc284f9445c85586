/* SPDX-License-Identifier: MIT */
/* infinictl plot: metrics of the log as charts on the terminal, or as SVG. */
#include <errno.h>
#include <getopt.h>
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "tools/infinictl/chart.h"
#include "tools/infinictl/cli.h"
#include "tools/infinictl/feed.h"
#include "tools/infinictl/outfile.h"
#include "tools/infinictl/reading.h"
#include "tools/infinictl/suggest.h"
#include "tools/infinictl/text.h"
#include "tools/show/show.h"

#define FILES_MAX	64
#define SPAN_MS		86400000 /* without --begin */
#define FOLLOW_SPAN_MS	600000
#define FOLLOW_EVERY_MS 1000
#define WIDTH		80 /* where there is no terminal */
#define SVG_WIDTH	960
#define SVG_HEIGHT	280

static const char help[] =
	"infinictl plot [OPTION]... METRIC... [FILE]...\n"
	"\n"
	"Draws metrics of the log over time (`infinictl metrics` lists them; \"system.\" may be left out). Those of "
	"one\n"
	"unit share a chart. The line is the average of each step, the band behind it reaches from its least to its\n"
	"greatest value; an x on the axis says that nothing was measured.\n"
	"\n"
	"  --dir DIR       the log of another directory (default: log.dir of the configuration)\n"
	"  --begin TIME    from this time on (default: the last day; with files, all of them)\n"
	"  --end TIME      up to this time, not included\n"
	"  --follow, -f    draw anew as samples come (default: the last ten minutes)\n"
	"  --style STYLE   braille, block or ascii (default: braille where the locale is UTF-8, else ascii)\n"
	"  --width N       columns (default: those of the terminal)\n"
	"  --height N      rows of all charts together\n"
	"  --svg FILE      an SVG file instead (- for standard output)\n"
	"  --color WHEN    auto, always or never\n"
	"  --utc           times in UTC\n"
	"\n"
	"TIME: as with infinictl log.\n"
	"\n"
	"Exit status: 0 done, 1 failed (no sample, no such file, a metric without a value), 2 wrong use.\n";

struct plot {
	struct reading reading;
	struct curves curves;
	char *files[FILES_MAX];
	int file_count;
	const char *svg, *color, *style_name;
	enum chart_style style;
	unsigned width, height; /* 0: as the terminal is */
	bool begin_given;
};

/* ---------------------------------------------------------------------------------------------------- options */

static int tell_no_metric(const char *text)
{
	char likely[3 * METRIC_TEXT_MAX];

	suggest_metrics(NULL, text, likely, sizeof(likely));
	cli_fail("\"%.100s\" is neither a metric nor a file%s%s", text, likely[0] ? "; perhaps " : "", likely);
	return CLI_USAGE;
}

static int take_metric(struct plot *p, const char *text)
{
	struct err err = { 0 };

	if (!catalog_find(text))
		return tell_no_metric(text);
	return curves_name(&p->curves, text, &err) ? cli_usage("%s", err.text) : CLI_OK;
}

/* A metric, or a file of the log. */
static int take_argument(struct plot *p, char *text)
{
	if (catalog_find(text) || access(text, F_OK) != 0)
		return take_metric(p, text);
	if (p->file_count == FILES_MAX)
		return cli_usage("more than %d files", FILES_MAX);
	p->files[p->file_count++] = text;
	return CLI_OK;
}

static int take_number(const char *option, const char *text, unsigned least, unsigned most, unsigned *ret)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || number < least || number > most)
		return cli_usage("--%s needs a number from %u to %u", option, least, most);
	*ret = (unsigned)number;
	return CLI_OK;
}

static int take_style(struct plot *p, const char *text)
{
	static const char *const names[] = {
		[CHART_BRAILLE] = "braille", [CHART_BLOCK] = "block", [CHART_ASCII] = "ascii"
	};

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(text, names[i])) {
			p->style = (enum chart_style)i;
			p->style_name = text;
			return CLI_OK;
		}
	return cli_usage("--style: \"%.40s\" is none of braille, block and ascii", text);
}

static int take_option(struct plot *p, int option, char *const argv[])
{
	switch (option) {
	case 'f':
		p->reading.follow = true;
		return CLI_OK;
	case 's':
		p->svg = optarg;
		return CLI_OK;
	case 'S':
		return take_style(p, optarg);
	case 'W':
		return take_number("width", optarg, CHART_WIDTH_MIN, CHART_WIDTH_MAX, &p->width);
	case 'H':
		return take_number("height", optarg, CHART_HEIGHT_MIN, CHART_HEIGHT_MAX, &p->height);
	case 'c':
		return cli_color_option(optarg, &p->color);
	default:
		return cli_wrong_option(option, argv);
	}
}

static int parse_options(int argc, char **argv, struct plot *p)
{
	static const struct option options[] = {
		READING_OPTIONS,
		{ "follow", no_argument, NULL, 'f' },
		{ "svg", required_argument, NULL, 's' },
		{ "style", required_argument, NULL, 'S' },
		{ "width", required_argument, NULL, 'W' },
		{ "height", required_argument, NULL, 'H' },
		{ "color", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option, rc = CLI_OK;

	while (!rc && (option = getopt_long(argc, argv, ":fh", options, NULL)) != -1) {
		if (option == 'h')
			return cli_help(help) ? CLI_FAILED : -1;
		p->begin_given |= option == 'b';
		rc = reading_option(&p->reading, option, optarg);
		if (rc < 0)
			rc = take_option(p, option, argv);
	}
	for (; !rc && optind < argc; optind++)
		rc = take_argument(p, argv[optind]);
	if (!rc && p->curves.metric_count == 0)
		return cli_usage("plot needs a metric, such as cpu.usage_percent");
	if (!rc && p->reading.follow && (p->svg || p->reading.end_ms != INT64_MAX || p->file_count))
		return cli_usage("--follow goes with neither --svg, --end nor files");
	return rc;
}

/* Whether the locale of the environment has the characters of braille. */
static bool speaks_utf8(void)
{
	locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
	bool utf8 = locale && !strcmp(nl_langinfo_l(CODESET, locale), "UTF-8");

	if (locale)
		freelocale(locale);
	return utf8;
}

/* ------------------------------------------------------------------------------------------------------ charts */

/* The metrics from `i` on that have its unit and have not been drawn. `apart`: it alone. */
static void gather(struct plot *p, unsigned i, bool *drawn, bool apart, struct chart *chart)
{
	const struct curves *curves = &p->curves;

	chart->count = 0;
	for (unsigned j = i; j < curves->metric_count; j++) {
		if (drawn[j] || curves->metrics[j].known->unit != curves->metrics[i].known->unit || (apart && j != i))
			continue;
		drawn[j] = true;
		chart->which[chart->count++] = j;
	}
}

/* Every chart in turn, or their number when `draw` is NULL. */
static unsigned each_chart(struct plot *p, struct chart *chart, int (*draw)(const struct chart *, FILE *), FILE *out,
			   int *rc)
{
	bool drawn[CURVES_METRICS_MAX] = { false };
	unsigned count = 0;

	for (unsigned i = 0; i < p->curves.metric_count; i++) {
		if (drawn[i])
			continue;
		gather(p, i, drawn, chart->style == CHART_BLOCK, chart);
		count++;
		if (draw && !*rc)
			*rc = draw(chart, out);
	}
	return count;
}

/* Columns of the charts. */
static unsigned text_width(const struct plot *p)
{
	unsigned width = p->width ? p->width : show_width(stdout) ? show_width(stdout) : WIDTH;

	return width < CHART_WIDTH_MIN ? CHART_WIDTH_MIN : width > CHART_WIDTH_MAX ? CHART_WIDTH_MAX : width;
}

static int draw_text(struct plot *p, struct chart *chart)
{
	unsigned lines = show_height(stdout), charts, extra, rc_lines;
	int rc = 0;

	chart->style = p->style;
	chart->width = text_width(p);
	charts = each_chart(p, chart, NULL, NULL, NULL);
	extra = p->curves.metric_count + 2 * charts + 1; /* and the prompt */
	rc_lines = p->height ? p->height : lines ? lines : 24;
	chart->height = charts && rc_lines > extra ? (rc_lines - extra) / charts : 0;
	if (chart->height < CHART_HEIGHT_MIN)
		chart->height = CHART_HEIGHT_MIN;
	if (chart->height > CHART_HEIGHT_MAX)
		chart->height = CHART_HEIGHT_MAX;
	each_chart(p, chart, chart_print, stdout, &rc);
	return rc ? cli_fail("out of memory") : CLI_OK;
}

/* One file holds one picture: the charts below each other. */
static int draw_svg(struct plot *p, struct chart *chart)
{
	struct err err = { 0 };
	FILE *out = NULL;
	bool drawn[CURVES_METRICS_MAX] = { false };
	unsigned charts, at = 0;

	if (outfile_open(p->svg, &out, &err))
		return cli_fail("%s", err.text);
	chart->style = CHART_BRAILLE;
	chart->width = SVG_WIDTH;
	chart->height = SVG_HEIGHT;
	charts = each_chart(p, chart, NULL, NULL, NULL);
	show_words(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
	show(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%u\"><style>\n", SVG_WIDTH,
	     charts * SVG_HEIGHT);
	chart_svg_rules(out);
	show(out, "</style>\n");
	for (unsigned i = 0; i < p->curves.metric_count; i++) {
		if (drawn[i])
			continue;
		gather(p, i, drawn, false, chart);
		show(out, "<g transform=\"translate(0,%u)\">\n", at++ * SVG_HEIGHT);
		chart_svg(chart, out);
		show(out, "</g>\n");
	}
	show(out, "</svg>\n");
	return outfile_close(out, p->svg, &err) ? cli_fail("%s", err.text) : CLI_OK;
}

/* Says which metrics had no value at all. */
static int tell_missing(const struct plot *p)
{
	int rc = CLI_OK;

	for (unsigned i = 0; i < p->curves.metric_count; i++)
		if (p->curves.metrics[i].whole.count == 0)
			rc = cli_fail("%s: no value in any of the samples", p->curves.metrics[i].path);
	return rc;
}

/* ------------------------------------------------------------------------------------------------------- reading */

static struct chart chart_of(struct plot *p)
{
	const struct curves *curves = &p->curves;
	struct chart chart = { .curves = curves, .utc = p->reading.utc, .colored = show_colored(stdout, p->color) };

	chart.begin_ms = p->reading.begin_ms != INT64_MIN && p->begin_given ? p->reading.begin_ms : curves->first_ms;
	chart.end_ms = p->reading.end_ms != INT64_MAX ? p->reading.end_ms : curves->last_ms + 1;
	if (chart.end_ms <= chart.begin_ms)
		chart.end_ms = chart.begin_ms + 1;
	return chart;
}

/* Reads the span and draws it once. */
static int draw(struct plot *p)
{
	int rc = reading_open(&p->reading, p->file_count, p->files);
	struct chart chart;

	if (rc)
		return rc;
	rc = feed_curves(&p->reading, &p->curves, p->svg ? SVG_WIDTH : 4 * text_width(p));
	if (!rc && p->curves.samples) {
		chart = chart_of(p);
		rc = p->svg ? draw_svg(p, &chart) : draw_text(p, &chart);
	}
	return rc;
}

static int follow(struct plot *p)
{
	int64_t span_ms = p->begin_given ? moment_now().wall_ms - p->reading.begin_ms : FOLLOW_SPAN_MS;
	const char *dir = p->reading.dir;
	int rc;

	for (;;) {
		p->reading.dir = dir;
		p->reading.begin_ms = moment_now().wall_ms - span_ms;
		show_home(stdout);
		rc = draw(p);
		fflush(stdout);
		if (rc)
			return rc;
		reader_wait(p->reading.reader, FOLLOW_EVERY_MS);
		reading_close(&p->reading);
		curves_reset(&p->curves);
	}
}

int plot_main(int argc, char **argv)
{
	_cleanup_(freep) struct plot *p = calloc(1, sizeof(*p));
	int rc, reported = CLI_OK;

	if (!p)
		return cli_fail("out of memory");
	reading_init(&p->reading);
	p->color = "auto";
	rc = parse_options(argc, argv, p);
	if (rc)
		return rc < 0 ? CLI_OK : rc;
	if (!p->style_name)
		p->style = speaks_utf8() ? CHART_BRAILLE : CHART_ASCII;
	if (p->reading.follow)
		return follow(p);
	if (!p->begin_given && !p->file_count && p->reading.end_ms == INT64_MAX)
		p->reading.begin_ms = moment_now().wall_ms - SPAN_MS;
	rc = draw(p);
	if (p->reading.reader) {
		reported = reading_report(&p->reading, false);
		if (p->curves.left_out)
			cli_fail("samples whose time lies before the first one's, left out: %llu",
				 (unsigned long long)p->curves.left_out);
		if (!p->curves.samples && !reported)
			reported = CLI_FAILED;
		else if (tell_missing(p) && !reported)
			reported = CLI_FAILED;
	}
	curves_done(&p->curves);
	reading_close(&p->reading);
	return rc ? rc : reported;
}
