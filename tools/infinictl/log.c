/* SPDX-License-Identifier: MIT */
/* infinictl log: the metric log as a table, as chosen values, or as the lines themselves. */
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/config/config.h"
#include "agent/log/reader.h"
#include "tools/infinictl/access.h"
#include "tools/infinictl/cli.h"
#include "tools/infinictl/metric.h"
#include "tools/infinictl/suggest.h"
#include "tools/infinictl/table.h"
#include "tools/infinictl/text.h"
#include "tools/show/show.h"

#define METRICS_MAX    16
#define FOLLOW_WAIT_MS 1000
/* Time after which a sample is certainly in its file. */
#define WRITTEN_AFTER_MS 500

static const char help[] =
	"infinictl log [OPTION]... [FILE]...\n"
	"\n"
	"Prints the metric log, oldest first: a table, or with --metric or --json what these say. Works whether or\n"
	"not the agent runs, and on copied files (plain or .zst).\n"
	"\n"
	"  --dir DIR       the log of another directory (default: log.dir of the configuration)\n"
	"  --begin TIME    from this time on\n"
	"  --end TIME      up to this time, not included\n"
	"  --follow, -f    go on with what is being written, until --end has come\n"
	"  --metric PATH   print the time and this value of data, such as system.cpu.usage_percent,\n"
	"                  system.network.interfaces[eth0].bytes_received or\n"
	"                  system.cpu.cores_usage[0]; may be repeated\n"
	"  --json          print the lines as they are\n"
	"  --utc           times in UTC instead of local time\n"
	"\n"
	"TIME: now, today, yesterday, 08:30, \"yesterday 08:30\", \"10m ago\", 3d2h ago, 1790000000 (seconds since\n"
	"1970), 2026-01-02, \"2026-01-02 03:04\", 2026-01-02T03:04:05Z.\n"
	"\n"
	"Exit status: 0 done, 1 failed (a file that is no log or cannot be read, a metric that is in none of the "
	"samples, a\n"
	"--begin that is not before --end), 2 wrong use.\n";

struct options {
	const char *dir;
	char config_dir[PATH_MAX];
	int64_t begin_ms, end_ms;
	bool follow, json, utc;
	bool samples; /* there was one */
	struct metric metrics[METRICS_MAX];
	bool seen[METRICS_MAX], told[METRICS_MAX];
	unsigned metric_count;
	struct json_object *sample; /* the last one, to find likely names in */
	struct table table;
};

/* ----------------------------------------------------------------------------------------------------- output */

static void print_value(struct json_object *value)
{
	const char *text = "null";

	if (json_object_is_type(value, json_type_string))
		text = json_object_get_string(value);
	else if (value)
		text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	show(stdout, "%s", text ? text : "null");
}

/* Reports the metrics that no sample had so far, each once. Returns their number. */
static unsigned tell_unknown(struct options *o)
{
	unsigned count = 0;

	for (unsigned i = 0; i < o->metric_count; i++) {
		char likely[3 * METRIC_TEXT_MAX];

		if (o->seen[i])
			continue;
		count++;
		if (o->told[i])
			continue;
		o->told[i] = true;
		suggest_metrics(o->sample, o->metrics[i].label, likely, sizeof(likely));
		cli_fail("%s: in none of the samples%s%s", o->metrics[i].label, likely[0] ? "; perhaps " : "", likely);
	}
	return count;
}

static void print_metrics(struct options *o, const struct reader_line *line, struct json_object *message)
{
	struct json_object *data = text_member(message, "data", NULL);
	char time[TEXT_TIME_SIZE];

	json_object_put(o->sample);
	o->sample = json_object_get(data);
	text_time(line->wall_ms, o->utc, false, time);
	show(stdout, "%s", time);
	for (unsigned i = 0; i < o->metric_count; i++) {
		struct json_object *value = NULL;
		bool found = data && metric_find(&o->metrics[i], data, &value);

		if (!found)
			found = metric_find(&o->metrics[i], message, &value);
		o->seen[i] |= found;
		show_words(stdout, "\t");
		if (found)
			print_value(value);
		else
			show(stdout, "-");
	}
	show(stdout, "\n");
	if (o->follow) /* with --follow there is no end at which to report it */
		tell_unknown(o);
}

static void print_line(struct options *o, const struct reader_line *line)
{
	_cleanup_(text_putp) struct json_object *message = NULL;

	if (o->json) {
		show_json_line(stdout, line->text, line->len);
		return;
	}
	message = text_parse(line->text, line->len);
	o->samples |= message && !strcmp(text_string(message, "type"), "metrics");
	if (!message) {
		cli_fail("%s: a line is damaged, passed over", line->file);
		return;
	}
	if (o->metric_count)
		print_metrics(o, line, message);
	else
		table_print(&o->table, line->wall_ms, message);
}

/* ---------------------------------------------------------------------------------------------------- options */

static int take_metric(struct options *o, const char *text)
{
	struct err err = { 0 };

	if (o->metric_count == METRICS_MAX)
		return cli_usage("more than %d metrics", METRICS_MAX);
	if (metric_parse(text, &o->metrics[o->metric_count], &err))
		return cli_usage("%s", err.text);
	o->metric_count++;
	return CLI_OK;
}

