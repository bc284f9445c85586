/* SPDX-License-Identifier: MIT */
/*
 * Past samples from the local log, in batches. A child process reads and filters the log (a disk may hang); its lines
 * come over a socket that is read only as fast as the batches are taken (back-pressure): not in the pause between two
 * batches, and not while the consumer is crowded. A batch goes out when it is full, when half a second has passed since
 * its first sample, or at the end.
 */
#ifndef AGENT_METRICS_HISTORY_READER_H
#define AGENT_METRICS_HISTORY_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/base/loop.h"

#define HISTORY_BATCH_ITEMS   100
#define HISTORY_BATCH_WAIT_NS (500 * NS_PER_MS)
/*
 * Pauses between two batches, so that a long history leaves room for other messages; and while the consumer is crowded.
 */
#define HISTORY_PACE_NS	   (20 * NS_PER_MS)
#define HISTORY_CROWDED_NS (100 * NS_PER_MS)

#define HISTORY_NOT_TAKEN "the peer does not take it" /* the error when batch() was false */

struct history_wanted {
	char dir[4096];
	int64_t begin_ms, end_ms;  /* begin <= time < end */
	uint64_t from_seq, to_seq; /* both included */
	uint64_t limit;
	uint64_t interval_ms; /* least distance of two; 0: every one */
};

struct history_reader;

struct history_reader_config {
	struct loop *loop;
	size_t batch_bytes; /* limit of samples and the commas between them; a single larger sample is sent too */

	/* True while the consumer has no room. */
	bool (*crowded)(void *data);
	/*
	 * Takes zero or more samples as JSON, with commas between them; `last`: no more follow. False: they could not
	 * be taken.
	 */
	bool (*batch)(void *data, const char *samples, size_t len, bool last);
	/*
	 * Reading has ended; history_reader_flush hands out the rest of the batch. `more`: the limit was reached and a
	 * further sample exists. `error`: NULL, or why the reading failed. No callback follows; this one may free the
	 * reader.
	 */
	void (*ended)(void *data, bool more, const char *error);
	void *data; /* of all three */
};

struct history_read {
	uint64_t count, first_seq, last_seq; /* of the samples read */
	uint64_t delivered_seq;		     /* seq of the last sample of the last batch taken; 0: none */
};

/* Starts the child; `wanted` is copied. No callback is called from within. 0 and *ret, the caller's, or -errno. */
int history_reader_new(const struct history_reader_config *config, const struct history_wanted *wanted,
		       struct history_reader **ret);

/* Ends the child; no callback is called any more. Accepts NULL. Returns NULL. */
struct history_reader *history_reader_free(struct history_reader *reader);

/* Hands out the present batch, even an empty one. Returns what batch() returned. */
bool history_reader_flush(struct history_reader *reader, bool last);

struct history_read history_reader_read(const struct history_reader *reader);

/*
 * The main function of the child (agent/metrics/history_child.c); `wanted` is a struct history_wanted. It writes, on
 * its socket, one line per picked sample, "SEQ JSON\n", before it, if it is not whole, the same filled in, "=JSON\n",
 * for the case that it is the first of a batch; and a last line: ".\n" when nothing more matches, "+\n" when
 * the limit was reached, "!words\n" when the log could not be read.
 */
#define HISTORY_SEQ_DIGITS 20
int history_child(int fd, void *wanted);

#endif
