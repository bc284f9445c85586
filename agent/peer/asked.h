/* SPDX-License-Identifier: MIT */
/*
 * Samples that a peer requests (`Metrics`), at a limited rate, so that no peer can fill the log or the host's port with
 * requests. A source gets one new sample a second; a further request is answered with the newest sample, which is not
 * logged again.
 *
 *	ask ─► refused (policy) | a sample is in the making: it is the answer | the newest one | a new one, soon
 */
#ifndef AGENT_PEER_ASKED_H
#define AGENT_PEER_ASKED_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/loop.h"
#include "agent/base/pace.h"
#include "agent/metrics/sampling.h"

struct line;
struct session;

#define ASKED_SPACING_NS NS_PER_S
/*
 * Users of the local socket, except root, together have a budget of this many new samples, and get one back for each
 * regular sample: over hours their requests at most double the log.
 */
#define ASKED_USERS_SAVED 20

/* The owner sets the first three members; the others start as zeros. */
struct asked {
	const struct loop *loop;
	struct sampling *sampling;
	struct sources *sources;

	struct session *first;	  /* local clients that wait for the sample in the making */
	uint64_t users_ns;	  /* when a user (not root) last got a new sample; 0: never */
	unsigned users_spent;	  /* of ASKED_USERS_SAVED */
	uint64_t ticks;		  /* regular samples up to the last look at users_spent */
	uint64_t taken, repeated; /* requests answered by a new sample, and by the newest one */
};

/* Answers `Metrics` of this session, which the policy permits: at once, or when the next sample is published. */
void asked_for_sample(struct asked *asked, struct session *session);

/* A sample has been published: hands it to the sessions that wait for one. */
void asked_publish(struct asked *asked, struct line *line);

/* The session is over: it stops waiting for a sample. */
void asked_leave(struct asked *asked, struct session *session);

#endif
