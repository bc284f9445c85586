/* SPDX-License-Identifier: MIT */
/*
 * One peer that may send messages: the host on the port, or a client of the local socket. Bytes in become lines, lines become
 * messages, and each message is either answered at once or becomes a command; each bad line gets exactly one answer.
 * How lines get out again is the owner's business, behind `send`.
 */
#ifndef AGENT_SESSION_H
#define AGENT_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ev.h>

#include <infiniservice/line.h>
#include <infiniservice/moment.h>

#include "agent/policy.h"
#include "transport/frame.h"

struct agent;

enum session_kind {
	SESSION_PORT,  /* the host */
	SESSION_LOCAL, /* a process of this guest: sees, never changes anything */
};

struct session {
	struct agent *agent;
	enum session_kind kind;
	char name[48]; /* for log and audit: "port", "uid 1000" */
	uid_t uid;     /* of a local client */
	int (*send)(struct session *session, struct line *line); /* takes its own reference; 0 or -errno */

	struct frame_reader frames;
	struct token_bucket bucket;
	ev_timer half_line; /* runs while part of a line has arrived and the rest has not */
	uint64_t lines_in, bad_lines, answers_lost;
};

/* How long a half line may wait for its rest. */
#define SESSION_HALF_LINE_S 30.0

void session_init(struct session *session, struct agent *agent, enum session_kind kind,
		  int (*send)(struct session *session, struct line *line));

/* Stops its timer, frees its memory, and orphans its commands: their answers are counted as undeliverable. */
void session_done(struct session *session);

/* The peer is gone or has been replaced: the half line and the claim to answers go, the session object stays. */
void session_reset(struct session *session);

/* Bytes from the peer, in order. */
void session_receive(struct session *session, const char *bytes, size_t len);

/* Sends what reply_* left in the agent's writer, as a line of `class`. Counts what cannot be delivered. `session` may be
 * NULL (the asker is gone). */
void session_answer(struct agent *agent, struct session *session, enum line_class class);

#endif
