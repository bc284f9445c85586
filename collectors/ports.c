/* SPDX-License-Identifier: MIT */
/*
 * One inet_diag dump for TCP and one a family for UDP, taken into a reused buffer and counted by port. The text of
 * /proc/net/tcp is never read: the kernel walks its whole hash table for it, and prints what is thrown away here.
 *
 * TCP is asked for by the older request, TCPDIAG_GETSOCK, for one reason: it answers for both families in one walk
 * over that table (net/ipv4/inet_diag.c, inet_diag_dump_compat), where SOCK_DIAG_BY_FAMILY needs two.
 *
 * A row is a listener ("LISTEN"; for UDP "UNCONN", as ss has it: bound, without a peer) with the connections to its
 * port, or the connections from a port nobody listens on ("ESTABLISHED").
 */
#include "ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>

#include <infiniservice/cleanup.h>

#include "portowner.h"
#include "select.h"
#include "table.h"

/* About half a million sockets: a second of the kernel's time. */
#define DUMP_BYTES_MAX	(64U << 20)
#define SLOT_SIZE_FIRST 64U

/* How far an address reaches. */
enum { RANK_NONE, RANK_LOOPBACK, RANK_ADDRESS, RANK_ANY };

struct ports {
	int fd;
	bool tcp_by_family; /* the kernel refused the older request */
	void *buffer;
	struct port_table table;
	struct portowners owners;
	uint32_t *order; /* of the slots shown */
	size_t order_count, order_size;
};

/* ------------------------------------------------------------------------------------------------------ the table */

static uint8_t address_rank(uint8_t family, const uint8_t *address)
{
	static const uint8_t any[16], loopback6[16] = {[15] = 1};
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
	table->slots[table->count] = (struct port_slot){.protocol = table->protocol, .port = port};
	return &table->slots[table->count++];
}

/* Of several listeners on a port the one that reaches farthest is shown; of equal ones, always the same. */
static void listener_take(struct port_slot *slot, const struct inet_diag_msg *msg)
{
	uint8_t rank = address_rank(msg->idiag_family, (const uint8_t *)msg->id.idiag_src);

	slot->listeners++;
	if (rank < slot->rank || (rank == slot->rank && msg->idiag_inode >= slot->inode))
		return;
	slot->rank = rank;
	slot->family = msg->idiag_family;
	slot->inode = msg->idiag_inode;
	memcpy(slot->address, msg->id.idiag_src, sizeof(slot->address));
}

int port_table_message(void *user, uint16_t type, struct netlink_part body)
{
	struct port_table *table = user;
	struct inet_diag_msg msg;
	struct port_slot *slot;

	if (type != SOCK_DIAG_BY_FAMILY && type != TCPDIAG_GETSOCK)
		return 0;
	if ((size_t)(body.end - body.at) < sizeof(msg))
		return -EBADMSG;
	memcpy(&msg, body.at, sizeof(msg));
	/* A UDP socket that is not bound yet has port 0. */
	if (msg.id.idiag_sport == 0 || (msg.idiag_family != AF_INET && msg.idiag_family != AF_INET6))
		return 0;
	if (msg.idiag_state != TCP_ESTABLISHED && msg.idiag_state != TCP_LISTEN && msg.idiag_state != TCP_CLOSE)
		return 0;
	slot = slot_get(table, ntohs(msg.id.idiag_sport));
	if (!slot)
		return -ENOMEM;
	if (msg.idiag_state == TCP_ESTABLISHED)
		slot->connections++;
	else
		listener_take(slot, &msg);
	return 0;
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
	*table = (struct port_table){0};
}

/* ------------------------------------------------------------------------------------------------------ the dumps */

#define STATE(state) (1U << (state))

static int dump_family(struct ports *ports, uint8_t family, uint8_t protocol, uint32_t states)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 body;
	} request = {
		.head = {.nlmsg_len = sizeof(request), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_seq = family},
		.body = {.sdiag_family = family, .sdiag_protocol = protocol, .idiag_states = states},
	};

	ports->table.protocol = protocol;
	return netlink_dump(ports->fd, &request.head, ports->buffer, DUMP_BYTES_MAX, port_table_message, &ports->table);
}

