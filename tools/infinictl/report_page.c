/* SPDX-License-Identifier: MIT */
/*
 * The page. Whatever comes from the log goes through show_markup: names of a guest's disks and interfaces are text,
 * never markup. The page has no script, and forbids itself any (Content-Security-Policy).
 */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/log/tiers.h"
#include "tools/infinictl/chart.h"
#include "tools/infinictl/cli.h"
#include "tools/infinictl/feed.h"
#include "tools/infinictl/report.h"
#include "tools/infinictl/scale.h"
#include "tools/infinictl/text.h"
#include "tools/show/show.h"

#define STEPS	       480
#define CHART_WIDTH    960
#define CHART_PLOT     190 /* without its legend */
#define LEGEND_HEIGHT  18
#define DISKS_MAX      6
#define INTERFACES_MAX 4
#define EVENTS_SHOWN   500

/* ------------------------------------------------------------------------------------------------- what is shown */

static void begin_chart(struct report_span *span, const char *title)
{
	if (span->chart_count == REPORT_CHARTS_MAX)
		return;
	snprintf(span->charts[span->chart_count++].title, sizeof(span->charts[0].title), "%s", title);
}

/* A metric of the chart begun last; what is no metric is passed over. */
static void take_curve(struct report_span *span, const char *path)
{
	struct report_chart *chart = &span->charts[span->chart_count - 1];
	struct err err = { 0 };

	if (curves_name(&span->curves, path, &err) == 0)
		chart->which[chart->count++] = span->curves.metric_count - 1;
}

static void take_usual(struct report_span *span)
{
	static const struct {
		const char *title, *paths[4];
	} charts[] = {
		{ "Processors",
		  { "system.cpu.usage_percent", "system.cpu.iowait_percent", "system.cpu.steal_percent" } },
		{ "Load", { "system.load_average.load_1min" } },
		{ "Memory", { "system.memory.used_kb", "system.memory.available_kb", "system.memory.swap_used_kb" } },
		{ "Pressure",
		  { "system.pressure.cpu.some.avg60_percent", "system.pressure.memory.some.avg60_percent",
		    "system.pressure.io.some.avg60_percent" } },
		{ "Disks, read and written",
		  { "system.disk.io_stats.read_bytes_per_sec", "system.disk.io_stats.write_bytes_per_sec" } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(charts); i++) {
		begin_chart(span, charts[i].title);
		for (unsigned j = 0; j < ARRAY_SIZE(charts[i].paths) && charts[i].paths[j]; j++)
			take_curve(span, charts[i].paths[j]);
	}
}

/* The items of a list, each with these of its numbers, in one chart. */
static void take_items(struct report_span *span, struct json_object *list, const char *key, const char *before,
		       const char *const members[], unsigned most)
{
	size_t count = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < count && i < most; i++) {
		struct json_object *item = json_object_array_get_idx(list, i);
		const char *name = json_object_is_type(item, json_type_object) ? text_string(item, key) : "";
		char path[METRIC_TEXT_MAX];

		if (!*name || strpbrk(name, "[]"))
			continue;
		for (unsigned j = 0; members[j]; j++)
			if (snprintf(path, sizeof(path), "%s[%s].%s", before, name, members[j]) < (int)sizeof(path))
				take_curve(span, path);
	}
}

/* Disks, interfaces and names as the first sample that has them tells. */
static void take_first(struct report_span *span, struct json_object *data)
{
	static const char *const used[] = { "used_gb", NULL }, *const rates[] = { "rx_bytes_per_sec",
										  "tx_bytes_per_sec", NULL };
	struct json_object *system = text_member(data, "system", NULL);

	begin_chart(span, "File systems, used");
	take_items(span, text_member(system, "disk", "usage_stats", NULL), "mount_point", "system.disk.usage_stats",
		   used, DISKS_MAX);
	begin_chart(span, "Network, received and sent");
	take_items(span, text_member(system, "network", "interfaces", NULL), "name", "system.network.interfaces", rates,
		   INTERFACES_MAX);
	snprintf(span->host, sizeof(span->host), "%s", text_string(system, "hostname"));
	snprintf(span->system, sizeof(span->system), "%s %s", text_string(system, "name"),
		 text_string(system, "os_version"));
}

