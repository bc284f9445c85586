/* SPDX-License-Identifier: MIT */
/*
 * The newest sample as it comes: from the running agent, which is subscribed to, or from the log while no agent can be
 * reached. Nothing here waits.
 */
#ifndef TOOLS_INFINICTL_TOP_LIVE_H
#define TOOLS_INFINICTL_TOP_LIVE_H

#include <stdint.h>

#include <infiniservice/err.h>

struct json_object;
struct live;

/*
 * `socket`: of the agent; NULL: the log alone. `dir`: of the log. `interval_ms`: the agent is asked for a sample that
 * often, besides those it makes; 0: not. 0, or -errno with words when neither can be had.
 */
int live_open(const char *socket, const char *dir, int64_t interval_ms, struct live **ret, struct err *err);

/* Accepts NULL; returns NULL. */
struct live *live_free(struct live *live);

/* To be polled for reading; -1: live_take has to be called from time to time, four times a second. */
int live_fd(const struct live *live);

/*
 * What has come by `mono_ns`: 1 with the newest sample (the caller's) and its time, or 0.
 */
int live_take(struct live *live, uint64_t mono_ns, struct json_object **ret, int64_t *ret_ms);

/* "live", or why it is not; borrowed. */
const char *live_source(const struct live *live);

#endif
