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

static struct port_slot *slot_get(struct port_table *table, uint16_t port)
{
	uint64_t id = (uint64_t)table->protocol << 16 | port;
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
	if (socket->state != TCP_ESTABLISHED && socket->state != TCP_LISTEN && socket->state != TCP_CLOSE)
		return 0;
	slot = slot_get(table, socket->port);
	if (!slot)
		return -ENOMEM;
	if (socket->state == TCP_ESTABLISHED)
		slot->connections++;
	else
		listener_take(slot, socket);
	return 0;
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
				       .inode = msg.idiag_inode };
	memcpy(socket.address, msg.id.idiag_src, sizeof(socket.address));
	return port_table_add(user, &socket);
}

int port_table_drop(struct port_table *table, uint8_t protocol)
{
	size_t kept = 0;
	int r = 0;

	idmap_clear(&table->by_port);
	for (size_t i = 0; i < table->count && r == 0; i++) {
		struct port_slot slot = table->slots[i];

		if (slot.protocol == protocol)
			continue;
		table->slots[kept] = slot;
		r = idmap_put(&table->by_port, (uint64_t)slot.protocol << 16 | slot.port, (uint32_t)kept++);
	}
	table->count = kept;
	if (r < 0)
		port_table_clear(table);
	return r;
}

void port_table_forget_listeners(struct port_table *table)
{
	for (size_t i = 0; i < table->count; i++) {
		struct port_slot *slot = &table->slots[i];
		uint32_t connections = slot->protocol == IPPROTO_TCP ? slot->connections : 0;

		*slot = (struct port_slot){ .protocol = slot->protocol,
					    .port = slot->port,
					    .connections = connections };
	}
}

void port_table_forget_connections(struct port_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		if (table->slots[i].protocol == IPPROTO_TCP)
			table->slots[i].connections = 0;
}

uint64_t port_table_tcp_listeners(const struct port_table *table)
{
	uint64_t count = 0;

	for (size_t i = 0; i < table->count; i++)
		count += table->slots[i].protocol == IPPROTO_TCP ? table->slots[i].listeners : 0;
	return count;
}

size_t port_table_used(const struct port_table *table)
{
	size_t used = 0;

	for (size_t i = 0; i < table->count; i++)
		used += !port_slot_is_empty(&table->slots[i]);
	return used;
}

void port_table_clear(struct port_table *table)
{
	table->count = 0;
	idmap_clear(&table->by_port);
}

void port_table_free(struct port_table *table)
{
	free(table->slots);
	idmap_free(&table->by_port);
	*table = (struct port_table){ 0 };
}
