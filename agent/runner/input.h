/* SPDX-License-Identifier: MIT */
/*
 * The text that a command reads from a descriptor (RUNNER_RUN_INPUT): a sealed memory file. Its reader gets exactly
 * what was written and never blocks, and the file has no name by which another process could open it. Scripts are
 * passed to their interpreter this way.
 */
#ifndef AGENT_RUNNER_INPUT_H
#define AGENT_RUNNER_INPUT_H

#include <stddef.h>
#include <sys/types.h>

#define INPUT_MAX (16 << 20) /* bytes; the upper bound of port.max_line_bytes */

/*
 * Makes a sealed memory file with these bytes, readable by the user of any process that gets the descriptor. A
 * descriptor or -errno (-E2BIG: more than INPUT_MAX).
 */
int input_new(const char *bytes, size_t len);

/* The length of an input; -EBADMSG when `fd` is no memory file, is not sealed, or is larger than INPUT_MAX. */
ssize_t input_check(int fd);

/* Copies the first `len` bytes of a checked input to `offset` of the file `to`. 0 or -errno. */
int input_copy(int fd, size_t len, int to, off_t offset);

/* Makes a sealed memory file from `len` bytes at `offset` of another file. A descriptor or -errno. */
int input_take(int from, off_t offset, size_t len);

#endif
