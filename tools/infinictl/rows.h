/* SPDX-License-Identifier: MIT */
/* Values by time, printed as a table of tabs, CSV (RFC 4180), JSON (an object a line) or OpenMetrics. */
#ifndef TOOLS_INFINICTL_ROWS_H
#define TOOLS_INFINICTL_ROWS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <infiniservice/err.h>

#include "agent/catalog/catalog.h"

#define ROWS_COLUMNS_MAX 64

enum rows_form { ROWS_TABLE, ROWS_JSON, ROWS_CSV, ROWS_OPENMETRICS };

struct rows_cell {
	enum { CELL_MISSING, CELL_NULL, CELL_NUMBER, CELL_TEXT, CELL_JSON } kind;
	double number;	  /* of CELL_NUMBER */
	const char *text; /* how it is written, but for MISSING and NULL; borrowed for the call */
};

struct rows_column {
	const char *label;		     /* borrowed: outlives the rows */
	const struct catalog_metric *metric; /* NULL: none that is known */
	FILE *family;			     /* of OpenMetrics: its lines, which may not lie among others' */
};

struct rows {
	enum rows_form form;
	FILE *out;
	bool utc, heading; /* heading: a line of labels before a table */
	unsigned width;	   /* of a table in columns; 0: tabs between its cells */
	unsigned count;
	struct rows_column columns[ROWS_COLUMNS_MAX];
};

/* 0, or -errno with words (OpenMetrics needs temporary files). The columns stand in `rows`. */
int rows_begin(struct rows *rows, struct err *err);
void rows_add(struct rows *rows, int64_t wall_ms, const struct rows_cell *cells);
/* Ends the text; closes what rows_begin opened. */
void rows_end(struct rows *rows);

#endif
