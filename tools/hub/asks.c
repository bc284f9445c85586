/* SPDX-License-Identifier: MIT */
#include "asks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int asks_add(struct asks *asks, const struct ask *ask)
{
	size_t of_client = 0;

	if (asks_find(asks, ask->vm, ask->id))
		return -EEXIST;
	for (size_t i = 0; i < asks->len; i++)
		of_client += asks->all[i].client == ask->client;
	if (of_client >= ASKS_CLIENT_MAX || asks->len >= ASKS_MAX)
		return -EBUSY;
	if (asks->len == asks->size) {
		size_t size = asks->size ? 2 * asks->size : 16;
		struct ask *all = reallocarray(asks->all, size, sizeof(*all));

		if (!all)
			return -ENOMEM;
		asks->all = all;
		asks->size = size;
	}
	asks->all[asks->len++] = *ask;
	return 0;
}

struct ask *asks_find(struct asks *asks, uint64_t vm, const char *id)
{
	for (size_t i = 0; i < asks->len; i++)
		if (asks->all[i].vm == vm && (!*id || !strcmp(asks->all[i].id, id)))
			return &asks->all[i];
	return NULL;
}

void asks_remove(struct asks *asks, struct ask *ask)
{
	size_t at = (size_t)(ask - asks->all);

	asks->len--;
	memmove(asks->all + at, asks->all + at + 1, (asks->len - at) * sizeof(*asks->all));
}

void asks_forget(struct asks *asks, uint64_t client)
{
	size_t kept = 0;

	for (size_t i = 0; i < asks->len; i++)
		if (asks->all[i].client != client)
			asks->all[kept++] = asks->all[i];
	asks->len = kept;
}

void asks_free(struct asks *asks)
{
	free(asks->all);
	*asks = (struct asks){ 0 };
}
