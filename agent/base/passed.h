/* SPDX-License-Identifier: MIT */
/* Descriptors that the service manager passed to this process at its start (sd_listen_fds(3)). */
#ifndef AGENT_BASE_PASSED_H
#define AGENT_BASE_PASSED_H

#include <stdbool.h>

#define PASSED_FIRST 3
#define PASSED_MAX   64

/*
 * Their number; they begin at PASSED_FIRST, and each is made close-on-exec. 0 when $LISTEN_PID names another process or
 * the environment is malformed.
 */
int passed_count(void);

/* Like passed_count, and removes the variables from the environment, so that no child uses them. */
int passed_take(void);

/* The first descriptor of that name ($LISTEN_FDNAMES), or -1. */
int passed_find(const char *name);

/* True when the descriptor is a listening Unix socket of that type. */
bool passed_is_listener(int fd, int type);

#endif
