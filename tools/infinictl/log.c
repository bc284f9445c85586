/* SPDX-License-Identifier: MIT */
/* infinictl log: the metric log as a table, as chosen values, added up by spans, or as the lines themselves. */
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "tools/infinictl/cli.h"
#include "tools/infinictl/log.h"
#include "tools/infinictl/text.h"
#include "tools/infinictl/timespec.h"
#include "tools/show/show.h"

#define FOLLOW_WAIT_MS 1000
/* Time after which a sample is certainly in its file. */
#define WRITTEN_AFTER_MS 500
/* Bytes of the newest lines that --lines holds at most. */
#define KEPT_BYTES_MAX (256u << 20)

static const char help[] =
	"infinictl log [OPTION]... [FILE]...\n"
	"\n"
	"Prints the metric log, oldest first: a table, or with --metric, --process or --output what these say. Works\n"
	"whether or not the agent runs, and on copied files (plain or .zst).\n"
	"\n"
	"  --dir DIR       the log of another directory (default: log.dir of the configuration)\n"
	"  --begin TIME    from this time on\n"
	"  --end TIME      up to this time, not included\n"
	"  --lines N       the newest N alone (the newest is the last one printed)\n"
	"  --follow, -f    go on with what is being written, until --end has come\n"
	"  --where EXPR    the samples alone for which this holds: 'cpu.steal_percent > 10 and not\n"
	"                  memory.available_kb > 512M'; compared are metrics and numbers (with %, K, M, G, /s, ms, s,\n"
	"                  h, d) by <, <=, >, >=, == and !=; a value that is missing makes it neither true nor false\n"
	"  --metric PATH   print the time and this value of data, such as system.cpu.usage_percent,\n"
	"                  system.network.interfaces[eth0].bytes_received or\n"
	"                  system.cpu.cores_usage[0]; may be repeated (`infinictl metrics` lists them)\n"
	"  --process NAME  print what is known of the processes of this name or number\n"
	"  --every SPAN    one row for each 5m, 1h …: the average of the metrics, or what --calculate says\n"
	"  --calculate F   average, min, max, sum, last, count, or a percentile such as p95; up to four, with commas\n"
	"  --summary       count, average, min, percentiles, max and sum of the metrics over all samples\n"
	"  --output FORM   table, json (the lines as they are; with the options above an object a line), csv, or\n"
	"                  openmetrics (with timestamps)\n"
	"  --json          the same as --output json\n"
	"  --utc           times in UTC instead of local time\n"
	"  --color WHEN    auto, always or never\n"
	"  --no-pager      print straight to the terminal\n"
	"\n"
	"TIME: now, today, yesterday, tomorrow, 08:30, \"yesterday 08:30\", \"10 minutes ago\", -3d2h, @1790000000\n"
	"(seconds since 1970), 2026-01-02, \"2026-01-02 03:04\", 2026-01-02T03:04:05Z.\n"
	"\n"
	"Exit status: 0 done, 1 failed (a file that is no log or cannot be read, a metric that is in none of the "
	"samples, a\n"
	"--begin that is not before --end), 2 wrong use.\n";

/* ---------------------------------------------------------------------------------------------------- options */

static int take_metric(struct log_options *o, const char *text)
{
	struct err err = { 0 };

	if (o->metric_count == LOG_METRICS_MAX)
		return cli_usage("more than %d metrics", LOG_METRICS_MAX);
	if (metric_parse(text, &o->metrics[o->metric_count], &err))
		return cli_usage("%s", err.text);
	o->metric_count++;
	o->chosen = true;
	return CLI_OK;
}

static int take_form(struct log_options *o, const char *text)
{
	static const char *const names[] = {
		[ROWS_TABLE] = "table", [ROWS_JSON] = "json", [ROWS_CSV] = "csv", [ROWS_OPENMETRICS] = "openmetrics"
	};

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(text, names[i])) {
			o->form = (enum rows_form)i;
			return CLI_OK;
		}
	return cli_usage("--output: \"%.40s\" is none of table, json, csv and openmetrics", text);
}

static int take_functions(struct log_options *o, const char *text)
{
	struct err err = { 0 };

	for (o->function_count = 0; *text; text += *text == ',') {
		size_t len = strcspn(text, ",");

		if (o->function_count == LOG_FUNCTIONS_MAX)
			return cli_usage("--calculate: more than %d", LOG_FUNCTIONS_MAX);
		if (aggregate_function_parse(text, len, &o->functions[o->function_count], &err))
			return cli_usage("--calculate: %s", err.text);
		snprintf(o->function_names[o->function_count++], LOG_FUNCTION_SIZE, "%.*s", (int)len, text);
		text += len;
	}
	return o->function_count ? CLI_OK : cli_usage("--calculate needs a function such as average");
}

