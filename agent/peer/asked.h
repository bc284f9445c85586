/* SPDX-License-Identifier: MIT */
/*
 * Samples that a peer asks for (`Metrics`): within the policy and at a pace, so that nobody fills the log, or the
 * host's port, by asking. A source gets one a second; who asks again is answered by the sample just taken, which enters
 * the log no second time.
 *
 *	ask ─► refused (policy) | a sample is in the making: it is the answer | the newest one | a new one, soon
 */
#ifndef AGENT_PEER_ASKED_H
#define AGENT_PEER_ASKED_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/loop.h"
#include "agent/base/source.h"
#include "agent/metrics/sampling.h"

struct line;
struct session;

#define ASKED_SPACING_NS NS_PER_S
/*
 * Users of the local socket, root apart, have this many in hand together, and get back one for each regular sample:
 * over hours their questions make the log no more than twice as long.
 */
#define ASKED_USERS_SAVED 20

/* The first three are set by its owner, the rest begins as zeros. */
struct asked {
	const struct loop *loop;
	struct sampling *sampling;
	struct sources *sources;

	struct session *first;	  /* local clients that wait for the sample in the making */
	uint64_t users_ns;	  /* when one of the users was given a sample; 0: never */
	unsigned users_spent;	  /* of ASKED_USERS_SAVED */
	uint64_t ticks;		  /* regular samples up to the last look at users_spent */
	uint64_t taken, repeated; /* answered by a new one, by one that was there */
};

/* `Metrics` of this session, which the policy allows, is answered. */
void asked_for_sample(struct asked *asked, struct session *session);

/* A sample has been published: who waits for one gets it. */
void asked_publish(struct asked *asked, struct line *line);

/* The session is over, it waits for nothing. */
void asked_leave(struct asked *asked, struct session *session);

#endif
