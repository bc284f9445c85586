/* SPDX-License-Identifier: MIT */
/*
 * A text that a command reads from a descriptor (RUNNER_RUN_INPUT): a memory file that is sealed, so that whoever has
 * been given it reads what was written, never waits, and finds no name that anybody else could open. A script is handed
 * to its interpreter so.
 */
#ifndef AGENT_RUNNER_INPUT_H
#define AGENT_RUNNER_INPUT_H

#include <stddef.h>
#include <sys/types.h>

#define INPUT_MAX (16 << 20) /* as port.max_line_bytes may be */

/* A sealed one with these bytes, that any user may read who is given it; or -errno (-E2BIG: more than INPUT_MAX). */
int input_new(const char *bytes, size_t len);

/* Its length; -EBADMSG for what is none, or is not sealed, or larger than INPUT_MAX. */
ssize_t input_check(int fd);

/* Copies a checked one behind `offset` of another file. 0 or -errno. */
int input_copy(int fd, size_t len, int to, off_t offset);

/* A sealed one out of `len` bytes of another file behind `offset`; or -errno. */
int input_take(int from, off_t offset, size_t len);

#endif