static int take_lines(struct log_options *o, const char *text)
{
	char *end;
	unsigned long lines = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || lines < 1 || lines > LOG_LINES_MAX)
		return cli_usage("--lines needs a number from 1 to %d", LOG_LINES_MAX);
	o->lines = (unsigned)lines;
	return CLI_OK;
}

static int take_every(struct log_options *o, const char *text)
{
	struct err err = { 0 };

	return timespec_duration(text, &o->every_ms, &err) ? cli_usage("--every: %s", err.text) : CLI_OK;
}

/* Options that contradict each other. */
static int check_options(struct log_options *o)
{

	if (o->process && (o->metric_count || o->every_ms || o->summary))
		return cli_usage("--process goes with neither --metric, --every nor --summary");
	if (o->process && o->form == ROWS_OPENMETRICS)
		return cli_usage("--process is not printed as openmetrics");
	if (o->every_ms && o->summary)
		return cli_usage("either --every or --summary");
	if ((o->every_ms || o->summary) && (o->lines || o->form == ROWS_OPENMETRICS))
		return cli_usage(
			"--lines and openmetrics are of samples, not of what --every and --summary make of them");
	if (o->function_count && !o->every_ms)
		return cli_usage("--calculate needs --every");
	if (o->reading.follow && (o->lines || o->summary || o->form == ROWS_OPENMETRICS))
		return cli_usage("--follow has no end, which --lines, --summary and openmetrics need");
	if (o->every_ms && !o->function_count)
		return take_functions(o, "average");
	return CLI_OK;
}

static int take_option(struct log_options *o, int option, char *const argv[])
{
	switch (option) {
	case 'f':
		o->reading.follow = true;
		return CLI_OK;
	case 'm':
		return take_metric(o, optarg);
	case 'j':
		return take_form(o, "json");
	case 'o':
		return take_form(o, optarg);
	case 'p':
		o->process = optarg;
		return CLI_OK;
	case 'E':
		return take_every(o, optarg);
	case 'C':
		return take_functions(o, optarg);
	case 's':
		o->summary = true;
		return CLI_OK;
	case 'w':
		return condition_parse(&o->where, "where", optarg);
	case 'n':
		return take_lines(o, optarg);
	case 'c':
		return cli_color_option(optarg, &o->color);
	case 'P':
		o->pager = false;
		return CLI_OK;
	default:
		return cli_wrong_option(option, argv);
	}
}

