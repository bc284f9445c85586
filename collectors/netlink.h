/* SPDX-License-Identifier: MIT */
/*
 * Netlink for readers (netlink(7)): pure walkers over the bytes of messages and attributes, which check every
 * length against what is really there, and one bounded dump on a non-blocking socket. The kernel prepares each part of
 * a dump while the part before it is being received, so a dump never waits.
 */
#ifndef COLLECTORS_NETLINK_H
#define COLLECTORS_NETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/netlink.h>

/* The kernel fills up to this much of a receive buffer at once (af_netlink.c, max_recvmsg_len). */
#define NETLINK_BUFFER_SIZE 32768U

/* A part of a message: bytes that need not be aligned. */
struct netlink_part {
	const uint8_t *at, *end;
};

struct netlink_attr {
	uint16_t type; /* without NLA_F_NESTED and NLA_F_NET_BYTEORDER */
	const uint8_t *data;
	size_t len;
};

/* The next attribute; false at the end or where a length makes no sense. */
bool netlink_attr_next(struct netlink_part *attrs, struct netlink_attr *ret);

/* An unsigned number of 32 bits in host order; false (and *ret untouched) when the attribute has another length. */
bool netlink_attr_u32(const struct netlink_attr *attr, uint32_t *ret);

/* A message of a known family: `type` and what follows the nlmsghdr. 0, or -errno to stop the walk. */
typedef int (*netlink_message_fn)(void *user, uint16_t type, struct netlink_part body);

enum netlink_end {
	NETLINK_MORE = 0, /* the datagram ended, the dump has not */
	NETLINK_DONE = 1,
};

/*
 * Hands each message of one datagram to `fn`. `seq` is that of the request, or 0 for events (any). Returns
 * enum netlink_end or -errno: that of NLMSG_ERROR or of `fn`, or -EBADMSG for lengths that make no sense.
 * *ret_interrupted becomes true (else it stays) when the kernel says that the list changed during the dump:
 * NLM_F_DUMP_INTR.
 */
int netlink_walk(const void *datagram, size_t len, uint32_t seq, netlink_message_fn fn, void *user,
		 bool *ret_interrupted);

/* A non-blocking socket of `protocol` (NETLINK_ROUTE, …). The fd or -errno. */
int netlink_socket(int protocol);

/* Joins a multicast group (RTNLGRP_…). 0 or -errno. */
int netlink_join(int fd, unsigned group);

/* A dump that is received part by part, maybe with other work in between. */
struct netlink_dump {
	uint32_t seq;
	size_t left; /* bytes that the answer may still have */
	bool interrupted;
};

/*
 * Sends `request` (a whole message; type, length and body set by the caller, the rest of its header here). The answer
 * may have `max_bytes`. 0 or -errno.
 */
int netlink_dump_begin(struct netlink_dump *dump, int fd, struct nlmsghdr *request, size_t max_bytes);

/*
 * Receives and walks one part, at most NETLINK_BUFFER_SIZE bytes in `buffer`. NETLINK_MORE: there are further parts;
 * NETLINK_DONE; or as netlink_dump. Adds the bytes received to *ret_bytes.
 */
int netlink_dump_part(struct netlink_dump *dump, int fd, void *buffer, netlink_message_fn fn, void *user,
		      size_t *ret_bytes);

/*
 * Sends `request` (a whole message; type, length and body set by the caller, the rest of its header here) and walks the
 * answers until the dump is complete. `buffer` has NETLINK_BUFFER_SIZE bytes; `max_bytes` bounds the answer (else
 * -E2BIG). -EINTR: complete, but the list changed meanwhile: ask again. After any other error the socket may still hold
 * the rest and has to be closed.
 */
int netlink_dump(int fd, struct nlmsghdr *request, void *buffer, size_t max_bytes, netlink_message_fn fn, void *user);

/*
 * Receives one datagram that the kernel itself sent; its length, -EAGAIN when there is none, -EMSGSIZE, -ENOBUFS or
 * another -errno.
 */
int netlink_receive(int fd, void *buffer, size_t size);

#endif
