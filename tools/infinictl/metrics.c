/* SPDX-License-Identifier: MIT */
/* infinictl metrics: the metrics that a sample can have, from the catalogue alone: neither agent nor log is needed. */
#include <fnmatch.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/catalog/catalog.h"
#include "tools/infinictl/cli.h"
#include "tools/infinictl/metric.h"
#include "tools/infinictl/suggest.h"
#include "tools/infinictl/text.h"
#include "tools/show/show.h"

/* From this width on a metric is one row; below it the meaning has a line of its own. */
#define ROW_WIDTH 140

static const char help[] = "infinictl metrics [--json | --names] [PATTERN]\n"
			   "\n"
			   "Lists the numbers of a sample, as --metric and the other options take them: name, unit, "
			   "meaning. In [] stands\n"
			   "what an item of a list is chosen by: usage_stats[mount_point] is written usage_stats[/], "
			   "or usage_stats[0] by\n"
			   "its position. \"kept\" are those that the log keeps by minute and hour.\n"
			   "\n"
			   "  PATTERN   a part of the name or of the meaning; with * or ? the whole name\n"
			   "  --json    one JSON array\n"
			   "  --names   the names alone, a line each\n"
			   "\n"
			   "Exit status: 0 done, 1 none is like PATTERN, 2 wrong use.\n";

enum form { FORM_TABLE, FORM_JSON, FORM_NAMES };

/* A [ of the pattern is one of the name, not a class of characters. */
static bool matches_glob(const char *pattern, const char *name)
{
	char escaped[2 * METRIC_TEXT_MAX];
	size_t len = 0;

	for (; *pattern && len + 2 < sizeof(escaped); pattern++) {
		if (*pattern == '[' || *pattern == '\\')
			escaped[len++] = '\\';
		escaped[len++] = *pattern;
	}
	escaped[len] = '\0';
	return fnmatch(escaped, name, 0) == 0;
}

static bool is_wanted(const struct catalog_metric *metric, const char *pattern)
{
	if (!pattern)
		return true;
	if (strpbrk(pattern, "*?"))
		return matches_glob(pattern, metric->path);
	return strcasestr(metric->path, pattern) || strcasestr(metric->meaning, pattern) ||
	       catalog_find(pattern) == metric;
}

static const char *kind_name(const struct catalog_metric *metric)
{
	return metric->flags & CATALOG_COUNTER ? "counter" : "gauge";
}

static void print_row(const struct catalog_metric *metric, unsigned width)
{
	const char *kept = metric->flags & CATALOG_KEPT ? "kept" : "";
	const char *unit = catalog_unit_name(metric->unit);

	if (width == 0 || width >= ROW_WIDTH) {
		show(stdout, "%-57s %-7s %-7s %-4s  %s\n", metric->path, unit, kind_name(metric), kept,
		     metric->meaning);
		return;
	}
	show(stdout, "%-57s %-7s %-7s %s\n", metric->path, unit, kind_name(metric), kept);
	show(stdout, "    ");
	show_cut(stdout, metric->meaning, width > 12 ? width - 8 : 4);
	show(stdout, "\n");
}

static struct json_object *as_json(const struct catalog_metric *metric)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "name", json_object_new_string(metric->path));
	json_object_object_add(object, "unit", json_object_new_string(catalog_unit_name(metric->unit)));
	json_object_object_add(object, "kind", json_object_new_string(kind_name(metric)));
	json_object_object_add(object, "kept", json_object_new_boolean(metric->flags & CATALOG_KEPT));
	json_object_object_add(object, "always", json_object_new_boolean(!(metric->flags & CATALOG_SOMETIMES)));
	json_object_object_add(object, "meaning", json_object_new_string(metric->meaning));
	return object;
}

static void print_json(const char *pattern)
{
	_cleanup_(text_putp) struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < catalog_count; i++)
		if (is_wanted(&catalog_metrics[i], pattern))
			json_object_array_add(list, as_json(&catalog_metrics[i]));
	text_json(list, JSON_C_TO_STRING_PRETTY);
}

static size_t count_wanted(const char *pattern)
{
	size_t count = 0;

	for (size_t i = 0; i < catalog_count; i++)
		count += is_wanted(&catalog_metrics[i], pattern);
	return count;
}

static int tell_none(const char *pattern)
{
	char likely[3 * METRIC_TEXT_MAX];

	suggest_metrics(NULL, pattern, likely, sizeof(likely));
	return cli_fail("there is no metric \"%.100s\"%s%s", pattern, likely[0] ? "; perhaps " : "", likely);
}

static int print(enum form form, const char *pattern)
{
	unsigned width = show_width(stdout);

	if (count_wanted(pattern) == 0)
		return tell_none(pattern);
	if (form == FORM_JSON)
		print_json(pattern);
	for (size_t i = 0; i < catalog_count && form != FORM_JSON; i++) {
		if (!is_wanted(&catalog_metrics[i], pattern))
			continue;
		if (form == FORM_NAMES)
			show(stdout, "%s\n", catalog_metrics[i].path);
		else
			print_row(&catalog_metrics[i], width);
	}
	return CLI_OK;
}

int metrics_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "names", no_argument, NULL, 'n' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	enum form form = FORM_TABLE;
	int option;

	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (option == 'h')
			return cli_help(help);
		if (option != 'j' && option != 'n')
			return cli_wrong_option(option, argv);
		form = option == 'j' ? FORM_JSON : FORM_NAMES;
	}
	if (argc - optind > 1)
		return cli_usage("metrics takes one PATTERN");
	if (optind < argc && strlen(argv[optind]) >= METRIC_TEXT_MAX)
		return cli_usage("PATTERN is too long");
	return print(form, argv[optind]);
}
