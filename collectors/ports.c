/* SPDX-License-Identifier: MIT */
/*
 * One inet_diag dump for what listens on TCP, now and then one for what has a peer, and one a family for UDP. Of a
 * protocol that the kernel cannot dump, the text in /proc/net is read instead, once a minute and by the prober
 * (procnet.h).
 *
 * data.ports has the listeners ("LISTEN"; for UDP "UNCONN", as ss has it: bound, without a peer) with the connections
 * that they have accepted; data.connections those that began here, by process, remote port and state.
 */
#include "ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <infiniservice/cleanup.h>

#include "portowner.h"
#include "procfs.h"
#include "procnet.h"
#include "ranked.h"
#include "select.h"
#include "sockets.h"
#include "table.h"

#define TEXT_PACE_NS (60 * NS_PER_S)
/* A little more than 30 s, so that with samples 30 s apart it is every second one. */
#define WALK_PACE_NS (31 * NS_PER_S)
/* Sockets with a peer whose process is asked for, and rows of connections that are sorted, at most. */
#define PEER_OWNERS_MAX 1024
#define GROUPS_MAX	256
/* Sockets that are looked at in one call for one item of a slice: a process takes as long as so many. */
#define PEERS_PER_ITEM 16

/* Connections that began here and have all of this in common. */
struct group {
	pid_t pid; /* 0: not known */
	uint16_t remote_port;
	uint8_t protocol, state;
	uint32_t count;
	uint32_t inode; /* of one of them, whose owner has the name */
};

/* A protocol that the kernel cannot dump, as its text was last read. */
struct text_table {
	uint8_t protocol;
	bool used;
	uint64_t tried_ns; /* when the dump was last tried, and the text asked for */
	uint64_t asked_ns, answered_ns;
	struct port_slot *slots;
	size_t count, total;
	struct port_peers peers;
};

enum step { STEP_BEGIN, STEP_LISTENING, STEP_JUDGE, STEP_CONNECTED, STEP_UDP, STEP_COUNT, STEP_END };

struct ports {
	struct sockets sockets;
	struct procfs_file sockstat, sockstat6;
	struct procfs_buffer text;
	enum step step;		    /* of the collect under way */
	size_t count_before;	    /* slots before that step */
	bool walking;		    /* this collect looks for those of TCP that have a peer */
	uint64_t walked_ns;	    /* when they were last walked over; 0: never */
	uint64_t counted_ns;	    /* what their counts are of */
	struct text_table texts[2]; /* TCP, UDP */
	uint64_t now_ns;
	size_t shown_max;
	struct port_table table;
	struct portowners owners;
	uint32_t *order; /* of the slots shown */
	size_t order_count, order_size;
	struct port_peers walked; /* of TCP, as last walked over */
	size_t counted;		  /* of them, then of table.peers */
	struct group *groups;
	size_t group_count, group_size;
	struct idmap by_group;
	uint32_t shown_groups[GROUPS_MAX];
	size_t shown_group_count;
	size_t peer_owners; /* asked for in this collect */
};

/* ------------------------------------------------------------------------------------------------------ the dumps */

/* The kernel has no such dump, or no module for it; a sandbox may refuse the family of sockets as well. */
static bool is_missing(int error)
{
	return error == -ENOENT || error == -EPROTONOSUPPORT || error == -EAFNOSUPPORT || error == -ESOCKTNOSUPPORT;
}

static int text_put(struct ports *ports, const struct text_table *text)
{
	int r = 0;

	for (size_t i = 0; i < text->count && r == 0; i++)
		r = port_table_put(&ports->table, &text->slots[i]);
	for (size_t i = 0; i < text->peers.count && r == 0; i++)
		r = port_peers_add(&ports->table.peers, &text->peers.items[i]);
	return r;
}

static void text_forget(struct text_table *text)
{
	free(text->slots);
	port_peers_free(&text->peers);
	*text = (struct text_table){ .protocol = text->protocol };
}

