/* SPDX-License-Identifier: MIT */
/* data.self: the cost of the agent, measured here, and its counters, which the agent adds. */
#ifndef COLLECTORS_SELF_H
#define COLLECTORS_SELF_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <infiniservice/sink.h>

/* Most helper processes in the sum of the cost. */
#define SELF_HELPERS_MAX 8

/* Called within the object `self` at every emit, to add further keys. `emit` may be NULL: none. */
void self_attach(void *state, void (*emit)(void *data, struct sink *out), void *data);

/* The agent's helper processes now; replaces the former list, what exceeds SELF_HELPERS_MAX is not measured. */
void self_helpers_set(void *state, const pid_t *pids, size_t count);

/* /proc/PID/schedstat: nanoseconds on a CPU. 0 or -EBADMSG (*out untouched). */
int schedstat_parse(const char *text, size_t len, uint64_t *out);

/* /proc/PID/statm: resident pages. 0 or -EBADMSG (*out untouched). */
int statm_parse(const char *text, size_t len, uint64_t *out);

#endif
