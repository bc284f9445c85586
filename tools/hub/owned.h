/* SPDX-License-Identifier: MIT */
/*
 * Which sockets somebody is connected to: a chardev serves one client, and a second one that connects is not refused,
 * but takes the place of the first when that leaves. So the hub looks before it connects: the kernel lists the accepted
 * end of a connection under the path of the listener (/proc/net/unix, proc(5)).
 */
#ifndef HUB_OWNED_H
#define HUB_OWNED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct owned {
	uint64_t *hashes; /* of the paths, sorted */
	size_t count, size;
	uint64_t read_ns; /* when it was read; 0: never */
};

/* Takes the text of /proc/net/unix over. 0 or -ENOMEM. */
int owned_parse(struct owned *owned, const char *text, size_t len);

/* True if a connection to the socket at `path` is in the table. */
bool owned_has(const struct owned *owned, const char *path);

/*
 * The same of now: the table is read anew when it is older than a second, or than `since_ns`, when the asking one had a
 * connection itself. False where it cannot be read.
 */
bool owned_look(struct owned *owned, const char *path, uint64_t since_ns, uint64_t now_ns);

void owned_free(struct owned *owned);

#endif
