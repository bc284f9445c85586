/* SPDX-License-Identifier: MIT */
/*
 * Shared by the two parts of unit.h: unit.c has a unit's deadlines, its state at PID 1 and its end, unit_start.c starts
 * it. No other file includes this.
 */
#ifndef AGENT_EXECUTOR_UNIT_PRIVATE_H
#define AGENT_EXECUTOR_UNIT_PRIVATE_H

#include "agent/executor/unit.h"
#include "agent/bus/unit_state.h"
#include "agent/runner/tree.h"

struct unit {
	struct executor *executor;
	struct unit *next;
	uint64_t id;	     /* of the request; 0: no reply is pending */
	uint64_t generation; /* connection (executor->generation) on which it is watched */
	char name[UNIT_NAME_MAX];
	char *path; /* object path at PID 1 */
	bool detached, started, stopping;
	struct deadlines deadlines; /* none of a detached run */
	uint64_t limit_ns;	    /* deadline that PID 1 enforces */
	sd_event_source *timer;
	sd_bus_slot *start, *watch, *query[2];
	int pipes[2]; /* read ends, until they are sent to the agent; a detached run has files instead */
	int file;     /* stdin of the launcher: the request, and the launcher's failure */
	/* What a start that PID 1 never received is sent again with, until PID 1 has accepted it; -1: accepted. */
	int output[2];
	char *action;
	bool active;
	struct unit_state is;
};

/* ---- unit.c */

/* Adds a unit to the executor's table, with the deadlines of the request and its timer, not armed. NULL: no memory. */
struct unit *unit_new(struct executor *executor, const struct runner_request *head, const char *name);

/* Watches it on the current connection. As sd_bus_match_signal. */
int unit_watch(struct unit *unit);

/* Arms the timer for the unit's next deadline. */
void unit_deadline_arm(struct unit *unit);

/* Removes it from the table without an answer. */
void unit_free(struct unit *unit);

/* Whether the error means that PID 1 is unreachable for the moment: units are queried again when it is back. */
bool unit_manager_is_away(const sd_bus_error *error);

/* ---- unit_start.c */

/*
 * Asks PID 1 to start it; while PID 1 cannot be reached, which is so for a moment when it re-executes itself, it is
 * asked after the next connection. 0 or -errno.
 */
int unit_request(struct unit *unit);

#endif
