/* SPDX-License-Identifier: MIT */
/*
 * The generation: a random number beside the seq of each sample. A guest that is restored from a snapshot goes on with
 * the seq it had then and uses the same seq again for other samples, while nothing inside of it has changed. So the
 * generation is renewed as soon as a sign from outside shows that time has passed in which this guest did not run:
 *
 *   the kernel tells that the machine has another generation id (where both know of that),
 *   the real-time clock is further than it can be by the guest's own boot clock,
 *   the times in a host's messages run ahead of this guest's by more than they did,
 *   a host acknowledges a sample with a seq that has not been used yet,
 *   or the agent was woken much later than it had asked for, since its clock was put forward with nothing run in
 *   between.
 *
 * A guest that was paused for long looks the same and gets a new one too, which does no harm. The generation is kept in
 * the runtime directory: the same over a restart of the agent, another one after each boot.
 */
#ifndef AGENT_METRICS_GENERATION_H
#define AGENT_METRICS_GENERATION_H

#include <stdbool.h>
#include <stdint.h>

#include <ev.h>

#include <infiniservice/collector.h>

#include "agent/base/identity.h"
#include "agent/base/loop.h"
#include "agent/config/config.h"
#include "agent/metrics/prober.h"
#include "agent/metrics/sampling.h"

struct json_object;

#define GENERATION_NAME	    "generation" /* in the runtime directory */
#define GENERATION_SIZE	    17		 /* 16 hex digits and NUL */
#define GENERATION_AHEAD_MS 5000	 /* ms that an outside clock may gain on the guest's without being a sign */

/* The owner sets the first part; the rest starts as zeros. */
struct generation {
	struct loop *loop;
	const struct config *config;
	struct identity *id; /* its generation is kept up to date */
	struct sampling *sampling;
	struct prober_pool *probers;
	/* A new generation has begun: the next sample is marked, and is taken soon. `why`: text for the log. */
	void (*renewed)(void *data, const char *why);
	void *data;

	bool running;
	char text[GENERATION_SIZE];
	uint64_t first_seq;  /* seq of its first sample */
	uint64_t before_seq; /* the highest seq of this generation that an earlier agent process may have sent */
	bool rtc_known;	     /* the last reading of the real-time clock: */
	struct probe_rtc rtc;
	bool host_known; /* how far the times of hosts are ahead of ours, at the last message: */
	int64_t host_ahead_ms;
	uint64_t foreign_seq; /* the highest seq for which an Ack without a generation has renewed it */
	unsigned words;	      /* renewals because of a host's message, at most HOST_WORDS; one is given back every
				 HOST_WORD_NS, */
	uint64_t word_ns;     /* since this time */
	struct prober *prober;
	ev_io vmgenid; /* active if the kernel reports generation ids */
};

/*
 * True if this reading of the real-time clock shows that time has passed outside; it becomes the reading to compare the
 * next one with. The clock may be wrong, or set by the guest: only its advance since the last reading counts, compared
 * with the guest's boot clock (which runs while the guest sleeps). A clock that agrees with the wall clock now and did
 * not before was set from it, which is no sign.
 */
bool generation_rtc_ran_ahead(struct generation *generation, const struct probe_rtc *now);

/*
 * The same for a time that a host has sent, received at `wall_ms` of ours. The first one says nothing: clocks may
 * differ.
 */
bool generation_host_ran_ahead(struct generation *generation, int64_t host_ms, int64_t wall_ms);

/* Makes a new generation, as text. */
void generation_make(char text[GENERATION_SIZE]);

/*
 * Reads the generation of this boot from the runtime directory, or makes one. The identity must be set, and the
 * sampling must know its next seq.
 */
void generation_open(struct generation *generation);

/* Start and stop watching for signs; outside of that only messages of a host renew the generation. */
void generation_start(struct generation *generation);
void generation_stop(struct generation *generation);

/*
 * Has the prober read the real-time clock; a renewal may follow a moment later. Called at the start and when a session
 * has started.
 */
void generation_look(struct generation *generation);

/* The wall clock was set by `stepped_ms`: corrects the comparison with the host's clock. */
void generation_clock_set(struct generation *generation, int64_t stepped_ms);

/* A sample was due so long ago (sampling.h) that the guest must have stood still: renews the generation. */
void generation_late(struct generation *generation);

/* Takes the "timestamp" of a host's message: RFC 3339, or milliseconds since 1970; anything else is ignored. */
void generation_hear(struct generation *generation, struct json_object *value);

/*
 * A host acknowledges `seq` of generation `text` (NULL: not named); the highest seq that a host was sent by this
 * process is `sent_seq`. Returns the seq after which the host may miss samples: `seq`, or the one before this
 * generation's first sample if `seq` cannot be of this generation.
 */
uint64_t generation_ack(struct generation *generation, uint64_t seq, const char *text, uint64_t sent_seq);

#endif
