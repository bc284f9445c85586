/* SPDX-License-Identifier: MIT */
/*
 * What happened to a guest, in one list by time: gaps, starts and reboots, snapshots, processes killed for want of
 * memory, collectors that failed (all from the samples of the log), commands, alerts and other events of the agent
 * (from the audit records).
 */
#ifndef TOOLS_INFINICTL_EVENTS_H
#define TOOLS_INFINICTL_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/infinictl/reading.h"

/* The newest that are held. */
#define EVENTS_MAX 10000
#define EVENT_TEXT 256

enum event_kind {
	EVENT_GAP,	/* nothing was measured for more than two intervals */
	EVENT_START,	/* the agent was started */
	EVENT_REBOOT,	/* another boot of the guest */
	EVENT_CLOCK,	/* it slept, or its clock was set */
	EVENT_SNAPSHOT, /* another generation within one boot */
	EVENT_OOM,
	EVENT_FAULT, /* a collector, or what the agent told as a warning or error */
	EVENT_ALERT,
	EVENT_COMMAND,
	EVENT_REFUSED,
	EVENT_NOTE, /* what the agent told otherwise */
	EVENT_KINDS,
};

enum event_weight { EVENT_PLAIN, EVENT_WARNING, EVENT_ERROR };

struct event {
	int64_t wall_ms, end_ms; /* end_ms: of a gap; else 0 */
	uint64_t order;
	enum event_kind kind;
	enum event_weight weight;
	char text[EVENT_TEXT]; /* of guest and host, raw: for show() and show_markup() alone */
};

struct events {
	struct event *list;
	size_t count;
	uint64_t added, dropped;
	bool wanted[EVENT_KINDS];
};

/* All kinds are wanted then. */
void events_init(struct events *events);
void events_done(struct events *events);

/* "gap", "start", "reboot", "clock", "snapshot", "oom", "fault", "alert", "command", "refused", "note". */
const char *event_kind_name(enum event_kind kind);

/* Reads the log that is open. CLI_OK, or CLI_FAILED after the error. */
int events_from_log(struct events *events, struct reading *reading);
/* Reads the audit records of the span; the journal too, if `journal` is set. CLI_OK or CLI_FAILED after the error. */
int events_from_records(struct events *events, const char *state_dir, bool journal, int64_t begin_ms, int64_t end_ms);

void events_sort(struct events *events);

#endif
