/* SPDX-License-Identifier: MIT */
/*
 * One peer that may send messages: the host on the port, or a client of the local socket. Bytes in become lines, lines
 * become messages, and each message is either answered at once or becomes a command; each bad line gets exactly one
 * answer. How lines get out again is the owner's business, behind `send`.
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

#include "agent/metrics/feed.h"
#include "agent/history.h"
#include "agent/rules/policy.h"
#include "transport/frame.h"

struct agent;
struct history;
struct message_fault;

enum session_kind {
	SESSION_PORT,  /* the host */
	SESSION_LOCAL, /* a process of this guest: sees, never changes anything */
};

/* What goes on after it was asked for. Histories are commands and know by themselves when they came. */
enum session_wish {
	SESSION_WISH_SUBSCRIPTION,
	SESSION_WISH_SAMPLE, /* the next one, by Metrics */
	SESSION_WISH_MISSED, /* what it does not hold, by Ack */
	SESSION_WISHES,
};

struct session {
	struct agent *agent;
	enum session_kind kind;
	char name[48];						 /* for log and audit: "port", "uid 1000" */
	uid_t uid;						 /* of a local client */
	int (*send)(struct session *session, struct line *line); /* takes its own reference; 0 or -errno */

	/* Bytes that wait to be sent, and from how many on the peer counts as slow. */
	size_t (*backlog)(const struct session *session);
	size_t backlog_max;

	struct feed_reader feed; /* what it has subscribed to */
	struct history *history; /* samples being read for it (Ack); owned by history.c */
	uint64_t first_seq;	 /* of the samples offered in this session; 0: none yet */
	bool acked;		 /* the peer says what it holds: */
	uint64_t acked_seq;
	uint64_t wished_ns[SESSION_WISHES]; /* when it last asked for each */
	struct history_gap gap;		    /* what it misses; owned by history.c */
	struct frame_reader frames;
	struct session *asked_next; /* of those that wait for a sample, see asked.h */
	ev_timer half_line;	    /* runs while part of a line has arrived and the rest has not */
	uint64_t lines_in, bad_lines, half_lines, answers_lost; /* half_lines: thrown away before a whole message */
};

/* How long a half line may wait for its rest. */
#define SESSION_HALF_LINE_S 30.0

void session_init(struct session *session, struct agent *agent, enum session_kind kind,
		  int (*send)(struct session *session, struct line *line));

/* Stops its timer, frees its memory, and orphans its commands: their answers are counted as undeliverable. */
void session_done(struct session *session);

/* The peer is gone or has been replaced: the half line and the claim to answers go, the session object stays. */
void session_reset(struct session *session);

/*
 * The same for what it asked before this time of CLOCK_MONOTONIC (0: nothing): what came later may be the next peer's
 * already.
 */
void session_border(struct session *session, uint64_t gone_ns);

/* Bytes from the peer, in order. */
void session_receive(struct session *session, const char *bytes, size_t len);

/*
 * The one answer to a message that cannot be taken: a `response` when its id is known, else an `error`. `command_type`
 * is what it asked for, as far as that could be told (or NULL): the host requires a text.
 */
void session_refuse(struct session *session, const struct message_fault *fault, const char *command_type);

/* Is so much waiting to be sent already that what may be left out should be? */
bool session_crowded(const struct session *session);

/* Its output has moved on: who waits for room goes on. */
void session_drained(struct session *session);

/*
 * Sends what reply_* left in the agent's writer, as a line of `class`. Counts what cannot be delivered. `session` may
 * be NULL (the asker is gone).
 */
void session_answer(struct agent *agent, struct session *session, enum line_class class);

#endif
