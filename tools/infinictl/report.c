/* SPDX-License-Identifier: MIT */
/* infinictl report: a span of the log as one page of HTML that needs no other file and runs no script. */
#include <getopt.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/config/config.h"
#include "tools/infinictl/cli.h"
#include "tools/infinictl/outfile.h"
#include "tools/infinictl/report.h"
#include "tools/infinictl/text.h"
#include "tools/infinictl/timespec.h"

#define DAY_MS	INT64_C(86400000)
#define WEEK_MS (7 * DAY_MS)

static const char help[] = "infinictl report --html FILE [OPTION]... [FILE]...\n"
			   "\n"
			   "Writes a page with charts, tables, events and gaps of a span of the log: one file, for "
			   "light and dark, for screen\n"
			   "and printer.\n"
			   "\n"
			   "  --html FILE      the page (- for standard output)\n"
			   "  --day [TIME]     the local day of that time (--day=yesterday; without a time: today)\n"
			   "  --week [TIME]    the week from Monday on that it lies in (--week=-7d)\n"
			   "  --begin TIME     from this time on (default: the last day; with files, all of them)\n"
			   "  --end TIME       up to this time, not included\n"
			   "  --compare TIME   beside it the span of the same length that begins at TIME\n"
			   "  --dir DIR        the log of another directory (default: log.dir of the configuration)\n"
			   "  --records DIR    the audit records of another directory (default: the agent's and the "
			   "journal's; with --dir or\n"
			   "                   files: none)\n"
			   "  --utc            times in UTC\n"
			   "\n"
			   "TIME: as with infinictl log.\n"
			   "\n"
			   "Exit status: 0 done, 1 failed, 2 wrong use.\n";

struct options {
	struct reading reading; /* of the first span */
	const char *html, *records;
	bool begin_given, compares;
	int64_t compare_ms;
	char **files;
	int file_count;
};

/* Midnight of the local day, or Monday's of the week, and the one that follows: a day may have 23 or 25 hours. */
static int take_calendar(struct options *o, const char *text, const char *name, int days)
{
	int64_t ms = moment_now().wall_ms;
	time_t seconds;
	struct tm tm;
	int rc = text ? cli_time_option(name, text, &ms) : CLI_OK;

	if (rc)
		return rc;
	seconds = (time_t)(ms / 1000);
	if (!(o->reading.utc ? gmtime_r(&seconds, &tm) : localtime_r(&seconds, &tm)))
		return cli_usage("--%s: no such time", name);
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	tm.tm_isdst = -1;
	if (days == 7)
		tm.tm_mday -= (tm.tm_wday + 6) % 7;
	o->reading.begin_ms = (int64_t)(o->reading.utc ? timegm(&tm) : mktime(&tm)) * 1000;
	tm.tm_mday += days;
	tm.tm_isdst = -1;
	o->reading.end_ms = (int64_t)(o->reading.utc ? timegm(&tm) : mktime(&tm)) * 1000;
	o->begin_given = true;
	return CLI_OK;
}

static int take_option(struct options *o, int option, char *const argv[])
{
	switch (option) {
	case 'H':
		o->html = optarg;
		return CLI_OK;
	case 'r':
		o->records = optarg;
		return CLI_OK;
	case 'D':
		return take_calendar(o, optarg, "day", 1);
	case 'W':
		return take_calendar(o, optarg, "week", 7);
	case 'C':
		o->compares = true;
		return cli_time_option("compare", optarg, &o->compare_ms);
	default:
		return cli_wrong_option(option, argv);
	}
}

