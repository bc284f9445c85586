/* SPDX-License-Identifier: MIT */
/*
 * Scripts that a host sends: the agent asks for them once after a session started, and takes them at any time. Each
 * script becomes a command that runs an interpreter over a descriptor (the text has no file name that another process
 * could open). Each is answered by exactly one `script_completion`, also a script that is not permitted, a script whose
 * host has gone meanwhile (the completion is held for the next session), and a script that an earlier agent process
 * left pending.
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

/* Bounds of the completions held for a host that is away. */
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

/* A session with the host has started: sends the held completions, and asks for pending scripts. */
void scripts_session_began(struct scripts *scripts);
void scripts_session_ended(struct scripts *scripts);

/* The line was queued for the host and has been dropped: if it is a completion it is held for the next session. */
void scripts_dropped(struct scripts *scripts, const struct line *line);

/* Takes the scripts of a pending_scripts_response. */
void scripts_take(struct scripts *scripts, struct session *session, struct json_object *items);

/*
 * Completes, as failed, an execution that an earlier agent process accepted and never completed: `serial` of the
 * journal.
 */
void scripts_lost(struct scripts *scripts, uint64_t serial, const char *execution_id);

void scripts_report(const struct scripts *scripts, struct sink *out);

/* ------------------------------------------------------------------------------- what a host has sent; all pure */

/* A script as received. The texts are borrowed from the message. */
struct script {
	const char *id, *content, *shell, *run_as;
	size_t content_len;
	struct json_object *inputs; /* object, or NULL */
	int64_t timeout_s;	    /* 0: the default */
};

/* Fills `script` from one item of a list. NULL when it can be run; else why not. */
const char *script_read(struct json_object *item, struct script *script);

/* Reads a text member into *ret: NULL when it is absent or null. False when it is not a text or holds a NUL. */
bool script_text(struct json_object *object, const char *key, const char **ret);

/*
 * The environment variables for the inputs (NULL: none), as an object of texts, owned by the caller. Each input gets
 * both INPUT_name and INPUT_NAME, as people write either.
 */
struct json_object *script_environment(struct json_object *inputs);

/* The program name for `shell` (upper or lower case; NULL: sh). NULL when there is no such interpreter. */
const char *script_interpreter(const char *shell);

/*
 * Writes INPUT_ and the name, with every character but letters and digits replaced by '_'; with `capitals` in upper
 * case. False when it does not fit.
 */
bool script_input_name(const char *name, bool capitals, char *out, size_t size);

#endif
