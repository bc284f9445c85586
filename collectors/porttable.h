/* SPDX-License-Identifier: MIT */
/*
 * The sockets of the guest gathered by local port: a pure table fed with the messages of inet_diag dumps
 * (sock_diag(7)). One slot per (protocol, port); its listeners and connections are counted together.
 */
#ifndef COLLECTORS_PORTTABLE_H
#define COLLECTORS_PORTTABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "idmap.h"
#include "netlink.h"

struct port_slot {
	uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	uint8_t family;	  /* of the address */
	uint8_t rank;	  /* how far the address reaches: see porttable.c */
	uint16_t port;
	uint32_t listeners;   /* TCP: in LISTEN; UDP: bound without a peer */
	uint32_t connections; /* ESTABLISHED; UDP: with a peer */
	uint32_t inode;	      /* of the listener shown; 0: none, or a kernel socket */
	uint8_t address[16];  /* of the listener shown */
};

/* Zeroed is empty. */
struct port_table {
	struct port_slot *slots;
	size_t count, size;
	struct idmap by_port;
	uint8_t protocol; /* of the dump that is being read */
};

/* One socket, from either source. */
struct port_socket {
	uint8_t family; /* AF_INET or AF_INET6 */
	uint8_t state;	/* TCP_LISTEN, TCP_ESTABLISHED, TCP_CLOSE, … of netinet/tcp.h; UDP has the last two */
	uint16_t port;	/* its own; 0: not bound */
	uint32_t inode;
	uint8_t address[16];
};

/* Counts a socket of the protocol that is being read. 0 (also when it is none to be shown) or -ENOMEM. */
int port_table_add(struct port_table *table, const struct port_socket *socket);

/* Adds a slot as it is; there is none of its protocol and port yet. 0 or -ENOMEM. */
int port_table_put(struct port_table *table, const struct port_slot *slot);

/* Forgets the slots of a protocol. 0 or -ENOMEM: then all are forgotten. */
int port_table_drop(struct port_table *table, uint8_t protocol);

/* Takes one inet_diag message; for netlink_walk, `user` is the struct port_table. 0, -EBADMSG or -ENOMEM. */
int port_table_message(void *user, uint16_t type, struct netlink_part body);

/*
 * Forgets the listeners of TCP and all sockets of UDP, or the connections of TCP, to count them anew. Slots of which
 * nothing is left stay, empty, until port_table_clear.
 */
void port_table_forget_listeners(struct port_table *table);
void port_table_forget_connections(struct port_table *table);

/* Listeners of TCP. */
uint64_t port_table_tcp_listeners(const struct port_table *table);

/* Slots that are not empty. */
size_t port_table_used(const struct port_table *table);

static inline bool port_slot_is_empty(const struct port_slot *slot)
{
	return slot->listeners == 0 && slot->connections == 0;
}

void port_table_clear(struct port_table *table);
void port_table_free(struct port_table *table);

#endif
