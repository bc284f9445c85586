/* SPDX-License-Identifier: MIT */
/*
 * What a restart of the hub must not forget of each VM: which sample a scrape took last, and which gaps are open. One
 * file in the state folder, a JSON object a line, replaced as a whole.
 */
#ifndef HUB_KEEP_H
#define HUB_KEEP_H

#include <stdbool.h>
#include <stddef.h>

#include <infiniservice/err.h>

#include "tools/hub/registry.h"

#define KEEP_FILE "vms.ndjson"

struct kept_vm;
struct keep {
	char path[512]; /* "": nothing is kept */
	struct kept_vm *read;
	size_t read_len;
	size_t last_len; /* of the text written last, and its hash: what has not changed is not written again */
	uint64_t last_hash;
};

/* Reads what was kept. A line that makes no sense is left out. 0 or -errno with a text: then nothing is kept. */
int keep_open(struct keep *keep, const char *folder, struct err *e);
/* Gives a VM that was just found what is known of it. */
void keep_restore(struct keep *keep, struct vm *vm);
/* Writes what has changed. 0 or -errno. */
int keep_write(struct keep *keep, const struct registry *registry);
void keep_close(struct keep *keep);

#endif