/* Without a prober there is nothing to be shown of this protocol, and nothing to wait for. */
static void text_ask(struct text_table *text, const struct collect_ctx *ctx)
{
	struct probe_request request = {
		.kind = PROBE_NET, .key = text->protocol, .arg = &text->protocol, .arg_len = sizeof(text->protocol)
	};

	if (!ctx->prober || (text->asked_ns != 0 && ctx->now.mono_ns - text->asked_ns < TEXT_PACE_NS))
		return;
	text->asked_ns = ctx->now.mono_ns ? ctx->now.mono_ns : 1;
	if (ctx->prober->request(ctx->prober, &request) < 0)
		text->asked_ns = 0;
}

/* A module may be loaded later: the dump is tried again at the pace of the text. */
static int take_protocol(struct ports *ports, struct text_table *text, uint32_t states, const struct collect_ctx *ctx)
{
	int r;

	if (!text->used || ctx->now.mono_ns - text->tried_ns >= TEXT_PACE_NS) {
		ports->table.protocol = text->protocol;
		r = sockets_dump(&ports->sockets, text->protocol, states, ctx->slice > 0, port_table_message,
				 &ports->table);
		if (r == COLLECT_MORE)
			return r;
		if (!is_missing(r)) {
			text_forget(text);
			return r;
		}
		/* Of a first family alone nothing is shown. */
		if (ports->table.count != ports->count_before)
			return r;
		text->used = true;
		text->tried_ns = ctx->now.mono_ns;
	}
	text_ask(text, ctx);
	return text_put(ports, text);
}

/* How many sockets of TCP there are in all; false when the kernel does not say. */
static bool tcp_in_use(struct ports *ports, const struct collect_ctx *ctx, uint64_t *ret)
{
	uint64_t six = 0;

	if (procfs_read(&ports->sockstat, ctx->proc_fd, "net/sockstat", &ports->text) < 0 ||
	    !sockets_in_use(ports->text.text, ports->text.len, "TCP", ret))
		return false;
	/* Without IPv6 there is no such file. */
	if (procfs_read(&ports->sockstat6, ctx->proc_fd, "net/sockstat6", &ports->text) == 0)
		sockets_in_use(ports->text.text, ports->text.len, "TCP6", &six);
	*ret += six;
	return true;
}

/*
 * To find the connections is to walk over all of the kernel's table of them, which has room for as many as the memory
 * could hold. So that is done only where there are any, and from time to time. In between their counts are those of the
 * last walk.
 */
static bool is_walk_due(const struct ports *ports, const struct collect_ctx *ctx)
{
	return ctx->fresh || ctx->gap || ports->walked_ns == 0 || ports->texts[0].used ||
	       ctx->now.mono_ns - ports->walked_ns >= WALK_PACE_NS;
}

/* The listeners have been counted: are the connections to be? */
static void judge_walk(struct ports *ports, const struct collect_ctx *ctx)
{
	uint64_t in_use;
	bool any = !tcp_in_use(ports, ctx, &in_use) || in_use > port_table_tcp_listeners(&ports->table);

	if (ports->texts[0].used || !any) {
		ports->walking = false;
		ports->counted_ns = ctx->now.mono_ns;
		ports->walked_ns = 0; /* the first ones are looked for at once */
		ports->walked.count = ports->walked.left_out = 0;
	}
	if (ports->walking)
		ports->walked_ns = ports->counted_ns = ctx->now.mono_ns;
}

static int take_connected(struct ports *ports, const struct collect_ctx *ctx)
{
	struct port_peers fresh;
	int r;

	if (!ports->walking)
		return 0;
	ports->table.protocol = IPPROTO_TCP;
	r = sockets_dump(&ports->sockets, IPPROTO_TCP,
			 SOCKETS_STATE(TCP_ESTABLISHED) | SOCKETS_STATE(TCP_SYN_SENT) | SOCKETS_STATE(TCP_CLOSE_WAIT),
			 ctx->slice > 0, port_table_message, &ports->table);
	if (r != 0)
		return r;
	fresh = ports->table.peers;
	ports->table.peers = ports->walked;
	ports->table.peers.count = ports->table.peers.left_out = 0;
	ports->walked = fresh;
	return 0;
}

