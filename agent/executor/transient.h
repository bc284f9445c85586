/* SPDX-License-Identifier: MIT */
/* The message that makes a transient unit of a command: what PID 1 is asked for, as data. */
#ifndef AGENT_EXECUTOR_TRANSIENT_H
#define AGENT_EXECUTOR_TRANSIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/bus/libsystemd.h"

/* How long after a command's own last deadline PID 1 ends it by itself: when there is no executor to do it. */
#define TRANSIENT_LATE_MS 1500

struct transient {
	const char *name;
	const char *action;   /* for its description */
	const char *program;  /* its launcher: this program */
	const char *bound_to; /* stops when this unit does; NULL: nothing */
	bool detached;	      /* may take its time to stop (its signal is SIGTERM), and outlives a lack of memory */
	int stdio[3];
	uint64_t memory_max; /* bytes; 0: no limit */
	uint64_t tasks_max;  /* 0: systemd's default */
	uint64_t kill_ns;    /* CLOCK_MONOTONIC; TIME_NEVER: no limit */
};

/* StartTransientUnit for it; 0 or -errno. */
int transient_message(sd_bus *manager, const struct transient *transient, uint64_t now_ns, sd_bus_message **ret);

/* The environment of commands that bring none of their own. */
const char *const *transient_environment(void);

#endif
