/* SPDX-License-Identifier: MIT */
/*
 * Past samples from the local log, for GetHistory and for the gaps that a host's Ack shows. A child process reads and
 * filters the log (a disk may hang); its lines come over a socket that is read only as fast as the peer takes them
 * (back-pressure), and are sent as `metrics_batch` messages of at most 100 samples, 256 KiB or the samples of half a
 * second.
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

/* Histories read at the same time: for the host; for one user of the local socket; for all users but root. */
#define HISTORIES_HOST	      4
#define HISTORIES_USER	      1
#define HISTORIES_USERS	      4
#define HISTORY_LIMIT_DEFAULT 1000
/* Samples of a gap offered by one reading of the log; the rest is read next. */
#define HISTORY_BACKFILL_MAX 10000

/* The samples that a peer misses and has not been offered yet: seq `from` to `to`, both included; `to` 0: none. */
struct history_gap {
	uint64_t from, to;
	unsigned failures; /* in a row */
	struct history *reading;
	struct deadline again; /* the next try */
};

/* The samples that the peer of a session has acknowledged, and those that it misses. */
struct past {
	struct action_env *env;
	bool acked; /* the peer has sent an Ack: */
	uint64_t acked_seq;
	struct history_gap gap;
};

/*
 * Takes Ack {seq}: samples up to `seq` are not offered again. If the first Ack of a session leaves a gap before the
 * first sample of that session, the samples of the gap are offered in metrics_batch messages with a null id. Samples
 * that cannot be offered now (too many histories, no memory or process, a log that is behind or cannot be read, a peer
 * that has no room) are offered later.
 */
void history_ack(struct action_env *env, struct session *session, uint64_t seq);

/* Forgets the host's Ack: its next Ack counts as the first one of the session. */
void history_forget_ack(struct session *session);

/* The peer that asked before this time of CLOCK_MONOTONIC is gone: ends the histories of its GetHistory commands. */
void history_leave(struct session *session, uint64_t before_ns);

/* True if the peer has sent an Ack in this session. */
bool history_acked(const struct session *session);

/* The session is over: ends its histories and frees its memory. */
void history_end(struct session *session);

#endif