/* By protocol and port. */
static bool slot_before(uint32_t a, uint32_t b, const void *user)
{
	const struct port_slot *left = (const struct port_slot *)user + a, *right = (const struct port_slot *)user + b;

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
static int owners_see(struct ports *ports)
{
	int r = 0;

	for (size_t i = 0; i < ports->order_count && r == 0; i++) {
		const struct port_slot *slot = &ports->table.slots[ports->order[i]];

		if (slot->inode != 0)
			r = portowners_see(&ports->owners, slot->inode, true);
	}
	return r;
}

/* ----------------------------------------------------------------------------------------------------- the count */

/* The count of connections begins anew. */
static void count_begin(struct ports *ports)
{
	for (size_t i = 0; i < ports->table.count; i++)
		ports->table.slots[i].connections = 0;
	ports->counted = ports->group_count = ports->peer_owners = ports->shown_group_count = 0;
	idmap_clear(&ports->by_group);
}

static int group_add(struct ports *ports, const struct port_peer *peer, pid_t pid)
{
	uint64_t id =
		(uint64_t)pid << 32 | (uint32_t)peer->remote_port << 16 | (uint32_t)peer->state << 8 | peer->protocol;
	const uint32_t *at = idmap_get(&ports->by_group, id);
	size_t wanted = ports->group_size ? ports->group_size * 2 : 16;
	struct group *bigger;

	if (at) {
		ports->groups[*at].count++;
		return 0;
	}
	if (ports->group_count == ports->group_size) {
		bigger = reallocarray(ports->groups, wanted, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		ports->groups = bigger;
		ports->group_size = wanted;
	}
	if (idmap_put(&ports->by_group, id, (uint32_t)ports->group_count) < 0)
		return -ENOMEM;
	ports->groups[ports->group_count++] = (struct group){ .pid = pid,
							      .remote_port = peer->remote_port,
							      .protocol = peer->protocol,
							      .state = peer->state,
							      .count = 1,
							      .inode = peer->inode };
	return 0;
}

/* A listener has accepted it, or it began here; its process may be known from the count before. */
static int peer_count(struct ports *ports, const struct port_peer *peer)
{
	struct port_slot *slot = port_table_listener(&ports->table, peer->protocol, peer->port);
	const struct portowner *owner;
	int r = 0;

	if (slot) {
		slot->connections += peer->state == TCP_ESTABLISHED;
		return 0;
	}
	if (peer->inode && ports->peer_owners < PEER_OWNERS_MAX) {
		ports->peer_owners++;
		r = portowners_see(&ports->owners, peer->inode, false);
	}
	owner = peer->inode ? portowners_find(&ports->owners, peer->inode) : NULL;
	return r < 0 ? r : group_add(ports, peer, owner && owner->state == PORTOWNER_KNOWN ? owner->pid : 0);
}

/* Those with most connections first. */
static bool group_before(uint32_t a, uint32_t b, const void *user)
{
	const struct group *left = (const struct group *)user + a, *right = (const struct group *)user + b;

	if (left->count != right->count)
		return left->count > right->count;
	if (left->pid != right->pid)
		return left->pid < right->pid;
	return left->remote_port != right->remote_port ? left->remote_port < right->remote_port : a < b;
}

/* Counts `max` more sockets (0: all). COLLECT_MORE, 0 when all are counted, or -errno. */
static int count_on(struct ports *ports, size_t max)
{
	size_t walked = ports->walked.count, total = walked + ports->table.peers.count, end = total;
	int r = 0;

	if (max > 0 && total - ports->counted > max)
		end = ports->counted + max;
	for (; ports->counted < end && r == 0; ports->counted++)
		r = peer_count(ports, ports->counted < walked ? &ports->walked.items[ports->counted]
							      : &ports->table.peers.items[ports->counted - walked]);
	if (r == 0 && end < total)
		return COLLECT_MORE;
	if (r == 0)
		ports->shown_group_count =
			select_first(ports->shown_groups, GROUPS_MAX, ports->group_count, group_before, ports->groups);
	return r;
}

/* What listens is all there: whose it is, and a begin of the count of what does not. */
static int take_owners(struct ports *ports)
{
	int r = order_take(ports, ports->shown_max);

	if (r == 0)
		r = owners_see(ports);
	if (r == 0)
		count_begin(ports);
	return r;
}

static int take_step(struct ports *ports, const struct collect_ctx *ctx)
{
	int r;

	switch (ports->step) {
	case STEP_BEGIN:
		ports->walking = is_walk_due(ports, ctx);
		port_table_clear(&ports->table);
		return 0;
	case STEP_LISTENING:
		return take_protocol(ports, &ports->texts[0], SOCKETS_STATE(TCP_LISTEN), ctx);
	case STEP_JUDGE:
		judge_walk(ports, ctx);
		return 0;
	case STEP_CONNECTED:
		return take_connected(ports, ctx);
	case STEP_UDP:
		r = take_protocol(ports, &ports->texts[1], SOCKETS_STATE(TCP_CLOSE) | SOCKETS_STATE(TCP_ESTABLISHED),
				  ctx);
		return r != 0 ? r : take_owners(ports);
	case STEP_COUNT:
		return count_on(ports, (size_t)ctx->slice * PEERS_PER_ITEM);
	case STEP_END:
		break;
	}
	return 0;
}

/* COLLECT_MORE in between. After an error the next collect begins with an empty table. */
static int take_all(struct ports *ports, const struct collect_ctx *ctx)
{
	int r = 0;

	while (ports->step != STEP_END) {
		r = take_step(ports, ctx);
		if (r == COLLECT_MORE)
			return r;
		if (r < 0) {
			ports->walked_ns = 0;
			break;
		}
		ports->step++;
		ports->count_before = ports->table.count;
	}
	ports->step = STEP_BEGIN;
	return r;
}

/* ---------------------------------------------------------------------------------------------------- the collector */

static void ports_close(void *state)
{
	struct ports *ports = state;

	if (!ports)
		return;
	sockets_done(&ports->sockets);
	procfs_close(&ports->sockstat);
	procfs_close(&ports->sockstat6);
	procfs_buffer_free(&ports->text);
	port_table_free(&ports->table);
	port_peers_free(&ports->walked);
	idmap_free(&ports->by_group);
	free(ports->groups);
	portowners_free(&ports->owners);
	for (size_t i = 0; i < ARRAY_SIZE(ports->texts); i++)
		text_forget(&ports->texts[i]);
	free(ports->order);
	free(ports);
}

static int ports_open(const struct collect_ctx *ctx, void **ret_state)
{
	struct ports *ports = calloc(1, sizeof(*ports));

	(void)ctx;
	if (!ports)
		return -ENOMEM;
	ports->sockstat = ports->sockstat6 = PROCFS_FILE_SINGLE;
	ports->texts[0].protocol = IPPROTO_TCP;
	ports->texts[1].protocol = IPPROTO_UDP;
	if (sockets_init(&ports->sockets) < 0) {
		ports_close(ports);
		return -ENOMEM;
	}
	*ret_state = ports;
	return 0;
}

static int ports_collect(void *state, const struct collect_ctx *ctx)
{
	struct ports *ports = state;
	int r;

	/* A netlink socket has no fixture: it would describe another machine. */
	if (!ctx->live)
		return -EOPNOTSUPP;
	ports->now_ns = ctx->now.mono_ns;
	ports->shown_max = ctx->limits.ports_max;
	r = take_all(ports, ctx);
	return r != 0 ? r : portowners_update(&ports->owners, ctx);
}

/* False when the answer makes no sense. */
static bool text_take(struct text_table *text, const struct probe_result *result)
{
	struct procnet_answer answer;
	struct port_peers peers = { 0 };
	struct port_slot *slots;
	const char *at = result->data;

	if (result->error != 0 || result->data_len < sizeof(answer))
		return false;
	memcpy(&answer, at, sizeof(answer));
	if (answer.count > answer.total || answer.peers > answer.peers_total ||
	    result->data_len != sizeof(answer) + answer.count * sizeof(*slots) + answer.peers * sizeof(*peers.items))
		return false;
	slots = calloc(answer.count + 1, sizeof(*slots));
	peers.items = calloc(answer.peers + 1, sizeof(*peers.items));
	if (!slots || !peers.items) {
		free(slots);
		free(peers.items);
		return false;
	}
	at += sizeof(answer);
	memcpy(slots, at, answer.count * sizeof(*slots));
	memcpy(peers.items, at + answer.count * sizeof(*slots), answer.peers * sizeof(*peers.items));
	for (size_t i = 0; i < answer.count; i++)
		slots[i].protocol = text->protocol;
	for (size_t i = 0; i < answer.peers; i++)
		peers.items[i].protocol = text->protocol;
	peers.count = answer.peers;
	peers.size = answer.peers + 1;
	peers.left_out = answer.peers_total - answer.peers;
	free(text->slots);
	port_peers_free(&text->peers);
	text->slots = slots;
	text->count = answer.count;
	text->total = answer.total;
	text->peers = peers;
	return true;
}

/* The list shown is made anew from what the dumps said at the last collect and this. */
static void text_probed(struct ports *ports, const struct probe_result *result)
{
	for (size_t i = 0; i < ARRAY_SIZE(ports->texts); i++) {
		struct text_table *text = &ports->texts[i];

		if (text->protocol != result->key || !text->used || !text_take(text, result))
			continue;
		text->answered_ns = ports->now_ns ? ports->now_ns : 1;
		if (port_table_drop(&ports->table, text->protocol) < 0 || text_put(ports, text) < 0)
			port_table_clear(&ports->table);
		ports->order_count = 0;
		order_take(ports, ports->shown_max);
		count_begin(ports);
		count_on(ports, 0);
	}
}

static void ports_probed(void *state, const struct probe_result *result)
{
	struct ports *ports = state;

	if (result->kind == PROBE_NET)
		text_probed(ports, result);
	else
		portowners_probed(&ports->owners, result);
}

/* ------------------------------------------------------------------------------------------------------------ emit */

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

/* How old a count is that is older than the sample: that of TCP, unless it is read as text. */
static void emit_age(struct sink *out, const struct ports *ports, uint8_t protocol)
{
	uint64_t age_s = (ports->now_ns - ports->counted_ns) / NS_PER_S;

	if (protocol == IPPROTO_TCP && age_s > 0)
		sink_uint(out, "counted_age_s", age_s);
}

static void emit_slot(struct sink *out, uint32_t at, const void *user)
{
	const struct ports *ports = user;
	const struct port_slot *slot = &ports->table.slots[ports->order[at]];
	const struct portowner *owner = slot->inode ? portowners_find(&ports->owners, slot->inode) : NULL;
	char address[INET6_ADDRSTRLEN];

	sink_object_begin(out, NULL);
	sink_uint(out, "port", slot->port);
	sink_str(out, "protocol", slot->protocol == IPPROTO_TCP ? "TCP" : "UDP");
	sink_str(out, "state", slot->protocol == IPPROTO_TCP ? "LISTEN" : "UNCONN");
	sink_str(out, "address", inet_ntop(slot->family, slot->address, address, sizeof(address)));
	emit_owner(out, owner);
	sink_bool(out, "is_listening", true);
	sink_uint(out, "connection_count", slot->connections);
	emit_age(out, ports, slot->protocol);
	sink_object_end(out);
}

/* Those that can be reached from farthest first, then those with most connections. */
static bool row_before(uint32_t a, uint32_t b, const void *user)
{
	const struct ports *ports = user;
	const struct port_slot *left = &ports->table.slots[ports->order[a]];
	const struct port_slot *right = &ports->table.slots[ports->order[b]];

	if (left->rank != right->rank)
		return left->rank > right->rank;
	return left->connections != right->connections ? left->connections > right->connections : a < b;
}

static const char *peer_state_name(uint8_t state)
{
	return state == TCP_SYN_SENT ? "SYN_SENT" : state == TCP_CLOSE_WAIT ? "CLOSE_WAIT" : "ESTABLISHED";
}

static void emit_group(struct sink *out, uint32_t at, const void *user)
{
	const struct ports *ports = user;
	const struct group *group = &ports->groups[ports->shown_groups[at]];
	const struct portowner *owner = group->pid ? portowners_find(&ports->owners, group->inode) : NULL;

	sink_object_begin(out, NULL);
	if (owner && owner->named && owner->pid == group->pid)
		sink_text(out, "process_name", owner->comm, owner->comm_len, SINK_COMM_MAX);
	else
		sink_null(out, "process_name");
	if (group->pid)
		sink_int(out, "pid", group->pid);
	else
		sink_null(out, "pid");
	sink_str(out, "protocol", group->protocol == IPPROTO_TCP ? "TCP" : "UDP");
	sink_uint(out, "remote_port", group->remote_port);
	sink_str(out, "state", peer_state_name(group->state));
	sink_uint(out, "count", group->count);
	emit_age(out, ports, group->protocol);
	sink_object_end(out);
}

static void emit_connections(struct sink *out, const struct ports *ports)
{
	struct ranked list = { .key = "connections",
			       .rank = "most first",
			       .count = ports->shown_group_count,
			       .emit = emit_group,
			       .user = ports };
	size_t shown = ranked_emit(out, &list), sockets = ports->walked.left_out + ports->table.peers.left_out;

	for (size_t i = 0; i < ARRAY_SIZE(ports->texts); i++)
		sockets += ports->texts[i].peers.left_out;
	if (shown < ports->group_count || sockets > 0)
		sink_bool(out, "connections_truncated", true);
	ranked_tell(out, &list, ports->group_count - shown);
	if (sockets > 0)
		sink_uint(out, "connections_not_counted", sockets);
}

/* Writes, for the protocols read as text, how many slots did not fit and the age of the oldest text. */
struct texts_age {
	bool used, known;
	uint64_t age_s;
	size_t left_out;
};

static struct texts_age texts_age(const struct ports *ports)
{
	struct texts_age all = { .known = true };

	for (size_t i = 0; i < ARRAY_SIZE(ports->texts); i++) {
		const struct text_table *text = &ports->texts[i];
		uint64_t age_s = (ports->now_ns - text->answered_ns) / NS_PER_S;

		if (!text->used)
			continue;
		all.used = true;
		all.known = all.known && text->answered_ns != 0;
		all.left_out += text->total - text->count;
		if (age_s > all.age_s)
			all.age_s = age_s;
	}
	return all;
}

static void ports_emit(const void *state, struct sink *out)
{
	const struct ports *ports = state;
	struct texts_age texts = texts_age(ports);
	struct ranked list = { .key = "ports",
			       .rank = "reached from farthest, then most connections",
			       .count = ports->order_count,
			       .emit = emit_slot,
			       .before = row_before,
			       .user = ports };
	size_t total = ports->table.count + texts.left_out, shown = ranked_emit(out, &list);

	if (shown < total) {
		sink_bool(out, "ports_truncated", true);
		sink_uint(out, "ports_total", total);
	}
	ranked_tell(out, &list, total - shown);
	if (texts.used && texts.known)
		sink_uint(out, "ports_age_s", texts.age_s);
	else if (texts.used)
		sink_null(out, "ports_age_s");
	emit_connections(out, ports);
}

const struct collector collector_ports = {
	.name = "ports",
	.path = "",
	.reserve_bytes = 5120,
	.open = ports_open,
	.close = ports_close,
	.collect = ports_collect,
	.probed = ports_probed,
	.emit = ports_emit,
};
