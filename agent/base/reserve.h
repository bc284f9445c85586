/* SPDX-License-Identifier: MIT */
/*
 * What the event loop cannot do without. libev (4.33) aborts the process when an allocation fails and when it gets no
 * file descriptor for its wake-up pipe. So its memory comes from an allocator that falls back to an area of its own,
 * and the descriptors are tried before it asks for them.
 */
#ifndef AGENT_BASE_RESERVE_H
#define AGENT_BASE_RESERVE_H

#include <stddef.h>

#include <infiniservice/err.h>

struct ev_loop;

/* The default loop with the reserve behind it, its signal machinery included. NULL with words when it cannot be had. */
struct ev_loop *reserve_loop(struct err *e);

/* The allocator as ev_set_allocator(3) wants it: size 0 frees. NULL only when heap and reserve are both used up. */
void *reserve_realloc(void *old, long size);

/* Bytes of the reserve that are in use. */
size_t reserve_used(void);

#endif
