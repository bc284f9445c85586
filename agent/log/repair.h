/* SPDX-License-Identifier: MIT */
/*
 * What a crash may leave behind, put right at the next start: the newest plain segment ends after its last whole line.
 * Only bytes after that are cut off; no other byte of the log is ever changed.
 */
#ifndef AGENT_LOG_REPAIR_H
#define AGENT_LOG_REPAIR_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/log/names.h"

struct repair {
	bool any;		    /* there is at least one segment */
	struct segment_name newest; /* then: the newest */
	int fd;			    /* open for appending to the newest, -1 if that is compressed or unsafe */
	uint64_t size;		    /* of that file after the repair */
	uint64_t cut_bytes;	    /* removed from its end */
	bool removed;		    /* a newer one held nothing whole, not even its header, and is gone */
	uint64_t lines;		    /* 0 or 1: whether a line beside the header is in it */
	int64_t last_wall_ms;	    /* timestamp of its last line, -1 if none */
	uint64_t last_seq;	    /* of the last line of the newest that has one; 0 if none */
};

/*
 * Repairs the directory. `ret->fd` belongs to the caller. 0 or -errno (*ret untouched). An unsafe newest file (a
 * link, a FIFO, a foreign owner) is no error: it is left alone and a new segment follows it.
 */
int repair_run(int dir_fd, struct repair *ret);

/* The last seq in the log of a directory, reading only; 0 when there is no log. 0 or -errno. */
int repair_last_seq(const char *dir, uint64_t *ret_seq);

#endif
