/* SPDX-License-Identifier: MIT */
/* Descriptors that the service manager passed to this process at its start: the protocol of sd_listen_fds(3). */
#ifndef AGENT_BASE_PASSED_H
#define AGENT_BASE_PASSED_H

#include <stdbool.h>

#define PASSED_FIRST 3
#define PASSED_MAX   64

/*
 * How many there are, from PASSED_FIRST on; each is made close-on-exec. 0 when $LISTEN_PID names another process, or
 * when what the environment says makes no sense.
 */
int passed_count(void);

/* The same, and takes the variables out of the environment, so that no child takes them for its own. */
int passed_take(void);

/* The first one of that name ($LISTEN_FDNAMES), or -1. */
int passed_find(const char *name);

/* True when the descriptor is a listening Unix socket of that type. */
bool passed_is_listener(int fd, int type);

#endif
