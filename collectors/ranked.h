/* SPDX-License-Identifier: MIT */
/*
 * Lists of a sample that may be longer than there is room for: as they are while they fit, else the first ones of a
 * rank that says what matters more, with what was left out said beside them:
 *
 *	static void emit_item(struct sink *out, uint32_t at, const void *user) …
 *	static bool item_before(uint32_t a, uint32_t b, const void *user) …
 *
 *	struct ranked list = { .key = "items", .rank = "busiest first", .count = n,
 *			       .emit = emit_item, .before = item_before, .user = state };
 *	size_t shown = ranked_emit(out, &list);
 *	ranked_tell(out, &list, n - shown);
 */
#ifndef COLLECTORS_RANKED_H
#define COLLECTORS_RANKED_H

#include <stddef.h>
#include <stdint.h>

#include <infiniservice/sink.h>

#include "select.h"

/* Rows that are ranked at most: more than any sample has room for that an ordinary owner wants. */
#define RANKED_MAX 1024

struct ranked {
	const char *key;
	const char *rank; /* the order, in words */
	size_t count;
	/* Writes a row, or nothing for one that is not shown. */
	void (*emit)(struct sink *out, uint32_t at, const void *user);
	select_before_fn before; /* NULL: they stand in this order already */
	const void *user;	 /* of both */
};

/* Writes the array. Returns how many rows it took, those that are not shown included. */
size_t ranked_emit(struct sink *out, const struct ranked *list);

/* Writes KEY_left_out and KEY_rank, if anything was left out. */
void ranked_tell(struct sink *out, const struct ranked *list, uint64_t left_out);

#endif