/* True when a line told of them. */
static bool take_lists(struct report_span *span, struct json_object *message)
{
	struct json_object *system = text_member(message, "data", "system", NULL);
	bool has =
		text_member(system, "disk", "usage_stats", NULL) && text_member(system, "network", "interfaces", NULL);

	if (has)
		take_first(span, text_member(message, "data", NULL));
	return has;
}

/* Where the samples of the span are gone: its summaries have the same lists, but no names of host and system. */
static bool choose_from_tier(struct report_span *span, const char *tier)
{
	struct reading reading = { .begin_ms = span->reading.begin_ms, .end_ms = span->reading.end_ms };
	struct json_object *message = NULL;
	struct reader_line line;
	char dir[PATH_MAX];
	bool has = false;

	if (snprintf(dir, sizeof(dir), "%s/%s", span->reading.dir, tier) >= (int)sizeof(dir) ||
	    reader_open_dir(dir, &reading.reader, NULL) < 0)
		return false;
	reader_range(reading.reader, reading.begin_ms, reading.end_ms);
	while (!has && reading_next(&reading, &line, &message) == 1) {
		has = take_lists(span, message);
		json_object_put(message);
	}
	reading_close(&reading);
	return has;
}

int report_choose(struct report_span *span)
{
	struct json_object *message = NULL;
	struct reader_line line;
	bool has = false;

	take_usual(span);
	while (!has && reading_next(&span->reading, &line, &message) == 1) {
		has = take_lists(span, message);
		json_object_put(message);
	}
	if (!has && span->reading.dir && !choose_from_tier(span, TIER_MINUTE_DIR))
		choose_from_tier(span, TIER_HOUR_DIR);
	return CLI_OK;
}

int report_numbers(struct report_span *span)
{
	int rc;

	span->curves.percentiles = true;
	rc = feed_curves(&span->reading, &span->curves, STEPS);
	span->begin_ms = span->reading.begin_ms != INT64_MIN ? span->reading.begin_ms : span->curves.first_ms;
	span->end_ms = span->reading.end_ms != INT64_MAX ? span->reading.end_ms : span->curves.last_ms + 1;
	if (span->end_ms <= span->begin_ms)
		span->end_ms = span->begin_ms + 1;
	return rc;
}

/* ------------------------------------------------------------------------------------------------------ the page */

static void page_head(FILE *out, const struct report_span *span)
{
	show_words(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
			"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
			"'unsafe-inline'\">\n"
			"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Report");
	if (span->host[0])
		show(out, " of ");
	show_markup(out, span->host);
	show_words(out, "</title>\n<style>\n");
	chart_svg_rules(out);
	show_words(
		out,
		"body{margin:0 auto;max-width:62rem;padding:1rem;font:15px/1.45 "
		"system-ui,sans-serif;color:var(--ink);background:var(--paper)}\n"
		"h1{font-size:1.5rem;margin:.2rem 0}h2{font-size:1.1rem;margin:1.6rem 0 "
		".4rem}p{color:var(--soft);margin:.2rem 0}\n"
		"svg{max-width:100%;height:auto;display:block}\n"
		".wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.87rem}\n"
		"th,td{text-align:right;padding:.2rem .5rem;border-bottom:1px solid var(--rule);white-space:nowrap}\n"
		"th:first-child,td:first-child,td.words,th.words{text-align:left}td.words{white-space:normal;overflow-"
		"wrap:anywhere}\n"
		"tr.warn td:nth-child(2){color:var(--s4);font-weight:600}tr.error "
		"td:nth-child(2){color:var(--s1);font-weight:600}\n"
		"@media "
		"print{:root{--ink:#000;--soft:#444;--rule:#bbb;--paper:#fff;--gap:#e8e0d0;--s0:#0b63c5;--s1:#b3400f;--"
		"s2:#1a7f37;--s3:#8250df;--s4:#9a6700;--s5:#bf3989}"
		"body{max-width:none;padding:0;font-size:11px}svg,tr,h2{break-inside:avoid}h2{break-after:avoid}thead{"
		"display:table-header-group}}\n"
		"</style>\n</head>\n<body>\n");
}