/* CLI_OK, CLI_USAGE, or -1 when --help was printed. */
static int parse_options(int argc, char **argv, struct log_options *o)
{
	static const struct option options[] = {
		READING_OPTIONS,
		{ "follow", no_argument, NULL, 'f' },
		{ "metric", required_argument, NULL, 'm' },
		{ "json", no_argument, NULL, 'j' },
		{ "output", required_argument, NULL, 'o' },
		{ "process", required_argument, NULL, 'p' },
		{ "every", required_argument, NULL, 'E' },
		{ "calculate", required_argument, NULL, 'C' },
		{ "summary", no_argument, NULL, 's' },
		{ "where", required_argument, NULL, 'w' },
		{ "lines", required_argument, NULL, 'n' },
		{ "color", required_argument, NULL, 'c' },
		{ "no-pager", no_argument, NULL, 'P' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option, rc = CLI_OK;

	while (!rc && (option = getopt_long(argc, argv, ":fh", options, NULL)) != -1) {
		if (option == 'h')
			return cli_help(help) ? CLI_FAILED : -1;
		rc = reading_option(&o->reading, option, optarg);
		if (rc < 0)
			rc = take_option(o, option, argv);
	}
	return rc ? rc : check_options(o);
}

/* ----------------------------------------------------------------------------------------------------- output */

/* True when the lines are printed as they are, without being looked into. */
static bool is_plain(const struct log_options *o)
{
	return o->form == ROWS_JSON && !log_wants_values(o) && !o->where.given;
}

static void print_message(struct log_options *o, const struct reader_line *line, struct json_object *message)
{
	if (log_wants_values(o))
		log_values_add(o, line, message);
	else if (o->form == ROWS_JSON)
		show_json_line(stdout, line->text, line->len);
	else
		table_print(&o->table, line->wall_ms, message);
}

static bool is_sample(struct json_object *message)
{
	return !strcmp(text_string(message, "type"), "metrics");
}

/* ------------------------------------------------------------------------------------------------- newest lines */

static void drop_oldest(struct log_options *o)
{
	struct log_kept *oldest = &o->kept[o->kept_first];

	o->kept_bytes -= oldest->len;
	free(oldest->text);
	oldest->text = NULL;
	o->kept_first = (o->kept_first + 1) % (o->lines + 1);
	o->kept_count--;
}

/* One more than is printed: rates of the first one are made of it. */
static int keep(struct log_options *o, const struct reader_line *line)
{
	struct log_kept *kept;

	if (o->kept_count == o->lines + 1)
		drop_oldest(o);
	while (o->kept_count && o->kept_bytes + line->len > KEPT_BYTES_MAX) {
		drop_oldest(o);
		o->kept_dropped++;
	}
	kept = &o->kept[(o->kept_first + o->kept_count) % (o->lines + 1)];
	*kept = (struct log_kept){ malloc(line->len + 1), line->len, line->wall_ms };
	if (!kept->text)
		return -ENOMEM;
	memcpy(kept->text, line->text, line->len + 1);
	o->kept_bytes += line->len;
	o->kept_count++;
	return 0;
}

static void print_kept(struct log_options *o)
{
	size_t extra = o->kept_count > o->lines ? o->kept_count - o->lines : 0;

	if (o->kept_dropped)
		cli_fail("--lines: fewer are shown, since %u MiB of them are held at most", KEPT_BYTES_MAX >> 20);
	for (size_t i = 0; i < o->kept_count; i++) {
		struct log_kept *kept = &o->kept[(o->kept_first + i) % (o->lines + 1)];
		struct reader_line line = { .text = kept->text, .len = kept->len, .wall_ms = kept->wall_ms };
		_cleanup_(text_putp) struct json_object *message = text_parse(kept->text, kept->len);

		if (i < extra)
			table_skip(&o->table, kept->wall_ms, message);
		else if (message)
			print_message(o, &line, message);
	}
	while (o->kept_count)
		drop_oldest(o);
	free(o->kept);
}

/* -------------------------------------------------------------------------------------------------------- run */

/* True when no further sample can match: the end is past, and samples before it have had the time to be written. */
static bool is_over(const struct log_options *o)
{
	return o->reading.end_ms != INT64_MAX && moment_now().wall_ms >= o->reading.end_ms + WRITTEN_AFTER_MS;
}

/* 1 after a line, 0 when there is none at present, -errno. */
static int print_next(struct log_options *o)
{
	_cleanup_(text_putp) struct json_object *message = NULL;
	struct reader_line line;
	int rc;

	rc = reader_next(o->reading.reader, &line);
	if (rc != 1)
		return rc;
	if (is_plain(o) && !o->lines) {
		show_json_line(stdout, line.text, line.len);
		return 1;
	}
	if (o->lines || o->summary || o->where.given)
		reading_progress(&o->reading, line.wall_ms);
	if (log_picked_add(o, &line) || !reading_parse(&o->reading, &line, &message))
		return 1;
	if (o->where.given && !(is_sample(message) && condition_holds(&o->where, text_member(message, "data", NULL))))
		return 1;
	if (o->lines && (rc = keep(o, &line)) < 0)
		return rc;
	if (!o->lines)
		print_message(o, &line, message);
	return 1;
}

static int print_all(struct log_options *o)
{
	int rc;

	for (;;) {
		bool last = !o->reading.follow || is_over(o);

		while ((rc = print_next(o)) == 1)
			;
		if (rc < 0)
			return cli_fail("%s", strerror(-rc));
		if (last)
			return CLI_OK;
		if (fflush(stdout) != 0)
			return CLI_FAILED;
		reader_wait(o->reading.reader, FOLLOW_WAIT_MS);
	}
}

/* All samples found are shown; missing or invalid ones are reported at the end. */
static int report(struct log_options *o)
{
	bool any_line = o->form == ROWS_JSON && !log_wants_values(o);
	int rc = reading_report(&o->reading, any_line);

	condition_report(&o->where);
	if (reader_stats(o->reading.reader).lines && log_values_missing(o))
		rc = CLI_FAILED;
	return rc;
}

static int run(struct log_options *o)
{
	int rc = log_wants_values(o) ? log_values_begin(o) : CLI_OK;

	if (!rc)
		rc = print_all(o);
	reading_progress_end(&o->reading);
	if (o->lines)
		print_kept(o);
	if (log_wants_values(o))
		log_values_end(o);
	fflush(stdout);
	return rc;
}

int log_main(int argc, char **argv)
{
	_cleanup_(freep) struct log_options *o = calloc(1, sizeof(*o));
	int rc, reported;

	if (!o)
		return cli_fail("out of memory");
	reading_init(&o->reading);
	o->color = "auto";
	o->pager = true;
	rc = parse_options(argc, argv, o);
	if (rc)
		return rc < 0 ? CLI_OK : rc;
	rc = reading_open(&o->reading, argc - optind, argv + optind);
	if (rc)
		return rc;
	if (o->lines && !(o->kept = calloc(o->lines + 1, sizeof(*o->kept)))) {
		reading_close(&o->reading);
		return cli_fail("out of memory");
	}
	if (o->pager && !o->reading.follow)
		show_pager_begin();
	table_init(&o->table, stdout, o->reading.utc, show_width(stdout), show_colored(stdout, o->color));
	rc = run(o);
	show_pager_end();
	reported = report(o);
	json_object_put(o->sample);
	log_picked_done(o);
	reading_close(&o->reading);
	return rc ? rc : reported;
}
