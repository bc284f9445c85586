/* SPDX-License-Identifier: MIT */
/* The texts of /proc/pressure (PSI, since Linux 4.20), parsed. */
#ifndef COLLECTORS_PRESSURE_H
#define COLLECTORS_PRESSURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A share of the time in which tasks waited for a resource, over the last 10, 60 and 300 seconds, and that time. */
struct stall {
	bool known;					     /* the text has this line, and it is valid */
	double avg10_percent, avg60_percent, avg300_percent; /* 0 to 100 */
	uint64_t total_us;				     /* since boot */
};

struct pressure {
	struct stall some; /* at least one task waited */
	struct stall full; /* all that were not idle waited at the same time; of the processors since Linux 5.13 */
	uint64_t skipped;  /* invalid or duplicate lines */
};

/*
 * 0, or -EBADMSG when there is neither a valid line `some` nor a valid line `full` (*out untouched). Columns may come
 * in any order, and other columns and lines are passed over.
 */
int pressure_parse(const char *text, size_t len, struct pressure *out);

#endif
