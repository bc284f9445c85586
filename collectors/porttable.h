/* SPDX-License-Identifier: MIT */
/*
 * The sockets of the guest: a pure table fed with the messages of inet_diag dumps (sock_diag(7)). Those that listen are
 * gathered by protocol and port, one slot each; of the others each is kept, as it is known only at the end whether
 * somebody listens on its port, who has accepted it then.
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
	uint32_t connections; /* accepted and ESTABLISHED; UDP: with a peer */
	uint32_t inode;	      /* of the listener shown; 0: none, or a kernel socket */
	uint8_t address[16];  /* of the listener shown */
};

/* A socket with a peer. */
struct port_peer {
	uint32_t inode; /* 0: of the kernel */
	uint16_t port, remote_port;
	uint8_t protocol;
	uint8_t state; /* TCP_ESTABLISHED, TCP_SYN_SENT or TCP_CLOSE_WAIT */
};

#define PORT_PEERS_MAX 65536U

struct port_peers {
	struct port_peer *items;
	size_t count, size;
	size_t left_out; /* beyond PORT_PEERS_MAX */
};

/* Zeroed is empty. */
struct port_table {
	struct port_slot *slots;
	size_t count, size;
	struct port_peers peers; /* of the dumps since port_table_clear */
	struct idmap by_port;
	uint8_t protocol; /* of the dump that is being read */
};

/* One socket, from either source. */
struct port_socket {
	uint8_t family; /* AF_INET or AF_INET6 */
	uint8_t state;	/* TCP_LISTEN, TCP_ESTABLISHED, TCP_CLOSE, … of netinet/tcp.h; UDP has the last two */
	uint16_t port;	/* its own; 0: not bound */
	uint16_t remote_port;
	uint32_t inode;
	uint8_t address[16];
};

/* Counts a socket of the protocol that is being read. 0 (also when it is none to be shown) or -ENOMEM. */
int port_table_add(struct port_table *table, const struct port_socket *socket);

/* Adds a slot as it is; there is none of its protocol and port yet. 0 or -ENOMEM. */
int port_table_put(struct port_table *table, const struct port_slot *slot);

/* Forgets the slots and peers of a protocol. 0 or -ENOMEM: then all are forgotten. */
int port_table_drop(struct port_table *table, uint8_t protocol);

/* Takes one inet_diag message; for netlink_walk, `user` is the struct port_table. 0, -EBADMSG or -ENOMEM. */
int port_table_message(void *user, uint16_t type, struct netlink_part body);

/* The slot of a port on which somebody listens, else NULL. */
struct port_slot *port_table_listener(const struct port_table *table, uint8_t protocol, uint16_t port);

/* Adds a peer. 0 (also when there are too many) or -ENOMEM. */
int port_peers_add(struct port_peers *peers, const struct port_peer *peer);
void port_peers_free(struct port_peers *peers);

/* Listeners of TCP. */
uint64_t port_table_tcp_listeners(const struct port_table *table);

void port_table_clear(struct port_table *table);
void port_table_free(struct port_table *table);

#endif
