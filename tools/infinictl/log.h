/* SPDX-License-Identifier: MIT */
/* infinictl log: what was asked for, and the values that are made of it. Of log.c, log_values.c and log_picked.c alone.
 */
#ifndef TOOLS_INFINICTL_LOG_H
#define TOOLS_INFINICTL_LOG_H

#include "tools/infinictl/aggregate.h"
#include "tools/infinictl/condition.h"
#include "tools/infinictl/metric.h"
#include "tools/infinictl/reading.h"
#include "tools/infinictl/rows.h"
#include "tools/infinictl/table.h"

#define LOG_METRICS_MAX	  16
#define LOG_FUNCTIONS_MAX 4
#define LOG_FUNCTION_SIZE 16 /* of the name of one, and NUL */
#define LOG_LINES_MAX	  100000

struct log_kept {
	char *text;
	size_t len;
	int64_t wall_ms;
};

struct log_options {
	struct reading reading;
	enum rows_form form;
	struct metric metrics[LOG_METRICS_MAX];
	bool seen[LOG_METRICS_MAX], told[LOG_METRICS_MAX];
	unsigned metric_count;
	bool chosen;	     /* metrics were named; else they are the usual ones */
	const char *process; /* name or pid */
	bool process_seen;
	struct json_object *sample; /* the last one, to find likely names in */
	struct log_picked *picked;  /* of log_picked.c; NULL until it is needed */

	int64_t every_ms; /* 0: every sample for itself */
	bool summary;	  /* the whole span as one */
	struct aggregate_function functions[LOG_FUNCTIONS_MAX];
	char function_names[LOG_FUNCTIONS_MAX][LOG_FUNCTION_SIZE];
	unsigned function_count;
	struct aggregate aggregates[LOG_METRICS_MAX];
	int64_t bucket_ms; /* beginning of the span that is being added up */
	bool bucket_open;
	char *labels[LOG_METRICS_MAX * LOG_FUNCTIONS_MAX]; /* of the columns */

	struct condition where;
	unsigned lines; /* 0: all */
	struct log_kept *kept;
	size_t kept_first, kept_count;
	uint64_t kept_bytes, kept_dropped;

	const char *color;
	bool pager;
	struct table table;
	struct rows rows;
};

/* Whether values are printed, and not the table or the lines themselves. */
bool log_wants_values(const struct log_options *o);
/* Takes the usual metrics where none was named, and prints the heading. CLI_OK or CLI_FAILED after the error. */
int log_values_begin(struct log_options *o);
/* One sample, or another message of the log. */
void log_values_add(struct log_options *o, const struct reader_line *line, struct json_object *message);
/*
 * The same, of a line, without building its tree. False, with nothing done, where what was asked for or what the line
 * has needs the tree.
 */
bool log_picked_add(struct log_options *o, const struct reader_line *line);
void log_picked_done(struct log_options *o);
/* The cells of a row, or the numbers of some of them, as they come from a sample. */
void log_values_row(struct log_options *o, int64_t wall_ms, const struct rows_cell *cells);
/* A value as a cell; its text is borrowed from the value. */
struct rows_cell log_values_cell(struct json_object *value);
/* What is still to be printed. */
void log_values_end(struct log_options *o);
/* Says which metrics, or that no process of that name, were in any sample so far, each once. Returns their number. */
unsigned log_values_missing(struct log_options *o);

#endif