static int dump_tcp_both(struct ports *ports, uint32_t states)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req body;
	} request = {
		.head = {.nlmsg_len = sizeof(request), .nlmsg_type = TCPDIAG_GETSOCK, .nlmsg_seq = 1},
		.body = {.idiag_family = AF_INET, .idiag_states = states},
	};

	ports->table.protocol = IPPROTO_TCP;
	return netlink_dump(ports->fd, &request.head, ports->buffer, DUMP_BYTES_MAX, port_table_message, &ports->table);
}

/* A list that changed under the dump (-EINTR) is as good as any: sockets come and go, and each was seen at most once.
 */
static int dump_checked(int r)
{
	return r == -EINTR ? 0 : r;
}

/* Without IPv6 in the kernel there is no answer for it, and nothing to count. */
static int dump_both_families(struct ports *ports, uint8_t protocol, uint32_t states)
{
	int r = dump_checked(dump_family(ports, AF_INET, protocol, states));

	if (r < 0)
		return r;
	r = dump_checked(dump_family(ports, AF_INET6, protocol, states));
	return r == -ENOENT || r == -EAFNOSUPPORT ? 0 : r;
}

static int dump_tcp(struct ports *ports)
{
	const uint32_t states = STATE(TCP_LISTEN) | STATE(TCP_ESTABLISHED);
	int r;

	if (!ports->tcp_by_family) {
		r = dump_checked(dump_tcp_both(ports, states));
		if (r != -ENOENT && r != -EINVAL && r != -EOPNOTSUPP)
			return r;
		ports->tcp_by_family = true;
		port_table_clear(&ports->table);
	}
	return dump_both_families(ports, IPPROTO_TCP, states);
}

static int dump_all(struct ports *ports)
{
	int r;

	port_table_clear(&ports->table);
	if (ports->fd < 0) {
		r = netlink_socket(NETLINK_SOCK_DIAG);
		if (r < 0)
			return r;
		ports->fd = r;
	}
	r = dump_tcp(ports);
	/* Not every kernel has udp_diag; TCP alone is still worth having. */
	if (r == 0)
		r = dump_both_families(ports, IPPROTO_UDP, STATE(TCP_CLOSE) | STATE(TCP_ESTABLISHED));
	if (r == -ENOENT && ports->table.count > 0)
		return 0;
	/* What is left of a dump that was given up would be taken for the next one's. */
	if (r < 0)
		close_fd(&ports->fd);
	return r;
}

/* ---------------------------------------------------------------------------------------------------- the collector */

static void ports_close(void *state)
{
	struct ports *ports = state;

	if (!ports)
		return;
	if (ports->fd >= 0)
		close_fd(&ports->fd);
	port_table_free(&ports->table);
	portowners_free(&ports->owners);
	free(ports->buffer);
	free(ports->order);
	free(ports);
}

static int ports_open(const struct collect_ctx *ctx, void **ret_state)
{
	struct ports *ports = calloc(1, sizeof(*ports));

	(void)ctx;
	if (!ports)
		return -ENOMEM;
	ports->fd = -1;
	ports->buffer = malloc(NETLINK_BUFFER_SIZE);
	if (!ports->buffer) {
		ports_close(ports);
		return -ENOMEM;
	}
	*ret_state = ports;
	return 0;
}

/* Listeners first, then by protocol and port. */
static bool slot_before(uint32_t a, uint32_t b, const void *user)
{
	const struct port_slot *left = (const struct port_slot *)user + a, *right = (const struct port_slot *)user + b;

	if ((left->listeners > 0) != (right->listeners > 0))
		return left->listeners > 0;
	if (left->protocol != right->protocol)
		return left->protocol < right->protocol;
	return left->port < right->port;
}

