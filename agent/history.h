/* SPDX-License-Identifier: MIT */
/*
 * Samples of the past out of the local log, for GetHistory and for a host that says by Ack what it holds. A child reads
 * and picks (a disk may hang); its lines come over a socket that is read only as fast as the peer takes them, and leave
 * as `metrics_batch` messages of at most 100 samples, 256 KiB or what came in half a second.
 */
#ifndef AGENT_HISTORY_H
#define AGENT_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

struct agent;
struct history;
struct session;

/* Being read at the same time, in all. */
#define HISTORIES_MAX	      4
#define HISTORY_BATCH_ITEMS   100
#define HISTORY_LIMIT_DEFAULT 1000
/* Most samples that are offered unasked after a gap. */
#define HISTORY_BACKFILL_MAX 10000

/*
 * Ack {seq}: nothing up to it is offered again. The first one of a session that leaves a hole before the first sample
 * of that session asks for what lies in it, as metrics_batch messages with a null id.
 */
void history_ack(struct session *session, uint64_t seq);

/* The session is over: what is being read for it ends. */
void history_leave(struct session *session);

#endif
