/* SPDX-License-Identifier: MIT */
/*
 * What outlives one run of the agent, in state_dir: the lock that keeps a second agent out and the next sample number.
 *
 * A sample's `seq` grows over restarts and has no holes within a run. It is written at a clean stop; after a crash it
 * is found again as the largest of that file, the local log's last line and latest.json. Where all three may lag (a
 * power cut), the numbers that may have been used are left out, because a number used twice would be a lie and a hole
 * is only a gap.
 */
#ifndef AGENT_BASE_STATE_H
#define AGENT_BASE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include <infiniservice/err.h>

struct state {
	int dir_fd;
	int lock_fd;	   /* held for the life of the agent, never passed to a child */
	uint64_t next_seq; /* as the last clean stop left it; 1 at the very first start */
	bool clean;	   /* the last run of this boot or an earlier one stopped cleanly */
	char boot_id[40];  /* of the run that wrote the file */
};

/* Makes the directory if needed, takes the lock. -EBUSY with the pid of the first agent in `e` when it is held. */
int state_open(struct state *state, const char *dir, struct err *e);

/* Where to go on: `seen` is the largest seq found in log and latest.json (0 = none). */
uint64_t state_first_seq(const struct state *state, uint64_t seen, const char *boot_id);

/* Marks the run as unfinished, so that a crash is told from a stop. */
int state_begin(struct state *state, uint64_t next_seq, const char *boot_id);

/* Writes the next number at a clean stop (rename, no fsync: a lost file is the crash case). */
int state_finish(struct state *state, uint64_t next_seq, const char *boot_id);

void state_close(struct state *state);

#endif
