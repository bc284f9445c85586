/* SPDX-License-Identifier: MIT */
/* `--once`: one full metrics message without port, log, lock or commands. */
#ifndef AGENT_ONCE_H
#define AGENT_ONCE_H

#include <stdio.h>

#include "agent/config/config.h"

/*
 * Takes two readings 250 ms apart, so that rates mean something, waits for the prober as long as collect_timeout_ms, and prints the line. Its
 * `seq` is 0: it is not one of the agent's samples. 0 or -errno.
 */
int once_print(const struct config *config, FILE *out);

#endif
