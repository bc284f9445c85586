/* SPDX-License-Identifier: MIT */
/*
 * Samples of the past out of the local log, for GetHistory and for a host that says by Ack what it holds. A child reads
 * and picks (a disk may hang); its lines come over a socket that is read only as fast as the peer takes them, and leave
 * as `metrics_batch` messages of at most 100 samples, 256 KiB or what came in half a second.
 */
#ifndef AGENT_ACTIONS_HISTORY_H
#define AGENT_ACTIONS_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/command/action.h"
#include "agent/base/loop.h"

struct action_env;
struct history;
struct session;

/* Being read at the same time: for the host; for one user of the local socket; for all users but root. */
#define HISTORIES_HOST	      4
#define HISTORIES_USER	      1
#define HISTORIES_USERS	      4
#define HISTORY_LIMIT_DEFAULT 1000
/* Samples that are offered after a gap by one reading of the log; what is left is read next. */
#define HISTORY_BACKFILL_MAX 10000

/* What a peer misses and is still to be offered: `from` to `to`, both included; `to` 0: nothing. */
struct history_gap {
	uint64_t from, to;
	unsigned failures; /* in a row */
	struct history *reading;
	struct deadline again; /* the next try */
};

/* What one session is given of the past, and what it says it holds. */
struct past {
	struct action_env *env;
	bool acked; /* the peer says what it holds: */
	uint64_t acked_seq;
	struct history_gap gap; /* what it misses */
	struct history *first;	/* being read for it */
};

/*
 * Ack {seq}: nothing up to it is offered again. The first one of a session that leaves a hole before the first sample
 * of that session asks for what lies in it, as metrics_batch messages with a null id. What cannot be offered now (too
 * many histories, no memory or process, a log that is behind or cannot be read, a peer that has no room) is offered
 * later.
 */
void history_ack(struct action_env *env, struct session *session, uint64_t seq);

/* What the host has said to hold counts no more: it may say it anew, and what it misses then is offered. */
void history_forget_ack(struct session *session);

/* Who asked before this time of CLOCK_MONOTONIC is gone: what is being read for a GetHistory of that time ends. */
void history_leave(struct session *session, uint64_t before_ns);

/* Does the peer say what it holds? */
bool history_acked(const struct session *session);

/* The session is over: what is read for it ends, and its memory is freed. */
void history_end(struct session *session);

#endif
