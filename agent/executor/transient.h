/* SPDX-License-Identifier: MIT */
/* Builds the D-Bus message that asks PID 1 for a transient unit; sends nothing. */
#ifndef AGENT_EXECUTOR_TRANSIENT_H
#define AGENT_EXECUTOR_TRANSIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/bus/libsystemd.h"

/* How long after a command's kill deadline PID 1 ends it, in case there is no executor to do it. */
#define TRANSIENT_LATE_MS 1500

struct transient {
	const char *name;
	const char *action;   /* for the unit's description */
	const char *program;  /* the launcher: path of this program */
	const char *bound_to; /* unit that stops this one when it stops; NULL: none */
	/* `detached`: stopped by SIGTERM with time to end, and goes on when a process is killed for lack of memory. */
	bool detached;
	int stdio[3];
	uint64_t memory_max; /* bytes; 0: no limit */
	uint64_t tasks_max;  /* 0: systemd's default */
	uint64_t kill_ns;    /* CLOCK_MONOTONIC; TIME_NEVER: no limit */
};

/* Builds the StartTransientUnit call, for the caller to send and unref. 0 or -errno. */
int transient_message(sd_bus *manager, const struct transient *transient, uint64_t now_ns, sd_bus_message **ret);

/* The fixed environment of actions whose request carries none. */
const char *const *transient_environment(void);

#endif
