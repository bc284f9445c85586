/* SPDX-License-Identifier: MIT */
/* At most three quarters full, so a search always meets a free slot. */
#include "idmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define IDMAP_SIZE_MIN 64

/* The slot of `id` or the free one where it belongs. */
static struct idmap_slot *slot_find(const struct idmap *map, uint64_t id)
{
	/* Multiplicative hashing: the high bits of the product depend on all bits of the id (Knuth, TAOCP 6.4). */
	size_t at = (size_t)(id * 0x9E3779B97F4A7C15ULL >> 32) & (map->size - 1);

	while (map->slots[at].used && map->slots[at].id != id)
		at = (at + 1) & (map->size - 1);
	return &map->slots[at];
}

uint32_t *idmap_get(const struct idmap *map, uint64_t id)
{
	struct idmap_slot *slot;

	if (map->size == 0)
		return NULL;
	slot = slot_find(map, id);
	return slot->used ? &slot->value : NULL;
}

static int grow(struct idmap *map)
{
	struct idmap bigger = { .size = map->size ? map->size * 2 : IDMAP_SIZE_MIN, .count = map->count };

	bigger.slots = calloc(bigger.size, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < map->size; i++)
		if (map->slots[i].used)
			*slot_find(&bigger, map->slots[i].id) = map->slots[i];
	free(map->slots);
	*map = bigger;
	return 0;
}

int idmap_put(struct idmap *map, uint64_t id, uint32_t value)
{
	struct idmap_slot *slot;
	int r;

	if (map->count >= map->size / 4 * 3) {
		r = grow(map);
		if (r < 0)
			return r;
	}
	slot = slot_find(map, id);
	if (!slot->used)
		map->count++;
	*slot = (struct idmap_slot){ .id = id, .value = value, .used = true };
	return 0;
}

void idmap_clear(struct idmap *map)
{
	if (map->count > 0)
		memset(map->slots, 0, map->size * sizeof(*map->slots));
	map->count = 0;
}

void idmap_free(struct idmap *map)
{
	free(map->slots);
	*map = (struct idmap){ 0 };
}
