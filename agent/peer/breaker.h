/* SPDX-License-Identifier: MIT */
/*
 * The circuit breaker of the port: a state computed from its failures in a row, which is reported to hosts and in
 * Status. It controls nothing: the port itself has the times of its attempts. Pure: faults and moments in, a state out.
 *
 *	Closed ──5 failures in a row──► Open ──its time has come──► HalfOpen ──works──► Closed
 *	                                  ▲                            └──fails──► Open
 */
#ifndef AGENT_PEER_BREAKER_H
#define AGENT_PEER_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include <infiniservice/moment.h>

#include "transport/reply.h"

#define BREAKER_FAILURES 5

struct breaker {
	enum reply_breaker state;
	unsigned failures;	 /* in a row */
	unsigned failures_told;	 /* failures before the last opening; reported with the state after it */
	int64_t last_failure_ms; /* wall time; valid when `failed` */
	bool failed;		 /* ever */
	uint64_t retry_ns; /* of Open: time of the next attempt, CLOCK_MONOTONIC; TIME_NEVER: when the node changes */
	uint64_t opened;   /* number of openings */
	bool untold;	   /* the state has changed since the last report to a host */
};

/* Records a failed open or a stalled session; the next attempt is at `retry_ns`, as in struct breaker. */
void breaker_failed(struct breaker *breaker, const struct moment *now, uint64_t retry_ns);

/* Records success: the port is open and a host is connected. */
void breaker_worked(struct breaker *breaker);

/* The state at `now` (Open becomes HalfOpen at `retry_ns`) with its counters, for reply_circuit_breaker_state and
 * Status. */
struct reply_breaker_state breaker_describe(const struct breaker *breaker, const struct moment *now);

#endif
