/* SPDX-License-Identifier: MIT */
/* See ranked.h. The second try uses what the first one left of the room: sink_again gives back all of it. */
#include "ranked.h"

#include <stdio.h>

/* How many rows fitted. If that is not all of them the sink is full, and the last that did ends at *ret_end. */
static size_t emit_rows(struct sink *out, const struct ranked *list, const uint32_t *order, size_t count,
			struct sink_mark *ret_end)
{
	for (size_t i = 0; i < count; i++) {
		*ret_end = sink_mark(out);
		list->emit(out, order ? order[i] : (uint32_t)i, list->user);
		if (sink_full(out))
			return i;
	}
	return count;
}

size_t ranked_emit(struct sink *out, const struct ranked *list)
{
	uint32_t order[RANKED_MAX];
	struct sink_mark begin, end;
	size_t shown, wanted;

	sink_array_begin(out, list->key);
	begin = end = sink_mark(out);
	shown = emit_rows(out, list, NULL, list->count, &end);
	if (shown < list->count && list->before) {
		sink_again(out, begin);
		wanted = select_first(order, RANKED_MAX, list->count, list->before, list->user);
		shown = emit_rows(out, list, order, wanted, &end);
	}
	if (sink_full(out))
		sink_rewind(out, end);
	sink_array_end(out);
	return shown;
}

void ranked_tell(struct sink *out, const struct ranked *list, uint64_t left_out)
{
	char key[64];

	if (left_out == 0)
		return;
	snprintf(key, sizeof(key), "%s_left_out", list->key);
	sink_uint(out, key, left_out);
	snprintf(key, sizeof(key), "%s_rank", list->key);
	sink_str(out, key, list->rank);
}