static void page_span(FILE *out, const struct report_span *span, const char *word)
{
	char begin[TEXT_TIME_SIZE], end[TEXT_TIME_SIZE];
	int64_t away_ms = 0;

	for (unsigned i = 0; i < span->curves.gap_count; i++)
		away_ms += span->curves.gaps[i].end_ms - span->curves.gaps[i].begin_ms;
	text_time(span->begin_ms, span->reading.utc, true, begin);
	text_time(span->end_ms, span->reading.utc, true, end);
	show(out,
	     "<p class=\"span\">%s<b>%s</b> to <b>%s</b> %s; %llu samples, one each %.3g s; nothing was measured for "
	     "%lld s (%u gaps)</p>\n",
	     word, begin, end, span->reading.utc ? "UTC" : "local time", (unsigned long long)span->curves.samples,
	     (double)span->curves.interval_ms / 1000, (long long)(away_ms / 1000), span->curves.gap_count);
	if (span->curves.summed)
		show(out,
		     "<p class=\"summed\">%llu of the samples are read from the log's summaries: least, average, "
		     "greatest "
		     "and last values are theirs, p50 and p95 those of the summaries' averages.</p>\n",
		     (unsigned long long)span->curves.summed);
}

static void page_chart(FILE *out, const struct report_span *span, const struct report_chart *shown)
{
	struct chart chart = { .curves = &span->curves,
			       .count = shown->count,
			       .begin_ms = span->begin_ms,
			       .end_ms = span->end_ms,
			       .utc = span->reading.utc,
			       .width = CHART_WIDTH,
			       .height = CHART_PLOT + LEGEND_HEIGHT * shown->count };

	memcpy(chart.which, shown->which, sizeof(chart.which));
	chart_svg(&chart, out);
}

static void cell_number(FILE *out, const struct curve *curve, enum aggregate_kind kind, double percent)
{
	struct aggregate values = curve->values; /* its memory is sorted, which changes nothing */
	char text[40] = "&ndash;";
	double number;

	if (aggregate_result(&values, (struct aggregate_function){ kind, percent }, &number))
		scale_value(number, curve->known->unit, text, sizeof(text));
	show(out, "<td>%s</td>", text);
}

static void page_numbers(FILE *out, const struct report_span *span, const struct report_chart *shown)
{
	show_words(out, "<div class=\"wide\"><table "
			"class=\"numbers\"><thead><tr><th>metric</th><th>values</th><th>min</th><th>average</"
			"th><th>p50</th><th>p95</th><th>max</th>"
			"<th>last</th></tr></thead><tbody>\n");
	for (unsigned i = 0; i < shown->count; i++) {
		const struct curve *curve = &span->curves.metrics[shown->which[i]];

		show(out, "<tr><td>");
		show_markup(out, curve->path);
		show(out, "</td><td>%llu</td>", (unsigned long long)curve->values.count);
		cell_number(out, curve, AGGREGATE_MIN, 0);
		cell_number(out, curve, AGGREGATE_AVERAGE, 0);
		cell_number(out, curve, AGGREGATE_PERCENTILE, 50);
		cell_number(out, curve, AGGREGATE_PERCENTILE, 95);
		cell_number(out, curve, AGGREGATE_MAX, 0);
		cell_number(out, curve, AGGREGATE_LAST, 0);
		show(out, "</tr>\n");
	}
	show_words(out, "</tbody></table></div>\n");
}

static bool has_values(const struct report_span *span, const struct report_chart *chart)
{
	for (unsigned i = 0; i < chart->count; i++)
		if (span->curves.metrics[chart->which[i]].whole.count)
			return true;
	return false;
}

