/* SPDX-License-Identifier: MIT */
/*
 * The circuit breaker of the port: what its failures in a row amount to. The port itself keeps the times of its
 * attempts; this keeps the state that hosts and people are told. Pure: faults and moments in, a state out.
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
	unsigned failures_told;	 /* those that the last opening counted; told with the state that follows it */
	int64_t last_failure_ms; /* wall time; valid when `failed` */
	bool failed;		 /* ever */
	uint64_t retry_ns;	 /* of Open: no attempt before; TIME_NEVER: none until the node changes */
	uint64_t opened;	 /* times */
	bool untold;		 /* changed since a host was told */
};

/*
 * An open that failed, or a session that stalled; the next attempt is at `retry_ns` (CLOCK_MONOTONIC, TIME_NEVER: on a
 * change of the node).
 */
void breaker_failed(struct breaker *breaker, const struct moment *now, uint64_t retry_ns);

/* The port is open and a host is there. */
void breaker_worked(struct breaker *breaker);

/* The state at `now`: Open becomes HalfOpen when its time has come. */
enum reply_breaker breaker_state(const struct breaker *breaker, const struct moment *now);

/* For reply_circuit_breaker_state and Status. */
struct reply_breaker_state breaker_describe(const struct breaker *breaker, const struct moment *now);

#endif
