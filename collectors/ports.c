/* SPDX-License-Identifier: MIT */
/*
 * One inet_diag dump for what listens on TCP, now and then one for its connections, and one a family for UDP, counted
 * by port. Of a protocol that the kernel cannot dump, the text in /proc/net is read instead, once a minute and by the
 * prober (procnet.h).
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

#include <infiniservice/cleanup.h>

#include "portowner.h"
#include "procfs.h"
#include "procnet.h"
#include "select.h"
#include "sockets.h"
#include "table.h"

#define TEXT_PACE_NS (60 * NS_PER_S)
/* A little more than 30 s, so that with samples 30 s apart it is every second one. */
#define WALK_PACE_NS (31 * NS_PER_S)

/* A protocol that the kernel cannot dump, as its text was last read. */
struct text_table {
	uint8_t protocol;
	bool used;
	uint64_t tried_ns; /* when the dump was last tried, and the text asked for */
	uint64_t asked_ns, answered_ns;
	struct port_slot *slots;
	size_t count, total;
};

enum step { STEP_BEGIN, STEP_LISTENING, STEP_JUDGE, STEP_CONNECTED, STEP_UDP, STEP_END };

struct ports {
	struct sockets sockets;
	struct procfs_file sockstat, sockstat6;
	struct procfs_buffer text;
	enum step step;		    /* of the collect under way */
	size_t count_before;	    /* slots before that step */
	bool walking;		    /* this collect counts the connections of TCP */
	uint64_t walked_ns;	    /* when they were last walked over; 0: never */
	uint64_t counted_ns;	    /* what their counts are of */
	struct text_table texts[2]; /* TCP, UDP */
	uint64_t now_ns;
	size_t shown_max;
	struct port_table table;
	struct portowners owners;
	uint32_t *order; /* of the slots shown */
	size_t order_count, order_size;
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
	return r;
}

static void text_forget(struct text_table *text)
{
	free(text->slots);
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
		if (!any)
			port_table_forget_connections(&ports->table);
	}
	if (ports->walking)
		ports->walked_ns = ports->counted_ns = ctx->now.mono_ns;
}

static int take_connected(struct ports *ports, const struct collect_ctx *ctx)
{
	if (!ports->walking)
		return 0;
	ports->table.protocol = IPPROTO_TCP;
	return sockets_dump(&ports->sockets, IPPROTO_TCP, SOCKETS_STATE(TCP_ESTABLISHED), ctx->slice > 0,
			    port_table_message, &ports->table);
}

static int take_step(struct ports *ports, const struct collect_ctx *ctx)
{
	switch (ports->step) {
	case STEP_BEGIN:
		ports->walking = is_walk_due(ports, ctx);
		if (ports->walking)
			port_table_clear(&ports->table);
		else
			port_table_forget_listeners(&ports->table);
		return 0;
	case STEP_LISTENING:
		return take_protocol(ports, &ports->texts[0], SOCKETS_STATE(TCP_LISTEN), ctx);
	case STEP_JUDGE:
		judge_walk(ports, ctx);
		return 0;
	case STEP_CONNECTED:
		return take_connected(ports, ctx);
	case STEP_UDP:
		return take_protocol(ports, &ports->texts[1], SOCKETS_STATE(TCP_CLOSE) | SOCKETS_STATE(TCP_ESTABLISHED),
				     ctx);
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

/* Listeners first, then by protocol and port; what is empty last. */
static bool slot_before(uint32_t a, uint32_t b, const void *user)
{
	const struct port_slot *left = (const struct port_slot *)user + a, *right = (const struct port_slot *)user + b;

	if ((left->listeners > 0) != (right->listeners > 0))
		return left->listeners > 0;
	if (port_slot_is_empty(left) != port_slot_is_empty(right))
		return port_slot_is_empty(right);
	if (left->protocol != right->protocol)
		return left->protocol < right->protocol;
	return left->port < right->port;
}

static int order_take(struct ports *ports, size_t max)
{
	size_t used = port_table_used(&ports->table), wanted = max < used ? max : used;
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

	/* A netlink socket has no fixture: it would describe another machine. */
	if (!ctx->live)
		return -EOPNOTSUPP;
	ports->now_ns = ctx->now.mono_ns;
	ports->shown_max = ctx->limits.ports_max;
	r = take_all(ports, ctx);
	if (r == 0)
		r = order_take(ports, ports->shown_max);
	if (r == 0)
		r = owners_take(ports, ctx);
	return r;
}

/* False when the answer makes no sense. */
static bool text_take(struct text_table *text, const struct probe_result *result)
{
	struct procnet_answer answer;
	struct port_slot *slots;

	if (result->error != 0 || result->data_len < sizeof(answer))
		return false;
	memcpy(&answer, result->data, sizeof(answer));
	if (answer.count > answer.total || result->data_len != sizeof(answer) + answer.count * sizeof(*slots))
		return false;
	slots = calloc(answer.count + 1, sizeof(*slots));
	if (!slots)
		return false;
	memcpy(slots, (const char *)result->data + sizeof(answer), answer.count * sizeof(*slots));
	for (size_t i = 0; i < answer.count; i++)
		slots[i].protocol = text->protocol;
	free(text->slots);
	text->slots = slots;
	text->count = answer.count;
	text->total = answer.total;
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
	if (slot->protocol == IPPROTO_TCP && ports->now_ns - ports->counted_ns >= NS_PER_S)
		sink_uint(out, "counted_age_s", (ports->now_ns - ports->counted_ns) / NS_PER_S);
	sink_object_end(out);
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
	size_t total = port_table_used(&ports->table) + texts.left_out;
	bool cut = ports->order_count < total;

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
		sink_uint(out, "ports_total", total);
	}
	if (texts.used && texts.known)
		sink_uint(out, "ports_age_s", texts.age_s);
	else if (texts.used)
		sink_null(out, "ports_age_s");
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
