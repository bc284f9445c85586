/* SPDX-License-Identifier: MIT */
/*
 * Scripts that a host sends: asked for once after it connects, taken whenever they come. Each becomes a command that
 * runs an interpreter over a descriptor (its text has no name that anybody could open), and each is answered by exactly
 * one `script_completion`: also one that may not run, one whose host has gone meanwhile (kept for the next session),
 * and one that an earlier run of the agent left behind.
 */
#ifndef AGENT_ACTIONS_SCRIPT_H
#define AGENT_ACTIONS_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/line.h>
#include <infiniservice/sink.h>

#include "agent/base/loop.h"
#include "agent/command/action.h"

struct commands;
struct json_object;
struct session;

/* Completions kept for a host that is away. */
#define SCRIPTS_UNSENT_MAX   200
#define SCRIPTS_UNSENT_BYTES (2u << 20)
/* request_pending_scripts is sent this often, after 0, 10 and 30 s, until a list comes. */
#define SCRIPTS_REQUESTS 3

struct unsent;

struct scripts {
	struct commands *commands;
	struct session *host;
	const char *vm_id;
	struct deadline request_again;
	unsigned requests;		     /* sent in this session */
	struct unsent *unsent, **unsent_end; /* oldest first */
	unsigned unsent_count;
	size_t unsent_bytes;
	uint64_t received, refused, completed, dropped;
};

/* Commands, session and text are borrowed. */
void scripts_init(struct scripts *scripts, struct commands *commands, struct session *host, const char *vm_id);
/* Accepts zeroed memory. */
void scripts_done(struct scripts *scripts);

/* A host is there: sends what was kept for it, and asks for what is pending. */
void scripts_session_began(struct scripts *scripts);
void scripts_session_ended(struct scripts *scripts);

/* A line that was to go to the host and never will: a completion is kept for the next session. */
void scripts_dropped(struct scripts *scripts, const struct line *line);

/* The scripts of a pending_scripts_response. */
void scripts_take(struct scripts *scripts, struct session *session, struct json_object *items);

/* An execution that an earlier run of the agent accepted and never completed: number `serial` of the journal. */
void scripts_lost(struct scripts *scripts, uint64_t serial, const char *execution_id);

void scripts_report(const struct scripts *scripts, struct sink *out);

#endif
