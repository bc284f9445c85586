/* SPDX-License-Identifier: MIT */
/*
 * Which life of this guest a sample belongs to. A guest that is put back to a snapshot goes on with the numbers it had
 * then, and gives them again to other samples; nothing inside of it has changed. So a random number, the generation,
 * stands beside each number, and is renewed as soon as something from outside shows that time has passed which this
 * guest has not lived through:
 *
 *   the kernel tells that the machine has another generation id (where both know of that),
 *   the real-time clock is further than it can be by the guest's own boot clock,
 *   the times in a host's messages run ahead of this guest's by more than they did,
 *   a host holds a sample with a number that has not been given yet,
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

struct message;

#define GENERATION_NAME	    "generation" /* in the runtime directory */
#define GENERATION_SIZE	    17		 /* 16 hex digits and NUL */
#define GENERATION_AHEAD_MS 5000	 /* what a clock from outside may be ahead more than before */

/* The first part is set by its owner, the rest begins as zeros. */
struct generation {
	struct loop *loop;
	const struct config *config;
	struct identity *id; /* its generation is kept up to date */
	struct sampling *sampling;
	struct prober_pool *probers;
	/* Another one has begun: the next sample is marked, and is taken soon. `why`: words for a log. */
	void (*renewed)(void *data, const char *why);
	void *data;

	bool running;
	char text[GENERATION_SIZE];
	uint64_t first_seq; /* the number of its first sample */
	uint64_t sent_seq; /* the highest number of it that a host has been given, or may have been by an earlier run */
	bool rtc_known;	   /* the last reading of the real-time clock: */
	struct probe_rtc rtc;
	bool host_known; /* how far the times of hosts are ahead of ours, at the last message: */
	int64_t host_ahead_ms;
	uint64_t foreign_seq; /* the highest number for which an Ack that names no generation has begun one */
	unsigned words;	  /* generations begun on a host's word, of HOST_WORDS: one comes back every HOST_WORD_NS, */
	uint64_t word_ns; /* counted from here */
	struct prober *prober;
	ev_io vmgenid;	      /* active where the kernel may tell of it */
	uint64_t late_due_ns; /* for which it was woken too late, last */
};

/*
 * The judgement alone: does this reading show that time has passed outside? It is the one to compare with from now on.
 * The clock may be wrong, and set by the guest itself: only its way since the last reading counts, against that of the
 * guest's boot clock (which runs while the guest sleeps), and one that now agrees with the wall clock and did not
 * before was set from it.
 */
bool generation_rtc_ran_ahead(struct generation *generation, const struct probe_rtc *now);

/*
 * The same for a time that a host has sent, received at `wall_ms` of ours. The first one says nothing: clocks may
 * differ.
 */
bool generation_host_ran_ahead(struct generation *generation, int64_t host_ms, int64_t wall_ms);

/* A new one, as text. */
void generation_make(char text[GENERATION_SIZE]);

/*
 * Takes the generation of this boot from the runtime directory, or makes one. The identity is known, and the sampling
 * knows the number of its next sample.
 */
void generation_open(struct generation *generation);

/* Begins and ends to look and listen; none begins before or after that but by what a host says. */
void generation_start(struct generation *generation);
void generation_stop(struct generation *generation);

/*
 * Has the real-time clock read, by the prober: what comes of it follows within a moment. At the start, and when a
 * session begins.
 */
void generation_look(struct generation *generation);

/* The wall clock was set by so much: that is no sign. */
void generation_clock_set(struct generation *generation, int64_t stepped_ms);

/* The loop has waited: was it woken as late as only a guest is that stood still? Before anything else is done. */
void generation_woke(struct generation *generation);

/* What a host sent, if it carries a time. */
void generation_hear(struct generation *generation, const struct message *message);

/*
 * A host says that it holds `seq` of generation `text` (NULL: it does not say which). The number after which it may
 * want samples: `seq`, or what came before this generation's first one where it cannot mean a sample of this
 * generation.
 */
uint64_t generation_ack(struct generation *generation, uint64_t seq, const char *text);

/* A sample of this number has been given to the host. */
void generation_sent(struct generation *generation, uint64_t seq);

#endif
