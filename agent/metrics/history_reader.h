/* SPDX-License-Identifier: MIT */
/*
 * Samples of the past out of the local log, in batches. A child reads and picks (a disk may hang); its lines come over
 * a socket that is read only as fast as the batches are taken: not between two of them, and not while the taker is
 * crowded. A batch goes out when it is full, when half a second has passed since its first sample, or at the end.
 */
#ifndef AGENT_METRICS_HISTORY_READER_H
#define AGENT_METRICS_HISTORY_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/loop.h"
#include "agent/metrics/history_child.h"

#define HISTORY_BATCH_ITEMS   100
#define HISTORY_BATCH_WAIT_NS (500 * NS_PER_MS)
/* Between two batches, so that a long history leaves room for everything else; and while the taker is crowded. */
#define HISTORY_PACE_NS	   (20 * NS_PER_MS)
#define HISTORY_CROWDED_NS (100 * NS_PER_MS)

#define HISTORY_NOT_TAKEN "the peer does not take it" /* the error when batch() was false */

struct history_reader;

struct history_reader_config {
	struct loop *loop;
	size_t batch_bytes; /* of samples and the commas between them; one sample goes out whatever its size */

	/* Has the taker enough to do already? */
	bool (*crowded)(void *data);
	/* Samples as JSON, with commas between them, maybe none; `last`: no more follow. False: they could not be
	 * taken. */
	bool (*batch)(void *data, const char *samples, size_t len, bool last);
	/*
	 * All has been read, but for what history_reader_flush hands out; `more`: the limit was reached, and there
	 * would have been another one. Or `error` says why not. No other function is called after it; it may free the
	 * reader.
	 */
	void (*ended)(void *data, bool more, const char *error);
	void *data; /* of all three */
};

struct history_read {
	uint64_t count, first_seq, last_seq; /* of the samples read */
	uint64_t delivered_seq;		     /* of the last sample of a batch that was taken; 0: none */
};

/* Starts the child; `wanted` is copied. Nothing is called from within. 0 or -errno. */
int history_reader_new(const struct history_reader_config *config, const struct history_wanted *wanted,
		       struct history_reader **ret);

/* Ends the child; nothing is called any more. Accepts NULL. Returns NULL. */
struct history_reader *history_reader_free(struct history_reader *reader);

/* Hands out what is in the batch, also when that is nothing. What batch() returned. */
bool history_reader_flush(struct history_reader *reader, bool last);

struct history_read history_reader_read(const struct history_reader *reader);

#endif
