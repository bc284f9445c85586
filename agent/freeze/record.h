/* SPDX-License-Identifier: MIT */
/*
 * The record of what is frozen: a small file on the tmpfs /run, in a directory of root's alone, by which what a killed
 * helper left is thawed. Its pages are mapped and locked, so that an entry changes by one byte in memory.
 */
#ifndef AGENT_FREEZE_RECORD_H
#define AGENT_FREEZE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* State of an entry, its first byte. */
enum record_state {
	RECORD_UNTOUCHED = '-', /* thawed, or not frozen yet, or not ours */
	RECORD_BEGUN = '?',	/* the call was begun: it may be frozen */
	RECORD_FROZEN = 'f',
};

struct record {
	char *entries; /* mapped; NULL: none */
	size_t count;
};

/*
 * Makes the file below `root_fd` ("/" except in tests) with one untouched entry for each superblock. 0 or -errno
 * (-EEXIST: there is one already).
 */
int record_create(struct record *record, int root_fd, const uint64_t *devices, size_t count);

void record_set(struct record *record, size_t i, enum record_state state);

/* Removes the file, and unmaps it. */
void record_remove(struct record *record, int root_fd);

/*
 * The superblocks that may be frozen by the file, at most `max`; the number, 0 also where there is no file, or -errno
 * (-EBADMSG: not written by record_create).
 */
int record_read(int root_fd, uint64_t *devices, size_t max);

#endif
