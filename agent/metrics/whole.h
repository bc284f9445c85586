/* SPDX-License-Identifier: MIT */
/*
 * Which samples are whole. What hardly ever changes (sink_whole_begin in sink.h) is left out of the others; whoever
 * reads a stream of samples from a whole one on has it all the same. Port and log are two such streams with the same
 * lines, and not always the same samples: a sample is whole for both if it has to be for one that gets it.
 */
#ifndef AGENT_METRICS_WHOLE_H
#define AGENT_METRICS_WHOLE_H

#include <stdbool.h>
#include <stdint.h>

#define WHOLE_EVERY   100 /* of so many samples in a row of a stream one is whole at least */
#define WHOLE_STREAMS 2	  /* the bits 0 and 1 of enum sample_to: port, log */

/* Zeroed: the next sample of each stream is whole. */
struct whole {
	struct whole_stream {
		uint64_t hash;	/* of what only whole samples have, in the last one */
		unsigned since; /* samples after it, and itself; 0: the next one is whole */
	} streams[WHOLE_STREAMS];
};

/* The next sample of these streams (bits) is whole. */
void whole_want(struct whole *whole, unsigned streams);

/* A sample for these streams; `hash` says what only a whole one has. True if it is whole. */
bool whole_take(struct whole *whole, unsigned streams, uint64_t hash);

#endif
