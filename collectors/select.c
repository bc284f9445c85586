/* SPDX-License-Identifier: MIT */
/* A heap with the last of the selected on top: an item that goes after it is refused by one comparison. */
#include "select.h"

/* Moves the item at `at` down until neither child goes after it. */
static void sift_down(uint32_t *heap, size_t at, size_t count, select_before_fn before, const void *user)
{
	for (;;) {
		size_t child = 2 * at + 1;
		uint32_t item = heap[at];

		if (child >= count)
			return;
		if (child + 1 < count && before(heap[child], heap[child + 1], user))
			child++;
		if (!before(item, heap[child], user))
			return;
		heap[at] = heap[child];
		heap[child] = item;
		at = child;
	}
}

size_t select_first(uint32_t *out, size_t max, size_t count, select_before_fn before, const void *user)
{
	size_t taken = max < count ? max : count;

	if (taken == 0)
		return 0;
	for (size_t i = 0; i < taken; i++)
		out[i] = (uint32_t)i;
	for (size_t i = taken / 2; i-- > 0;)
		sift_down(out, i, taken, before, user);
	for (size_t i = taken; i < count; i++) {
		if (!before((uint32_t)i, out[0], user))
			continue;
		out[0] = (uint32_t)i;
		sift_down(out, 0, taken, before, user);
	}
	for (size_t left = taken; left-- > 1;) {
		uint32_t last = out[0];

		out[0] = out[left];
		out[left] = last;
		sift_down(out, 0, left, before, user);
	}
	return taken;
}