static int order_take(struct ports *ports, size_t max)
{
	size_t wanted = max < ports->table.count ? max : ports->table.count;
	uint32_t *bigger;

	if (wanted > ports->order_size) {
		bigger = reallocarray(ports->order, 2 * wanted, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		ports->order = bigger;
		ports->order_size = 2 * wanted;
	}
	ports->order_count = select_first(ports->order, wanted, ports->table.count, slot_before, ports->table.slots);
	return 0;
}

/* Sockets of the kernel itself (NFS, tunnels) have no inode. */
static int owners_take(struct ports *ports, const struct collect_ctx *ctx)
{
	for (size_t i = 0; i < ports->order_count; i++) {
		const struct port_slot *slot = &ports->table.slots[ports->order[i]];
		int r = slot->listeners > 0 && slot->inode != 0 ? portowners_see(&ports->owners, slot->inode) : 0;

		if (r < 0)
			return r;
	}
	return portowners_update(&ports->owners, ctx);
}

static int ports_collect(void *state, const struct collect_ctx *ctx)
{
	struct ports *ports = state;
	int r;

	/* There is no fixture of a netlink socket: this would describe another machine. */
	if (!ctx->live)
		return -EOPNOTSUPP;
	r = dump_all(ports);
	if (r == 0)
		r = order_take(ports, ctx->limits.ports_max);
	if (r == 0)
		r = owners_take(ports, ctx);
	return r;
}

static void ports_probed(void *state, const struct probe_result *result)
{
	struct ports *ports = state;

	portowners_probed(&ports->owners, result);
}

/* ------------------------------------------------------------------------------------------------------------ emit */

static const char *state_name(const struct port_slot *slot)
{
	if (slot->listeners == 0)
		return "ESTABLISHED";
	return slot->protocol == IPPROTO_TCP ? "LISTEN" : "UNCONN";
}

static void emit_owner(struct sink *out, const struct portowner *owner)
{
	bool known = owner && owner->state == PORTOWNER_KNOWN;

	if (known)
		sink_int(out, "pid", owner->pid);
	else
		sink_null(out, "pid");
	if (known && owner->named)
		sink_text(out, "process_name", owner->comm, owner->comm_len, SINK_COMM_MAX);
	else
		sink_null(out, "process_name");
	if (known && owner->exe)
		sink_text(out, "exe_path", owner->exe, owner->exe_len, SINK_PATH_MAX);
	else
		sink_null(out, "exe_path");
}

static void emit_slot(struct sink *out, const struct ports *ports, const struct port_slot *slot)
{
	const struct portowner *owner = slot->inode ? portowners_find(&ports->owners, slot->inode) : NULL;
	char address[INET6_ADDRSTRLEN];

	sink_object_begin(out, NULL);
	sink_uint(out, "port", slot->port);
	sink_str(out, "protocol", slot->protocol == IPPROTO_TCP ? "TCP" : "UDP");
	sink_str(out, "state", state_name(slot));
	if (slot->listeners > 0)
		sink_str(out, "address", inet_ntop(slot->family, slot->address, address, sizeof(address)));
	emit_owner(out, owner);
	sink_bool(out, "is_listening", slot->listeners > 0);
	sink_uint(out, "connection_count", slot->connections);
	sink_object_end(out);
}

static void ports_emit(const void *state, struct sink *out)
{
	const struct ports *ports = state;
	bool cut = ports->order_count < ports->table.count;

	sink_array_begin(out, "ports");
	for (size_t i = 0; i < ports->order_count; i++) {
		struct sink_mark mark = sink_mark(out);

		emit_slot(out, ports, &ports->table.slots[ports->order[i]]);
		if (!sink_full(out))
			continue;
		sink_rewind(out, mark);
		cut = true;
		break;
	}
	sink_array_end(out);
	if (cut) {
		sink_bool(out, "ports_truncated", true);
		sink_uint(out, "ports_total", ports->table.count);
	}
}

const struct collector collector_ports = {
	.name = "ports",
	.path = "",
	.open = ports_open,
	.close = ports_close,
	.collect = ports_collect,
	.probed = ports_probed,
	.emit = ports_emit,
};
