/* SPDX-License-Identifier: MIT */
/*
 * Repair after a crash, at the next start: the newest plain segment is cut after its last whole line. No other byte of
 * the log is ever changed.
 */
#ifndef AGENT_LOG_REPAIR_H
#define AGENT_LOG_REPAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/log/names.h"

struct repair {
	bool any;		    /* there is at least one segment */
	struct segment_name newest; /* the newest segment, if any */
	int fd;			    /* open for appending to the newest; -1 if that is compressed or unsafe */
	uint64_t size;		    /* of the newest, after the repair */
	uint64_t cut_bytes;	    /* removed from its end */
	bool removed;		    /* a newer segment without a whole line, not even its header, was removed */
	uint64_t lines;		    /* 0 or 1: whether it has a line besides the header */
	int64_t last_wall_ms;	    /* timestamp of its last line; -1: none */
	uint64_t last_seq;	    /* of the last line that has one, also of a compressed newest; 0: none */
};

/*
 * Repairs the directory. `ret->fd` is the caller's to close. 0 or -errno (*ret unchanged). An unsafe newest file (a
 * link, a FIFO, a foreign owner) is no error: it is not touched, and a new segment follows it.
 */
int repair_run(int dir_fd, struct repair *ret);

/* Finds the last seq in the log of a directory, read-only; 0 when there is no log. 0 or -errno. */
int repair_last_seq(const char *dir, uint64_t *ret_seq);

#endif
