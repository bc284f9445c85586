/* SPDX-License-Identifier: MIT */
/*
 * A sample as one row of a table: the few numbers that tell how a machine is.
 */
#ifndef TOOLS_INFINICTL_TABLE_H
#define TOOLS_INFINICTL_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json_object;

#define TABLE_COLUMNS 15 /* behind the time */

/* Network rates come from counters, so the row before is remembered. */
struct table {
	FILE *out;
	bool utc, colored;
	unsigned width; /* 0: any */
	bool shown[TABLE_COLUMNS];
	unsigned rows; /* since the last heading */
	bool known;
	int64_t wall_ms;
	double received, sent;
	char boot_id[40]; /* counters of another boot are not compared */
};

/* `width`: columns of the terminal; of the table those are shown that fit. 0: all. */
void table_init(struct table *table, FILE *out, bool utc, unsigned width, bool colored);

/* Prints the row of a metrics message (any other is passed over), and the heading from time to time. */
void table_print(struct table *table, int64_t wall_ms, struct json_object *message);

/* Takes a message as the row before the next one, without printing it. */
void table_skip(struct table *table, int64_t wall_ms, struct json_object *message);

#endif