static void page_charts(FILE *out, const struct report_span *spans, unsigned count)
{
	for (unsigned i = 0; i < spans[0].chart_count; i++) {
		const struct report_chart *chart = &spans[0].charts[i];

		if (!has_values(&spans[0], chart))
			continue;
		show(out, "<section><h2>");
		show_markup(out, chart->title);
		show(out, "</h2>\n");
		for (unsigned j = 0; j < count; j++) {
			if (i >= spans[j].chart_count || !has_values(&spans[j], &spans[j].charts[i]))
				continue;
			if (count > 1)
				show(out, "<p>%s</p>\n", j ? "compared with" : "this span");
			page_chart(out, &spans[j], &spans[j].charts[i]);
			page_numbers(out, &spans[j], &spans[j].charts[i]);
		}
		show(out, "</section>\n");
	}
}

/* ------------------------------------------------------------------------------------------------------- two spans */

/* The curve of the same path. */
static const struct curve *same_curve(const struct report_span *span, const char *path)
{
	for (unsigned i = 0; i < span->curves.metric_count; i++)
		if (!strcmp(span->curves.metrics[i].path, path))
			return &span->curves.metrics[i];
	return NULL;
}

static void page_comparison(FILE *out, const struct report_span *spans)
{
	show_words(
		out,
		"<section><h2>Compared, on average</h2><div class=\"wide\"><table "
		"class=\"compare\"><thead><tr><th>metric</th><th>this span</th><th>the other</th><th>change</th></tr>"
		"</thead><tbody>\n");
	for (unsigned i = 0; i < spans[0].curves.metric_count; i++) {
		const struct curve *curve = &spans[0].curves.metrics[i], *other = same_curve(&spans[1], curve->path);
		double here, there;

		if (!other || !curves_average(&curve->whole, &here) || !curves_average(&other->whole, &there))
			continue;
		show(out, "<tr><td>");
		show_markup(out, curve->path);
		show(out, "</td>");
		cell_number(out, curve, AGGREGATE_AVERAGE, 0);
		cell_number(out, other, AGGREGATE_AVERAGE, 0);
		if (there > 0 || there < 0)
			show(out, "<td>%+.1f %%</td></tr>\n", (here - there) * 100 / there);
		else
			show_words(out, "<td>&ndash;</td></tr>\n");
	}
	show_words(out, "</tbody></table></div></section>\n");
}

/* ---------------------------------------------------------------------------------------------------------- events */

static void page_events(FILE *out, const struct report_span *span, const char *title)
{
	static const char *const weights[] = { "info", "warn", "error" };
	size_t first = span->events.count > EVENTS_SHOWN ? span->events.count - EVENTS_SHOWN : 0;

	show(out, "<section><h2>%s</h2>\n", title);
	if (first || span->events.dropped)
		show(out, "<p>The newest %d; %llu older ones are left out.</p>\n", EVENTS_SHOWN,
		     (unsigned long long)first + span->events.dropped);
	if (!span->events.count)
		show(out, "<p>None.</p>\n");
	show_words(out, "<table class=\"events\"><thead><tr><th>time</th><th class=\"words\">kind</th><th "
			"class=\"words\">what</th></tr></thead><tbody>\n");
	for (size_t i = first; i < span->events.count; i++) {
		const struct event *event = &span->events.list[i];
		char time[TEXT_TIME_SIZE];

		text_time(event->wall_ms, span->reading.utc, true, time);
		show(out, "<tr class=\"%s\"><td>%s</td><td class=\"words\">%s</td><td class=\"words\">",
		     weights[event->weight], time, event_kind_name(event->kind));
		show_markup(out, event->text);
		show(out, "</td></tr>\n");
	}
	show_words(out, "</tbody></table></section>\n");
}

void report_page(FILE *out, const struct report_span *spans, unsigned count)
{
	page_head(out, spans);
	show(out, "<h1>");
	show_markup(out, spans->host[0] ? spans->host : "Report");
	show_words(out, "</h1>\n<p>");
	show_markup(out, spans->system);
	show(out, "</p>\n");
	page_span(out, &spans[0], "");
	if (count > 1)
		page_span(out, &spans[1], "compared with ");
	if (!spans->curves.samples)
		show(out, "<p>There is no sample in this span.</p>\n");
	if (count > 1)
		page_comparison(out, spans);
	page_events(out, &spans[0], "Events");
	if (count > 1)
		page_events(out, &spans[1], "Events of the other span");
	page_charts(out, spans, count);
	show_words(out, "</body>\n</html>\n");
}
