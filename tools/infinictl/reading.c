/* SPDX-License-Identifier: MIT */
/* What the subcommands that read the log have in common. */
#include "tools/infinictl/reading.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <infiniservice/moment.h>

#include "agent/config/config.h"
#include "agent/log/series.h"
#include "tools/infinictl/access.h"
#include "tools/infinictl/cli.h"
#include "tools/infinictl/text.h"
#include "tools/show/show.h"

#define PROGRESS_EVERY_NS (500 * NS_PER_MS)
#define PROGRESS_LINES	  64

void reading_init(struct reading *reading)
{
	memset(reading, 0, sizeof(*reading));
	reading->begin_ms = INT64_MIN;
	reading->end_ms = INT64_MAX;
}

int reading_option(struct reading *reading, int option, const char *value)
{
	switch (option) {
	case 'd':
		reading->dir = value;
		return CLI_OK;
	case 'b':
		return cli_time_option("begin", value, &reading->begin_ms);
	case 'e':
		return cli_time_option("end", value, &reading->end_ms);
	case 'u':
		reading->utc = true;
		return CLI_OK;
	default:
		return -1;
	}
}

/* The log directory of the agent, as far as the configuration may be read. */
static void find_dir(struct reading *reading)
{
	struct config config;

	strcpy(reading->config_dir, "/var/log/infiniservice");
	reading->dir = reading->config_dir;
	if (config_init(&config))
		return;
	config_load(&config, NULL, NULL, NULL, NULL);
	snprintf(reading->config_dir, sizeof(reading->config_dir), "%s", config.log.dir);
	config_free(&config);
}

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int reading_open(struct reading *reading, int count, char **files)
{
	struct err err = { 0 };
	int rc = cli_time_span(reading->begin_ms, reading->end_ms);

	if (rc)
		return rc;
	if (count == 1 && !reading->dir && is_directory(files[0])) {
		reading->dir = files[0];
		count = 0;
	}
	if (count > 0 && (reading->dir || reading->follow))
		return cli_usage(reading->dir ? "either --dir or files" : "--follow needs a directory, not files");
	if (count == 0 && !reading->dir)
		find_dir(reading);
	reading->where = count ? files[0] : reading->dir;
	rc = count ? reader_open_files(files, (size_t)count, &reading->reader, &err)
		   : reader_open_dir(reading->dir, &reading->reader, &err);
	if (rc)
		cli_fail("%s", err.text);
	if (rc == -EACCES)
		access_hint(reading->where, "infiniservice");
	if (!rc)
		reader_range(reading->reader, reading->begin_ms, reading->end_ms);
	return rc ? CLI_FAILED : CLI_OK;
}

bool reading_parse(struct reading *reading, const struct reader_line *line, struct json_object **ret)
{
	*ret = text_parse(line->text, line->len);
	reading->samples += *ret && !strcmp(text_string(*ret, "type"), "metrics");
	if (*ret)
		return true;
	reading->damaged++;
	cli_fail("%s: a line is damaged, passed over", line->file);
	return false;
}

int reading_next(struct reading *reading, struct reader_line *line, struct json_object **ret)
{
	int rc;

	while ((rc = reader_next(reading->reader, line)) == 1)
		if (reading_parse(reading, line, ret))
			return 1;
	return rc;
}

static struct reader_stats reading_stats(const struct reading *reading)
{
	return reading->series ? series_stats(reading->series) : reader_stats(reading->reader);
}

void reading_progress(struct reading *reading, int64_t wall_ms)
{
	char time[TEXT_TIME_SIZE], words[160];
	uint64_t now_ns;

	if (++reading->progress_lines % PROGRESS_LINES)
		return;
	now_ns = clock_ns(CLOCK_MONOTONIC);
	if (reading->progress_ns == 0)
		reading->progress_ns = now_ns;
	if (now_ns - reading->progress_ns < PROGRESS_EVERY_NS)
		return;
	reading->progress_ns = now_ns;
	text_time(wall_ms, reading->utc, true, time);
	snprintf(words, sizeof(words), "reading the log: %llu lines, up to %s",
		 (unsigned long long)reading_stats(reading).lines, time);
	show_progress(words);
	reading->progress_shown = true;
}

void reading_progress_end(struct reading *reading)
{
	if (reading->progress_shown)
		show_progress("");
	reading->progress_shown = false;
}

static bool spans(const struct reading *reading)
{
	return reading->begin_ms != INT64_MIN || reading->end_ms != INT64_MAX;
}

int reading_report(struct reading *reading, bool any_line)
{
	struct reader_stats stats = reading_stats(reading);
	int rc = CLI_OK;

	reading_progress_end(reading);
	if (stats.bad_lines)
		cli_fail("damaged lines passed over: %llu", (unsigned long long)stats.bad_lines);
	if (stats.bad_frames)
		cli_fail("damaged compressed frames left out: %llu", (unsigned long long)stats.bad_frames);
	if (stats.torn_tails)
		cli_fail("files that end inside a line (being written, or after a crash): %llu",
			 (unsigned long long)stats.torn_tails);
	if (stats.lines && !any_line && !reading->samples)
		rc = cli_fail("%s: none of the lines is a sample", reading->where);
	if (!stats.files && !stats.unreadable && !reading->holds_lines && !reading->follow && reading->dir &&
	    reading->dir != reading->config_dir)
		rc = cli_fail("%s: holds no file of a metric log", reading->where);
	else if (!stats.lines && !stats.unreadable && !reading->follow)
		cli_fail("%s: no sample%s", reading->where, spans(reading) ? " between --begin and --end" : "");
	if (!stats.unreadable)
		return rc;
	cli_fail("files that could not be read: %llu; the first: %s", (unsigned long long)stats.unreadable, stats.why);
	if (stats.error == -EACCES)
		access_hint(reading->where, "infiniservice");
	return CLI_FAILED;
}

void reading_close(struct reading *reading)
{
	reading->series = series_free(reading->series);
	reading->reader = reader_free(reading->reader);
}
