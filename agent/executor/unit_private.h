/* SPDX-License-Identifier: MIT */
/*
 * What the three parts of unit.h share: unit.c has a unit's deadlines and its end, unit_start.c what comes before,
 * unit_query.c asks PID 1 how one is that was not watched. Nobody else includes this.
 */
#ifndef AGENT_EXECUTOR_UNIT_PRIVATE_H
#define AGENT_EXECUTOR_UNIT_PRIVATE_H

#include "agent/executor/unit.h"
#include "agent/executor/unit_state.h"

#define PROPERTIES_INTERFACE "org.freedesktop.DBus.Properties"
#define UNIT_INTERFACE	     "org.freedesktop.systemd1.Unit"
#define SERVICE_INTERFACE    "org.freedesktop.systemd1.Service"

struct unit {
	struct executor *executor;
	struct unit *next;
	uint64_t id;	     /* 0: nobody waits for its end */
	uint64_t generation; /* of the connection that it is watched on */
	char name[UNIT_NAME_MAX];
	char *path; /* of its object */
	bool detached, started, stopping;
	uint32_t flags;			     /* RUNNER_… of the reply */
	uint64_t term_ns, kill_ns, stuck_ns; /* TIME_NEVER when done, and of a detached run */
	sd_event_source *timer;
	sd_bus_slot *start, *watch, *query[2];
	int pipes[2]; /* read ends, until the agent has them; a detached run has files instead */
	int file;     /* the launcher's stdin: the request, and what the launcher says to it */
	bool active;
	struct unit_state is;
};

/* In the executor's table, with the request's deadlines not armed yet; NULL: no memory. */
struct unit *unit_new(struct executor *executor, const struct runner_request *head, const char *name);

/* Its object at PID 1, watched, and its timer. 0 or -errno. */
int unit_prepare(struct unit *unit);

/* Watches it on the connection that stands now. As sd_bus_match_signal. */
int unit_watch(struct unit *unit);

/* The timer goes off at the next of its deadlines. */
void unit_deadline_arm(struct unit *unit);

/* What follows from the state it is in now. May free it. */
void unit_advance(struct unit *unit);

/* PID 1 has nothing more to say about it (`known`: it said how it ended): answers and frees it. */
void unit_end(struct unit *unit, bool known);

/* Out of the table, unanswered. */
void unit_free(struct unit *unit);

/* PID 1 is away, which says nothing about the units: it is asked again when it is back. */
bool unit_manager_is_away(const sd_bus_error *error);

#endif
