/* SPDX-License-Identifier: MIT */
/*
 * Names of log segments: metrics-YYYYMMDDTHHMMSS.mmmZ-NNNNNN.ndjson[.zst]. The number grows with every segment, over
 * restarts too, and the time never goes back from one name to the next (when the clock goes back, only the lines show
 * it): so plain `ls`, `cat metrics-*` and names_compare agree on the order of writing.
 */
#ifndef AGENT_LOG_NAMES_H
#define AGENT_LOG_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAMES_SIZE 64

struct segment_name {
	int64_t wall_ms;
	uint64_t number;
	bool compressed;
};

/* Writes the file's name. Returns its length. */
size_t names_format(const struct segment_name *name, char out[NAMES_SIZE]);

/* True and *ret filled if `file` is the name of a segment, exactly as names_format writes it. */
bool names_parse(const char *file, struct segment_name *ret);

/* <0, 0, >0 in the order of writing; a plain segment and its compressed twin are equal. */
int names_compare(const struct segment_name *a, const struct segment_name *b);

/*
 * Opens a segment with `flags` if it is safe to trust: a regular file with one name, of root or this user, writable by
 * no other. Returns the descriptor or -errno; -EPERM: it is not safe.
 */
int names_open(int dir_fd, const struct segment_name *name, int flags);

/* The first plain segment after `after` (number 0: of all), in the order of writing. 1 and *ret, 0: none, or -errno. */
int names_next_plain(int dir_fd, const struct segment_name *after, struct segment_name *ret);

/* A bounded summary of a directory. */
struct names_scan {
	uint64_t files;		    /* segments, compressed ones included */
	uint64_t bytes;		    /* of all of them */
	struct segment_name newest; /* valid when files > 0 */
	unsigned oldest_count;
	struct segment_name oldest[32]; /* the oldest segments, in order */
	uint64_t oldest_bytes[32];
};

/* Examines every segment in the directory, with constant memory. 0 or -errno. Other files are ignored. */
int names_scan_dir(int dir_fd, struct names_scan *ret);

#endif
