/* SPDX-License-Identifier: MIT */
/* A dense array of slots and a map from protocol and port to it. */
#include "porttable.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>

#define SLOT_SIZE_FIRST 64U

/* How far an address reaches. */
enum { RANK_NONE, RANK_LOOPBACK, RANK_ADDRESS, RANK_ANY };

static uint8_t address_rank(uint8_t family, const uint8_t *address)
{
	static const uint8_t any[16], loopback6[16] = { [15] = 1 };
	size_t len = family == AF_INET ? 4 : 16;

	if (memcmp(address, any, len) == 0)
		return RANK_ANY;
	if (family == AF_INET ? address[0] == 127 : memcmp(address, loopback6, len) == 0)
		return RANK_LOOPBACK;
	return RANK_ADDRESS;
}

static uint64_t slot_id(uint8_t protocol, uint16_t port)
{
	return (uint64_t)protocol << 16 | port;
}

static struct port_slot *slot_get(struct port_table *table, uint16_t port)
{
	uint64_t id = slot_id(table->protocol, port);
	const uint32_t *at = idmap_get(&table->by_port, id);
	struct port_slot *bigger;

	if (at)
		return &table->slots[*at];
	if (table->count == table->size) {
		size_t wanted = table->size ? table->size * 2 : SLOT_SIZE_FIRST;

		bigger = reallocarray(table->slots, wanted, sizeof(*bigger));
		if (!bigger)
			return NULL;
		table->slots = bigger;
		table->size = wanted;
	}
	if (idmap_put(&table->by_port, id, (uint32_t)table->count) < 0)
		return NULL;
	table->slots[table->count] = (struct port_slot){ .protocol = table->protocol, .port = port };
	return &table->slots[table->count++];
}

/* Of several listeners on a port the most widely reachable one is shown; of equal ones, always the same. */
static void listener_take(struct port_slot *slot, const struct port_socket *socket)
{
	uint8_t rank = address_rank(socket->family, socket->address);

	slot->listeners++;
	if (rank < slot->rank || (rank == slot->rank && socket->inode >= slot->inode))
		return;
	slot->rank = rank;
	slot->family = socket->family;
	slot->inode = socket->inode;
	memcpy(slot->address, socket->address, sizeof(slot->address));
}

int port_table_add(struct port_table *table, const struct port_socket *socket)
{
	struct port_slot *slot;

	/* A UDP socket that is not bound yet has port 0. */
	if (socket->port == 0 || (socket->family != AF_INET && socket->family != AF_INET6))
		return 0;
	if (socket->state == TCP_ESTABLISHED || socket->state == TCP_SYN_SENT || socket->state == TCP_CLOSE_WAIT)
		return port_peers_add(&table->peers, &(struct port_peer){ .inode = socket->inode,
									  .port = socket->port,
									  .remote_port = socket->remote_port,
									  .protocol = table->protocol,
									  .state = socket->state });
	if (socket->state != TCP_LISTEN && socket->state != TCP_CLOSE)
		return 0;
	slot = slot_get(table, socket->port);
	if (!slot)
		return -ENOMEM;
	listener_take(slot, socket);
	return 0;
}

int port_peers_add(struct port_peers *peers, const struct port_peer *peer)
{
	size_t wanted = peers->size ? peers->size * 2 : SLOT_SIZE_FIRST;
	struct port_peer *bigger;

	if (peers->count == PORT_PEERS_MAX) {
		peers->left_out++;
		return 0;
	}
	if (peers->count == peers->size) {
		bigger = reallocarray(peers->items, wanted, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		peers->items = bigger;
		peers->size = wanted;
	}
	peers->items[peers->count++] = *peer;
	return 0;
}

void port_peers_free(struct port_peers *peers)
{
	free(peers->items);
	*peers = (struct port_peers){ 0 };
}

struct port_slot *port_table_listener(const struct port_table *table, uint8_t protocol, uint16_t port)
{
	const uint32_t *at = idmap_get(&table->by_port, slot_id(protocol, port));

	return at && table->slots[*at].listeners > 0 ? &table->slots[*at] : NULL;
}

int port_table_put(struct port_table *table, const struct port_slot *slot)
{
	struct port_slot *place;

	table->protocol = slot->protocol;
	place = slot_get(table, slot->port);
	if (!place)
		return -ENOMEM;
	*place = *slot;
	return 0;
}

int port_table_message(void *user, uint16_t type, struct netlink_part body)
{
	struct port_socket socket;
	struct inet_diag_msg msg;

	if (type != SOCK_DIAG_BY_FAMILY && type != TCPDIAG_GETSOCK)
		return 0;
	if ((size_t)(body.end - body.at) < sizeof(msg))
		return -EBADMSG;
	memcpy(&msg, body.at, sizeof(msg));
	socket = (struct port_socket){ .family = msg.idiag_family,
				       .state = msg.idiag_state,
				       .port = ntohs(msg.id.idiag_sport),
				       .remote_port = ntohs(msg.id.idiag_dport),
				       .inode = msg.idiag_inode };
	memcpy(socket.address, msg.id.idiag_src, sizeof(socket.address));
	return port_table_add(user, &socket);
}

int port_table_drop(struct port_table *table, uint8_t protocol)
{
	struct port_peers *peers = &table->peers;
	size_t kept = 0, kept_peers = 0;
	int r = 0;

	for (size_t i = 0; i < peers->count; i++)
		if (peers->items[i].protocol != protocol)
			peers->items[kept_peers++] = peers->items[i];
	peers->count = kept_peers;
	idmap_clear(&table->by_port);
	for (size_t i = 0; i < table->count && r == 0; i++) {
		struct port_slot slot = table->slots[i];

		if (slot.protocol == protocol)
			continue;
		table->slots[kept] = slot;
		r = idmap_put(&table->by_port, slot_id(slot.protocol, slot.port), (uint32_t)kept++);
	}
	table->count = kept;
	if (r < 0)
		port_table_clear(table);
	return r;
}

uint64_t port_table_tcp_listeners(const struct port_table *table)
{
	uint64_t count = 0;

	for (size_t i = 0; i < table->count; i++)
		count += table->slots[i].protocol == IPPROTO_TCP ? table->slots[i].listeners : 0;
	return count;
}

void port_table_clear(struct port_table *table)
{
	table->count = 0;
	table->peers.count = table->peers.left_out = 0;
	idmap_clear(&table->by_port);
}

void port_table_free(struct port_table *table)
{
	free(table->slots);
	port_peers_free(&table->peers);
	idmap_free(&table->by_port);
	*table = (struct port_table){ 0 };
}
