/* SPDX-License-Identifier: MIT */
/* What clients have asked of VMs and wait for: whose each answer is. Pure. */
#ifndef HUB_ASKS_H
#define HUB_ASKS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ASK_ID_SIZE	129
#define ASK_ACTION_SIZE 48
#define ASKS_MAX	4096
#define ASKS_CLIENT_MAX 64

struct ask {
	uint64_t vm, client; /* serials */
	char id[ASK_ID_SIZE];
	char action[ASK_ACTION_SIZE];
	uint64_t sent_ns;
};

struct asks {
	struct ask *all; /* the oldest first */
	size_t len, size;
};

/* 0; -EEXIST: this VM has been asked something with this id; -EBUSY: the client has too many; -ENOMEM. */
int asks_add(struct asks *asks, const struct ask *ask);
/* What was asked of the VM with this id; id "": the oldest of all. NULL: nothing. Valid until the next change. */
struct ask *asks_find(struct asks *asks, uint64_t vm, const char *id);
void asks_remove(struct asks *asks, struct ask *ask);
/* Forgets all of a client. */
void asks_forget(struct asks *asks, uint64_t client);
void asks_free(struct asks *asks);

#endif
