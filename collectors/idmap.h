/* SPDX-License-Identifier: MIT */
/*
 * A small hash map from 64-bit numbers to 32-bit ones (an inode to its place in an array): open addressing, linear
 * probing. There is no delete: what changes is cleared and filled again. Zeroed is empty.
 */
#ifndef COLLECTORS_IDMAP_H
#define COLLECTORS_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct idmap_slot {
	uint64_t id;
	uint32_t value;
	bool used;
};

struct idmap {
	struct idmap_slot *slots;
	size_t size; /* a power of two, or 0 */
	size_t count;
};

/* The value of `id`, or NULL; valid until the next change. */
uint32_t *idmap_get(const struct idmap *map, uint64_t id);

/* Sets the value of `id`. 0 or -ENOMEM (nothing changed). */
int idmap_put(struct idmap *map, uint64_t id, uint32_t value);

/* Forgets everything and keeps the memory. */
void idmap_clear(struct idmap *map);

void idmap_free(struct idmap *map);

#endif
