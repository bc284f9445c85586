/* SPDX-License-Identifier: MIT */
/*
 * Compresses a closed segment, a frame a call, into its twin with .zst at the end (see frames.h). Until the twin is
 * whole and on the disk it has another name, and the plain segment is removed only after that: whatever moment the
 * machine stops at, each line is in one of both. All of it may block.
 */
#ifndef AGENT_LOG_PACK_H
#define AGENT_LOG_PACK_H

#include <stdint.h>

#include "agent/log/names.h"
#include "agent/log/writer.h"

/* Holds the twin until it is whole; there is at most one in a directory. */
#define PACK_TEMPORARY ".pack.new"
/* Most of the bytes of the plain segment that the twin may have; a segment that would have more stays plain. */
#define PACK_WORTH(plain) ((plain) / 2)

struct pack;

/*
 * Begins with the segment `name` (plain) of the directory, which has to stay open. 0 and *ret, the caller's; -errno:
 * -EPERM if the segment is not safe to read (see names_open).
 */
int pack_begin(int dir_fd, const struct segment_name *name, const struct log_readers *readers, struct pack **ret);

/*
 * Compresses a frame more, or ends the work: 1 there is more to do, 0 the twin has taken the segment's place, -EFBIG
 * it would be larger than is worth it, or another -errno; then the segment stays as it is, and pack_free follows.
 */
int pack_step(struct pack *pack);

/* The segment's name, and its bytes. */
const struct segment_name *pack_name(const struct pack *pack);
uint64_t pack_plain_bytes(const struct pack *pack);

/* Gives up what is not done. Accepts NULL; returns NULL. */
struct pack *pack_free(struct pack *pack);

/*
 * Ends what a writer that died left half done: removes the temporary file, and plain segments whose twin is whole,
 * which a twin says by holding the same number of bytes. 0 or -errno.
 */
int pack_recover(int dir_fd);

#endif
