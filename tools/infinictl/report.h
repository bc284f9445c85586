/* SPDX-License-Identifier: MIT */
/* What a report is made of, and the page. Of report.c and report_page.c. */
#ifndef TOOLS_INFINICTL_REPORT_H
#define TOOLS_INFINICTL_REPORT_H

#include <stdio.h>

#include "tools/infinictl/curves.h"
#include "tools/infinictl/events.h"
#include "tools/infinictl/reading.h"

#define REPORT_CHARTS_MAX 16

struct report_chart {
	char title[96];
	unsigned which[CURVES_METRICS_MAX], count;
};

struct report_span {
	struct reading reading;
	struct curves curves;
	struct events events;
	struct report_chart charts[REPORT_CHARTS_MAX];
	unsigned chart_count;
	char host[128], system[128]; /* of its first whole sample; "": unknown */
	int64_t begin_ms, end_ms;    /* that the page shows */
};

/* Chooses the charts: the usual ones, and those of the disks and interfaces that the open log tells of. CLI_OK. */
int report_choose(struct report_span *span);
/* Reads the log, opened anew, for the numbers of all charts. CLI_OK or CLI_FAILED. */
int report_numbers(struct report_span *span);

/* Writes the page of one span, or of two beside each other. */
void report_page(FILE *out, const struct report_span *spans, unsigned count);

#endif
