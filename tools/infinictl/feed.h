/* SPDX-License-Identifier: MIT */
/*
 * The numbers of the log into curves: the one place where charts and report meet the log's reader. A folder is read
 * from whatever holds its span best (series.h): its samples, or the summaries by the minute and by the hour where a
 * step of the curves is as long, and where the samples are gone. Given files are read as they are.
 */
#ifndef TOOLS_INFINICTL_FEED_H
#define TOOLS_INFINICTL_FEED_H

#include "tools/infinictl/curves.h"
#include "tools/infinictl/reading.h"

/*
 * Reads all that `reading` has, of an open log, into `steps` steps of each curve, or fewer where summaries are longer.
 * Percentiles of up to two days are of samples, as far as there are any. CLI_OK, or CLI_FAILED after the error.
 */
int feed_curves(struct reading *reading, struct curves *curves, unsigned steps);

#endif
