/* SPDX-License-Identifier: MIT */
/*
 * A reserve of memory and descriptors for the event loop. libev (4.33) aborts the process when an allocation fails and
 * when it gets no file descriptor for its wake-up pipe. So its memory comes from an allocator that falls back to a
 * reserved area, and the descriptors are tried before libev opens them.
 */
#ifndef AGENT_BASE_RESERVE_H
#define AGENT_BASE_RESERVE_H

#include <stddef.h>

#include <infiniservice/err.h>

struct ev_loop;

/* The default loop with the reserve behind it, including its signal handling. NULL with the reason in `e`. */
struct ev_loop *reserve_loop(struct err *e);

/* The allocator for ev_set_allocator(3): size 0 frees. NULL only when heap and reserve are both exhausted. */
void *reserve_realloc(void *old, long size);

/* Bytes of the reserve in use. */
size_t reserve_used(void);

#endif
