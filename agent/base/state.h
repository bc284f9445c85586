/* SPDX-License-Identifier: MIT */
/*
 * State that outlives the agent, in state_dir: the lock that keeps a second agent out, and the next sample number.
 *
 * A sample's `seq` grows over restarts and has no holes within a run. It is written at a clean stop; after a crash it
 * is recovered as the largest of that file, the local log's last line and latest.json. Where all three may lag (a power
 * cut), the numbers that may have been used are skipped: a repeated number would be a lie, a hole is only a gap.
 */
#ifndef AGENT_BASE_STATE_H
#define AGENT_BASE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include <infiniservice/err.h>

struct state {
	int dir_fd;
	int lock_fd;	   /* held as long as the agent runs, never passed to a child */
	uint64_t next_seq; /* as of the last clean stop; 1 at the very first start */
	bool clean;	   /* the last run stopped cleanly, in this boot or an earlier one */
	char boot_id[40];  /* of the run that wrote the file */
};

/*
 * Makes the directory if needed and takes the lock. 0 or -errno; -EBUSY, with the pid of the other agent in `e`, when
 * the lock is held.
 */
int state_open(struct state *state, const char *dir, struct err *e);

/* The number to go on with: `seen` is the largest seq found in log and latest.json (0: none). */
uint64_t state_first_seq(const struct state *state, uint64_t seen, const char *boot_id);

/* Marks the run as unfinished, so that a crash can be distinguished from a stop. */
int state_begin(struct state *state, uint64_t next_seq, const char *boot_id);

/* Writes the next number at a clean stop (by rename, without fsync: a lost file is treated as a crash). */
int state_finish(struct state *state, uint64_t next_seq, const char *boot_id);

void state_close(struct state *state);

#endif