static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		READING_OPTIONS,
		{ "html", required_argument, NULL, 'H' },
		{ "day", optional_argument, NULL, 'D' },
		{ "week", optional_argument, NULL, 'W' },
		{ "compare", required_argument, NULL, 'C' },
		{ "records", required_argument, NULL, 'r' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option, rc = CLI_OK;

	while (!rc && (option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (option == 'h')
			return cli_help(help) ? CLI_FAILED : -1;
		o->begin_given |= option == 'b';
		rc = reading_option(&o->reading, option, optarg);
		if (rc < 0)
			rc = take_option(o, option, argv);
	}
	o->files = argv + optind;
	o->file_count = argc - optind;
	if (!rc && !o->html)
		return cli_usage("report needs --html FILE");
	return rc;
}

/* The end of a span without --end is now, or a day after its begin where that is past. */
static void complete_span(struct options *o)
{
	int64_t now_ms = moment_now().wall_ms;

	if (o->begin_given && o->reading.end_ms == INT64_MAX && o->reading.begin_ms < now_ms)
		o->reading.end_ms = now_ms;
	if (!o->begin_given && !o->file_count) {
		o->reading.begin_ms = (o->reading.end_ms == INT64_MAX ? now_ms : o->reading.end_ms) - DAY_MS;
		if (o->reading.end_ms == INT64_MAX)
			o->reading.end_ms = now_ms;
	}
}

/* Reads one span: for its disks and interfaces, for what happened, and for the numbers. */
static int read_span(struct options *o, struct report_span *span, int64_t begin_ms, int64_t end_ms,
		     const struct config *config)
{
	bool own;
	int rc;

	for (unsigned pass = 0; pass < 3; pass++) {
		reading_close(&span->reading);
		reading_init(&span->reading);
		span->reading.dir = o->reading.dir;
		span->reading.utc = o->reading.utc;
		span->reading.begin_ms = begin_ms;
		span->reading.end_ms = end_ms;
		rc = reading_open(&span->reading, o->file_count, o->files);
		if (!rc)
			rc = pass == 0	 ? report_choose(span)
			     : pass == 1 ? events_from_log(&span->events, &span->reading)
					 : report_numbers(span);
		if (rc)
			return rc;
	}
	own = span->reading.dir == span->reading.config_dir;
	if (o->records)
		events_from_records(&span->events, o->records, false, begin_ms, end_ms);
	else if (own)
		events_from_records(&span->events, config->agent.state_dir, true, begin_ms, end_ms);
	events_sort(&span->events);
	return CLI_OK;
}

static int write_page(const struct options *o, const struct report_span *spans, unsigned count)
{
	struct err err = { 0 };
	FILE *out = NULL;

	if (outfile_open(o->html, &out, &err))
		return cli_fail("%s", err.text);
	report_page(out, spans, count);
	return outfile_close(out, o->html, &err) ? cli_fail("%s", err.text) : CLI_OK;
}

static int run(struct options *o, struct report_span *spans, const struct config *config)
{
	unsigned count = o->compares ? 2 : 1;
	int rc, reported;

	complete_span(o);
	if (o->compares && (o->reading.begin_ms == INT64_MIN || o->reading.end_ms == INT64_MAX))
		return cli_usage("--compare needs --day, --week or --begin");
	rc = read_span(o, &spans[0], o->reading.begin_ms, o->reading.end_ms, config);
	if (!rc && o->compares)
		rc = read_span(o, &spans[1], o->compare_ms, o->compare_ms + o->reading.end_ms - o->reading.begin_ms,
			       config);
	if (rc)
		return rc;
	rc = write_page(o, spans, count);
	for (unsigned i = 0; i < count; i++) {
		reported = reading_report(&spans[i].reading, false);
		rc = rc ? rc : reported ? reported : spans[i].curves.samples ? CLI_OK : CLI_FAILED;
	}
	return rc;
}

int report_main(int argc, char **argv)
{
	_cleanup_(freep) struct report_span *spans = calloc(2, sizeof(*spans));
	_cleanup_(freep) struct options *o = calloc(1, sizeof(*o));
	struct config config;
	int rc;

	if (!o || !spans || config_init(&config))
		return cli_fail("out of memory");
	config_load(&config, NULL, NULL, NULL, NULL);
	reading_init(&o->reading);
	for (unsigned i = 0; i < 2; i++)
		events_init(&spans[i].events);
	rc = parse_options(argc, argv, o);
	if (!rc)
		rc = run(o, spans, &config);
	for (unsigned i = 0; i < 2; i++) {
		reading_close(&spans[i].reading);
		events_done(&spans[i].events);
		curves_done(&spans[i].curves);
	}
	config_free(&config);
	return rc < 0 ? CLI_OK : rc;
}
