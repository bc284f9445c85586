/* SPDX-License-Identifier: MIT */
/*
 * The child process that reads the log for history_reader.c. It writes, on its socket, one line per picked sample, "SEQ
 * JSON\n", and a last line:
 * ".\n" when nothing more matches, "+\n" when the limit was reached, "!words\n" when the log could not be read.
 */
#ifndef AGENT_METRICS_HISTORY_CHILD_H
#define AGENT_METRICS_HISTORY_CHILD_H

#include <stdint.h>

#define HISTORY_SEQ_DIGITS 20

struct history_wanted {
	char dir[4096];
	int64_t begin_ms, end_ms;  /* begin <= time < end */
	uint64_t from_seq, to_seq; /* both included */
	uint64_t limit;
	uint64_t interval_ms; /* least distance of two; 0: every one */
};

/* For helper_fork; `data` is a struct history_wanted. */
int history_child(int fd, void *data);

#endif
