/* SPDX-License-Identifier: MIT */
/* `--once`: one full metrics message without port, log, lock or commands. */
#ifndef AGENT_METRICS_ONCE_H
#define AGENT_METRICS_ONCE_H

#include <stdio.h>

#include "agent/config/config.h"

/*
 * Takes two readings 250 ms apart, so that rates mean something, waits for the prober as long as collect_timeout_ms,
 * and prints the line. Its `seq` is 0: it is not one of the agent's samples. `left_out` is told of each collector that
 * is missing in it, with what went wrong (0: it has not answered yet), and with the name "mounts" when some of their
 * answers are. 0 or -errno.
 */
typedef void once_left_out(void *data, const char *name, int error);
int once_print(const struct config *config, FILE *out, once_left_out *left_out, void *data);

#endif
