/* SPDX-License-Identifier: MIT */
/*
 * The log that a subcommand reads: which files, of which span, and what is said at the end of what could not be read.
 * All of them take --dir, --begin, --end, --utc and files in the same way.
 */
#ifndef TOOLS_INFINICTL_READING_H
#define TOOLS_INFINICTL_READING_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent/log/reader.h"

struct json_object;
struct series;

struct reading {
	const char *dir; /* NULL until reading_open: the configuration's */
	char config_dir[PATH_MAX];
	int64_t begin_ms, end_ms;
	bool utc, follow;
	struct reader *reader;
	struct series *series;	   /* what is read instead, or NULL (feed.h) */
	bool holds_lines;	   /* the folder has some, of another span perhaps */
	const char *where;	   /* what is read, for messages */
	uint64_t samples, damaged; /* lines that were samples; lines that are no JSON */
	uint64_t progress_lines;   /* that progress was told of */
	uint64_t progress_ns;	   /* when progress was looked at last; 0: not yet */
	bool progress_shown;
};

/* For the tables of getopt_long(3). */
#define READING_OPTIONS                                                                                                \
	{ "dir", required_argument, NULL, 'd' }, { "begin", required_argument, NULL, 'b' },                            \
		{ "end", required_argument, NULL, 'e' },                                                               \
	{                                                                                                              \
		"utc", no_argument, NULL, 'u'                                                                          \
	}

void reading_init(struct reading *reading);

/* Takes the option if it is one of those above. CLI_OK, CLI_USAGE after printing an error, or -1 when it is another. */
int reading_option(struct reading *reading, int option, const char *value);

/* Opens --dir, or the files, or a single directory that is named as a file. CLI_OK, or a status after the error. */
int reading_open(struct reading *reading, int count, char **files);

/* The tree of a line, owned by the caller. False where it does not parse, which is counted and said. */
bool reading_parse(struct reading *reading, const struct reader_line *line, struct json_object **ret);

/*
 * The next line that is one of the log's messages: 1 and its tree (owned by the caller), 0 at the end, -errno. A line
 * that does not parse is counted and passed over.
 */
int reading_next(struct reading *reading, struct reader_line *line, struct json_object **ret);

/* Says once a second on a terminal's standard error how far it is, when the verb prints nothing meanwhile. */
void reading_progress(struct reading *reading, int64_t wall_ms);
/* Takes it away again, before something is printed. */
void reading_progress_end(struct reading *reading);

/*
 * Says on standard error what was left out, and why there is nothing. `any_line`: lines that are no samples are as
 * good. Returns CLI_OK or CLI_FAILED.
 */
int reading_report(struct reading *reading, bool any_line);

void reading_close(struct reading *reading);

#endif
