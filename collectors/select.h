/* SPDX-License-Identifier: MIT */
/*
 * The first few of many in a given order, without allocating: a heap of the best so far, then sorted in place.
 */
#ifndef COLLECTORS_SELECT_H
#define COLLECTORS_SELECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True when item `a` goes before item `b`. A strict order; items are numbers that mean something to the caller. */
typedef bool (*select_before_fn)(uint32_t a, uint32_t b, const void *user);

/* Puts the first `max` of the items 0 … count-1 into out, in order. Returns how many: the lesser of max and count. */
size_t select_first(uint32_t *out, size_t max, size_t count, select_before_fn before, const void *user);

#endif
