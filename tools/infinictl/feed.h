/* SPDX-License-Identifier: MIT */
/* The numbers of the log into curves: the one place where charts and report meet the log's reader. */
#ifndef TOOLS_INFINICTL_FEED_H
#define TOOLS_INFINICTL_FEED_H

#include "tools/infinictl/curves.h"
#include "tools/infinictl/reading.h"

/* Reads all that `reading` has, of an open log, into `steps` steps of each curve. CLI_OK, or CLI_FAILED after the
 * error. */
int feed_curves(struct reading *reading, struct curves *curves, unsigned steps);

#endif