/* CLI_OK, CLI_USAGE, or -1 when --help was printed. */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{ "dir", required_argument, NULL, 'd' },
		{ "begin", required_argument, NULL, 'b' },
		{ "end", required_argument, NULL, 'e' },
		{ "follow", no_argument, NULL, 'f' },
		{ "metric", required_argument, NULL, 'm' },
		{ "json", no_argument, NULL, 'j' },
		{ "utc", no_argument, NULL, 'u' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option, rc = CLI_OK;

	while (!rc && (option = getopt_long(argc, argv, ":fh", options, NULL)) != -1) {
		if (option == 'd')
			o->dir = optarg;
		else if (option == 'b')
			rc = cli_time_option("begin", optarg, &o->begin_ms);
		else if (option == 'e')
			rc = cli_time_option("end", optarg, &o->end_ms);
		else if (option == 'f')
			o->follow = true;
		else if (option == 'm')
			rc = take_metric(o, optarg);
		else if (option == 'j')
			o->json = true;
		else if (option == 'u')
			o->utc = true;
		else if (option == 'h')
			rc = cli_help(help) ? CLI_FAILED : -1;
		else
			rc = cli_wrong_option(option, argv);
	}
	if (!rc && o->json && o->metric_count)
		return cli_usage("--json and --metric exclude each other");
	return rc ? rc : cli_time_span(o->begin_ms, o->end_ms);
}

/* The log directory of the agent, as far as the configuration may be read. */
static void find_dir(struct options *o)
{
	struct config config;

	snprintf(o->config_dir, sizeof(o->config_dir), "/var/log/infiniservice");
	o->dir = o->config_dir;
	if (config_init(&config))
		return;
	config_load(&config, NULL, NULL, NULL, NULL);
	snprintf(o->config_dir, sizeof(o->config_dir), "%s", config.log.dir);
	config_free(&config);
}

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int open_reader(struct options *o, int count, char **files, struct reader **ret)
{
	struct err err = { 0 };
	const char *where;
	int rc;

	if (count == 1 && !o->dir && is_directory(files[0])) {
		o->dir = files[0];
		count = 0;
	}
	if (count > 0 && (o->dir || o->follow))
		return cli_usage(o->dir ? "either --dir or files" : "--follow needs a directory, not files");
	if (count == 0 && !o->dir)
		find_dir(o);
	where = count ? files[0] : o->dir;
	rc = count ? reader_open_files(files, (size_t)count, ret, &err) : reader_open_dir(o->dir, ret, &err);
	if (rc)
		cli_fail("%s", err.text);
	if (rc == -EACCES)
		access_hint(where, "infiniservice");
	return rc ? CLI_FAILED : CLI_OK;
}

/* -------------------------------------------------------------------------------------------------------- run */

/* All samples found are shown; missing or invalid ones are reported at the end. */
static int report(struct options *o, const struct reader *reader, const char *where)
{
	struct reader_stats stats = reader_stats(reader);
	int rc = CLI_OK;

	if (stats.bad_lines)
		cli_fail("damaged lines passed over: %llu", (unsigned long long)stats.bad_lines);
	if (stats.bad_frames)
		cli_fail("damaged compressed frames left out: %llu", (unsigned long long)stats.bad_frames);
	if (stats.torn_tails)
		cli_fail("files that end inside a line (being written, or after a crash): %llu",
			 (unsigned long long)stats.torn_tails);
	if (stats.lines && tell_unknown(o))
		rc = CLI_FAILED;
	if (stats.lines && !o->json && !o->samples)
		rc = cli_fail("%s: none of the lines is a sample", where);
	if (!stats.files && !stats.unreadable && !o->follow && o->dir && o->dir != o->config_dir)
		rc = cli_fail("%s: holds no file of a metric log", where);
	else if (!stats.lines && !stats.unreadable && !o->follow)
		cli_fail("%s: no sample%s", where,
			 o->begin_ms != INT64_MIN || o->end_ms != INT64_MAX ? " between --begin and --end" : "");
	if (!stats.unreadable)
		return rc;
	cli_fail("files that could not be read: %llu; the first: %s", (unsigned long long)stats.unreadable, stats.why);
	if (stats.error == -EACCES)
		access_hint(where, "infiniservice");
	return CLI_FAILED;
}

/* True when no further sample can match: the end is past, and samples before it have had the time to be written. */
static bool is_over(const struct options *o)
{
	return o->end_ms != INT64_MAX && moment_now().wall_ms >= o->end_ms + WRITTEN_AFTER_MS;
}

static int print_all(struct options *o, struct reader *reader)
{
	struct reader_line line;
	int rc;

	for (;;) {
		bool last = !o->follow || is_over(o);

		while ((rc = reader_next(reader, &line)) == 1)
			print_line(o, &line);
		if (rc < 0)
			return cli_fail("%s", strerror(-rc));
		if (last)
			return CLI_OK;
		if (fflush(stdout) != 0)
			return CLI_FAILED;
		reader_wait(reader, FOLLOW_WAIT_MS);
	}
}

int log_main(int argc, char **argv)
{
	_cleanup_(freep) struct options *o = calloc(1, sizeof(*o));
	struct reader *reader = NULL;
	const char *where;
	int rc, reported;

	if (!o)
		return cli_fail("out of memory");
	o->begin_ms = INT64_MIN;
	o->end_ms = INT64_MAX;
	rc = parse_options(argc, argv, o);
	if (rc)
		return rc < 0 ? CLI_OK : rc;
	table_init(&o->table, stdout, o->utc, show_width(stdout));
	rc = open_reader(o, argc - optind, argv + optind, &reader);
	if (rc)
		return rc;
	reader_range(reader, o->begin_ms, o->end_ms);
	rc = print_all(o, reader);
	fflush(stdout);
	where = optind < argc ? argv[optind] : o->dir;
	reported = report(o, reader, where);
	json_object_put(o->sample);
	reader_free(reader);
	return rc ? rc : reported;
}
