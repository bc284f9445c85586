/* SPDX-License-Identifier: MIT */
/*
 * The sockets of the guest as the kernel dumps them over sock_diag(7), of one protocol at a time and part by part, each
 * message handed to the caller.
 */
#ifndef COLLECTORS_SOCKETS_H
#define COLLECTORS_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netlink.h"

/* A set of the states of netinet/tcp.h. */
#define SOCKETS_STATE(state) (1U << (state))

struct sockets {
	int fd;		    /* -1: not open */
	bool tcp_by_family; /* the kernel refused the request that answers for both families in one walk */
	bool under_way;
	uint8_t family; /* of the dump under way or due; AF_UNSPEC: none yet */
	struct netlink_dump dump;
	void *buffer;
};

/* 0 or -ENOMEM. The socket is opened by the first dump. */
int sockets_init(struct sockets *sockets);
void sockets_done(struct sockets *sockets);

/*
 * Begins or goes on with a dump of all sockets of IPPROTO_TCP or IPPROTO_UDP in `states`. 0: complete. COLLECT_MORE: a
 * good part of a turn of the loop has been received; call it again with the same arguments, or give up with
 * sockets_break. In one go if `in_parts` is false. -errno: of `fn`; -ENOENT, -EPROTONOSUPPORT, -EAFNOSUPPORT or
 * -ESOCKTNOSUPPORT: the kernel has no such dump, or a sandbox refuses it.
 */
int sockets_dump(struct sockets *sockets, uint8_t protocol, uint32_t states, bool in_parts, netlink_message_fn fn,
		 void *user);

/* What is left of a dump under way is not received. */
void sockets_break(struct sockets *sockets);

/*
 * Sockets that "/proc/net/sockstat" or "sockstat6" counts as in use for "TCP" or "TCP6": those that listen, and the
 * connected ones (sockstat_seq_show in net/ipv4/proc.c). False when the text does not say.
 */
bool sockets_in_use(const char *text, size_t len, const char *protocol, uint64_t *ret);

#endif
