/* SPDX-License-Identifier: MIT */
/*
 * Counters come from /proc/net/dev, which has them in 64 bits and in one text (those of getifaddrs are cut to 32);
 * addresses, flags and hardware addresses from RTNETLINK, dumped at open and again only after an event that
 * touches them. Without the events every collect dumps. The loopback and the interfaces of containers are not shown.
 */
#include "network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/rtnetlink.h>

#include <infiniservice/cleanup.h>

#include "links.h"
#include "ranked.h"
#include "rate.h"
#include "table.h"

/* Datagrams taken in one call of wake; the loop calls again while there are more. */
#define EVENTS_PER_WAKE	  64
#define EVENT_BUFFER_SIZE 8192

struct netif {
	char name[IFNAMSIZ];
	struct netdev_counters counters;
	struct rate rx_bytes, tx_bytes, rx_packets, tx_packets;
	uint32_t link; /* in the table, or NO_LINK */
	bool shown;
	bool uplink; /* a default route leads there; looked at where the list may be cut */
};

#define NO_LINK UINT32_MAX

/* Beyond so many interfaces a list that has changed is not searched for names that are there twice. */
#define TWICE_LOOKED_AT_MAX 512

/* More interfaces than this may not all have room in a sample: then those with a default route come first. */
#define UPLINK_FROM    4
#define ROUTES_BYTES   65536
#define INTERFACE_RANK "uplink, then traffic, then packets ever"

struct netif_list {
	struct netif *items;
	size_t count, size;
};

struct network {
	struct procfs_file file;
	struct procfs_buffer buffer;
	struct procfs_buffer routes;
	struct rate_clock clock;
	struct netif_list now, before;
	size_t skipped; /* lines that made no sense, or named an interface once more */
	struct links links;
	struct links_walk walk;
	bool links_known; /* the table has been filled */
	bool links_stale; /* something has happened since */
	bool announced;	  /* wake has already said so */
	int events_fd;
};

/* --------------------------------------------------------------------------------------------------- the counters */

int netdev_parse(struct scan line, struct scan *ret_name, struct netdev_counters *ret_counters)
{
	struct netdev_counters c;
	struct scan name;
	const char *colon;

	/* The kernel pads a short name on its left. */
	scan_blanks(&line);
	colon = line.at == line.end ? NULL : memrchr(line.at, ':', scan_len(&line));
	if (!colon || colon == line.at || colon - line.at >= IFNAMSIZ)
		return -EBADMSG;
	name = (struct scan){ line.at, colon };
	line.at = colon + 1;
	/* bytes packets errs drop fifo frame compressed multicast, then bytes packets errs drop fifo colls carrier
	 * compressed of what was sent */
	if (!scan_u64(&line, &c.rx_bytes) || !scan_u64(&line, &c.rx_packets) || !scan_u64(&line, &c.rx_errors) ||
	    !scan_u64(&line, &c.rx_dropped) || !scan_u64(&line, &c.rx_fifo) || !scan_u64(&line, &c.rx_frame) ||
	    !scan_u64(&line, &c.rx_compressed) || !scan_u64(&line, &c.rx_multicast) || !scan_u64(&line, &c.tx_bytes) ||
	    !scan_u64(&line, &c.tx_packets) || !scan_u64(&line, &c.tx_errors) || !scan_u64(&line, &c.tx_dropped) ||
	    !scan_u64(&line, &c.tx_fifo) || !scan_u64(&line, &c.tx_collisions) || !scan_u64(&line, &c.tx_carrier) ||
	    !scan_u64(&line, &c.tx_compressed))
		return -EBADMSG;
	*ret_name = name;
	*ret_counters = c;
	return 0;
}

static int compare_netifs(const void *a, const void *b)
{
	return memcmp(a, b, IFNAMSIZ);
}

static struct netif *list_add(struct netif_list *list)
{
	size_t wanted = list->size ? list->size * 2 : 8;
	struct netif *bigger;

	if (list->count == list->size) {
		bigger = reallocarray(list->items, wanted, sizeof(*bigger));
		if (!bigger)
			return NULL;
		list->items = bigger;
		list->size = wanted;
	}
	return &list->items[list->count++];
}

/*
 * The interface as it was read last time. The kernel lists them in the same order every time, so it is nearly
 * always at the place where it was; if one is not, the old list is sorted once and searched.
 */
static const struct netif *before_find(struct netif_list *before, bool *sorted, size_t at, const char name[IFNAMSIZ])
{
	if (!*sorted && at < before->count && compare_netifs(&before->items[at], name) == 0)
		return &before->items[at];
	if (before->count == 0)
		return NULL;
	if (!*sorted)
		qsort(before->items, before->count, sizeof(*before->items), compare_netifs);
	*sorted = true;
	return bsearch(name, before->items, before->count, sizeof(*before->items), compare_netifs);
}

static void netif_update(struct netif *netif, const struct netif *before, struct rate_interval interval,
			 const struct netdev_counters *counters)
{
	char name[IFNAMSIZ];

	memcpy(name, netif->name, sizeof(name));
	*netif = before ? *before : (struct netif){ .link = NO_LINK };
	memcpy(netif->name, name, sizeof(name));
	netif->counters = *counters;
	rate_update(&netif->rx_bytes, interval, counters->rx_bytes);
	rate_update(&netif->tx_bytes, interval, counters->tx_bytes);
	rate_update(&netif->rx_packets, interval, counters->rx_packets);
	rate_update(&netif->tx_packets, interval, counters->tx_packets);
}

/* A second line of one name would be counted twice. Looked for only where the list is not that of the last time. */
static bool is_twice(const struct network *network, size_t at, const char name[IFNAMSIZ])
{
	const struct netif_list *now = &network->now, *before = &network->before;

	if (at < before->count && compare_netifs(&before->items[at], name) == 0)
		return false;
	for (size_t i = 0; i < at && at < TWICE_LOOKED_AT_MAX; i++)
		if (compare_netifs(&now->items[i], name) == 0)
			return true;
	return false;
}

static int line_take(struct network *network, struct scan line, bool *sorted, struct rate_interval interval)
{
	struct netdev_counters counters;
	size_t at = network->now.count;
	char key[IFNAMSIZ] = "";
	struct netif *netif;
	struct scan name;
	int r = netdev_parse(line, &name, &counters);

	if (r < 0)
		return r;
	memcpy(key, name.at, scan_len(&name));
	if (!*sorted && is_twice(network, at, key))
		return -EBADMSG;
	netif = list_add(&network->now);
	if (!netif)
		return -ENOMEM;
	memcpy(netif->name, key, sizeof(key));
	netif_update(netif, before_find(&network->before, sorted, at, netif->name), interval, &counters);
	return 0;
}

/* The two lines above the interfaces part their columns by bars. */
static bool is_heading(const struct scan *line, unsigned at)
{
	return at < 2 && memchr(line->at, '|', scan_len(line)) && !memchr(line->at, ':', scan_len(line));
}

static int counters_take(struct network *network, struct scan text, struct rate_interval interval)
{
	bool sorted = false;
	struct scan line;
	unsigned at = 0;

	network->now.count = 0;
	network->skipped = 0;
	for (; scan_line(&text, &line); at++) {
		int r = is_heading(&line, at) ? 0 : line_take(network, line, &sorted, interval);

		if (r == -EBADMSG)
			network->skipped++;
		else if (r < 0)
			return r;
	}
	/* An empty list would clear what a host knows. A kernel without any interface still writes the heading. */
	return network->now.count == 0 && (network->skipped > 0 || at == 0) ? -EBADMSG : 0;
}

/*
 * The list just read becomes the former one while the next is read; after a failure the lists are swapped back, so that
 * the last good values stay.
 */
static int counters_collect(struct network *network, const struct collect_ctx *ctx)
{
	struct rate_clock clock = network->clock;
	struct netif_list list = network->now;
	int r;

	r = procfs_read(&network->file, ctx->proc_fd, "net/dev", &network->buffer);
	if (r < 0)
		return r;
	network->now = network->before;
	network->before = list;
	r = counters_take(network, scan_text(network->buffer.text, network->buffer.len),
			  rate_clock_next(&clock, &ctx->now, ctx->gap));
	if (r < 0) {
		network->before = network->now;
		network->now = list;
		return r;
	}
	network->clock = clock;
	return 0;
}

/* ------------------------------------------------------------------------------------------------------ the links */

/* Without events there are only more dumps. */
static int events_open(void)
{
	static const unsigned groups[] = { RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR };
	_cleanup_(closep) int fd = netlink_socket(NETLINK_ROUTE);

	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		if (fd < 0 || netlink_join(fd, groups[i]) < 0)
			return -1;
	return TAKE_FD(fd);
}

/*
 * Takes the events received. True when a host should be told; after that further events up to the next dump are not
 * examined. An error (ENOBUFS: too many at once) means that events were lost, which may have been any.
 */
static bool events_take(struct network *network, unsigned max)
{
	char buffer[EVENT_BUFFER_SIZE];
	bool changed = false;

	while (max-- > 0) {
		enum links_change change = LINKS_CHANGED;
		int n = netlink_receive(network->events_fd, buffer, sizeof(buffer));

		if (n == -EAGAIN)
			break;
		if (n >= 0 && network->announced)
			change = LINKS_STALE;
		else if (n >= 0)
			change = links_event(&network->links, buffer, (size_t)n);
		network->links_stale |= change != LINKS_SAME;
		changed |= change == LINKS_CHANGED && !network->announced;
		network->announced |= changed;
	}
	return changed;
}

/* Assigns links to interfaces, after a new dump or for new interfaces, and decides which interfaces are shown. */
static void links_assign(struct network *network, bool fresh)
{
	for (size_t i = 0; i < network->now.count; i++) {
		struct netif *netif = &network->now.items[i];
		size_t len = strnlen(netif->name, IFNAMSIZ);
		const struct link *link = NULL;

		if (!fresh && netif->link != NO_LINK)
			continue;
		if (network->links_known)
			link = links_find(&network->links, netif->name, len);
		netif->link = link ? (uint32_t)(link - network->links.links) : NO_LINK;
		netif->shown = strcmp(netif->name, "lo") != 0 && !(link && link->flags & IFF_LOOPBACK) &&
			       !link_is_noise(netif->name, len, link && link_is_addressed(&network->links, link));
	}
}

/* ---------------------------------------------------------------------------------------------------- the uplinks */

bool route_is_default(struct scan line, bool six, struct scan *ret_name)
{
	static const char zeros[] = "00000000000000000000000000000000";
	struct scan field;

	/* Of net/ipv6_route: destination, its length, source, its length, next hop, metric, two counts, flags, name. */
	if (six) {
		if (!scan_field(&line, &field) || !scan_equals(&field, zeros) || !scan_field(&line, &field) ||
		    !scan_equals(&field, "00") || !scan_skip(&line, 7))
			return false;
		return scan_field(&line, ret_name);
	}
	/* Of net/route: name, destination, gateway, flags, three counts, mask. */
	return scan_field(&line, ret_name) && scan_field(&line, &field) && scan_equals(&field, zeros + 24) &&
	       scan_skip(&line, 5) && scan_field(&line, &field) && scan_equals(&field, zeros + 24);
}

/*
 * The kernel lists routes by destination, so that a default route of IPv4 is among the first ones, and one of IPv6
 * mostly; of a table that is longer than ROUTES_BYTES the rest is not looked at.
 */
static void uplinks_take(struct network *network, const struct collect_ctx *ctx, const char *path, bool six)
{
	struct procfs_file file = PROCFS_FILE;
	struct scan text, line, name;

	network->routes.max = ROUTES_BYTES;
	if (procfs_read(&file, ctx->proc_fd, path, &network->routes) == 0) {
		text = scan_text(network->routes.text, network->routes.len);
		while (scan_line(&text, &line)) {
			if (!route_is_default(line, six, &name) || scan_equals(&name, "lo"))
				continue;
			for (size_t i = 0; i < network->now.count; i++)
				if (scan_equals(&name, network->now.items[i].name))
					network->now.items[i].uplink = true;
		}
	}
	procfs_close(&file);
}

static void uplinks_find(struct network *network, const struct collect_ctx *ctx)
{
	size_t shown = 0;

	for (size_t i = 0; i < network->now.count; i++) {
		network->now.items[i].uplink = false;
		shown += network->now.items[i].shown;
	}
	if (shown <= UPLINK_FROM)
		return;
	uplinks_take(network, ctx, "net/route", false);
	uplinks_take(network, ctx, "net/ipv6_route", true);
}

/* ------------------------------------------------------------------------------------------------------ the dumps */

enum {
	LINKS_KEPT,  /* the table is still good */
	LINKS_FRESH, /* a new dump is in it */
	LINKS_MORE,  /* a dump is under way */
};

/* One of these, or -errno. */
static int links_collect(struct network *network, const struct collect_ctx *ctx, bool in_parts)
{
	int r;

	if (!ctx->live)
		return 0;
	/* An event that came just before a sample belongs into it, even if the loop has not seen it yet. */
	if (network->events_fd >= 0)
		events_take(network, EVENTS_PER_WAKE);
	if (network->links_known && !network->links_stale && !network->walk.buffer && network->events_fd >= 0)
		return LINKS_KEPT;
	/* Of what happens from now on an event comes, maybe between two parts. */
	if (!network->walk.buffer)
		network->links_stale = false;
	r = links_walk(&network->walk, &network->links, in_parts);
	if (r == COLLECT_MORE) {
		network->links_stale |= !network->walk.buffer; /* begun anew by the next call */
		return LINKS_MORE;
	}
	network->links_stale |= r < 0;
	/*
	 * Links that change faster than they can be listed: the last complete list stays, and the next collect tries
	 * again.
	 */
	if (r == -EINTR && network->links_known)
		return LINKS_KEPT;
	if (r < 0)
		return r;
	network->links_known = true;
	network->announced = false;
	return LINKS_FRESH;
}

/* ------------------------------------------------------------------------------------------------- the collector */

static void network_close(void *state)
{
	struct network *network = state;

	if (!network)
		return;
	if (network->events_fd >= 0)
		close_fd(&network->events_fd);
	procfs_close(&network->file);
	procfs_buffer_free(&network->buffer);
	links_walk_end(&network->walk);
	procfs_buffer_free(&network->routes);
	links_free(&network->links);
	free(network->now.items);
	free(network->before.items);
	free(network);
}

static int network_open(const struct collect_ctx *ctx, void **ret_state)
{
	struct network *network = calloc(1, sizeof(*network));

	if (!network)
		return -ENOMEM;
	network->file = PROCFS_FILE_SHORT;
	network->events_fd = -1;
	/* The events first: what changes between the two is then dumped twice, not missed. */
	if (ctx->live) {
		network->events_fd = events_open();
		network->links_known = links_dump(&network->links) == 0;
	}
	*ret_state = network;
	return 0;
}

/* The number of shown interfaces without a link in the table: they were added after the dump. */
static unsigned links_missing(const struct network *network)
{
	unsigned missing = 0;

	for (size_t i = 0; i < network->now.count; i++)
		missing += network->now.items[i].shown && network->now.items[i].link == NO_LINK;
	return missing;
}

/* Dumps once more; an interface still without a link has gone again and is left out, as its is_up is unknown. */
static int links_complete(struct network *network, const struct collect_ctx *ctx)
{
	int r;

	if (!ctx->live || links_missing(network) == 0)
		return 0;
	network->links_stale = true;
	r = links_collect(network, ctx, false);
	if (r < 0)
		return r;
	links_assign(network, r == LINKS_FRESH);
	for (size_t i = 0; i < network->now.count; i++)
		if (network->now.items[i].link == NO_LINK)
			network->now.items[i].shown = false;
	return 0;
}

static int network_collect(void *state, const struct collect_ctx *ctx)
{
	struct network *network = state;
	int fresh = links_collect(network, ctx, ctx->slice > 0), r;

	if (fresh < 0 || fresh == LINKS_MORE)
		return fresh < 0 ? fresh : COLLECT_MORE;
	r = counters_collect(network, ctx);
	/* Also after a failure: the old list keeps its values, but its places in the table may be others now. */
	links_assign(network, fresh == LINKS_FRESH);
	if (r == 0)
		r = links_complete(network, ctx);
	if (r == 0)
		uplinks_find(network, ctx);
	return r;
}

static int network_wake_fd(const void *state)
{
	const struct network *network = state;

	return network->events_fd;
}

static bool network_wake(void *state)
{
	struct network *network = state;

	return network->events_fd >= 0 && events_take(network, EVENTS_PER_WAKE);
}

/* ----------------------------------------------------------------------------------------------------------- emit */

static void emit_rate(struct sink *out, const char *key, const struct rate *rate)
{
	if (rate_known(rate))
		sink_real(out, key, rate->per_second, 1);
	else
		sink_null(out, key);
}

static void emit_mac(struct sink *out, const struct link *link)
{
	static const char digits[] = "0123456789abcdef";
	char text[3 * LINK_MAC_MAX], *at = text;

	for (size_t i = 0; i < link->mac_len; i++) {
		*at++ = digits[link->mac[i] >> 4];
		*at++ = digits[link->mac[i] & 15];
		*at++ = ':';
	}
	if (link->mac_len > 0)
		sink_text(out, "mac", text, (size_t)(at - text) - 1, sizeof(text));
	else
		sink_null(out, "mac");
}

static void emit_addresses(struct sink *out, const struct links *links, const struct link *link)
{
	const struct link_address *first = links->addresses + link->address_first;
	char text[INET6_ADDRSTRLEN];

	sink_array_begin(out, "ip_addresses");
	for (size_t i = 0; i < link->address_count; i++)
		if (inet_ntop(first[i].family, first[i].bytes, text, sizeof(text)))
			sink_text(out, NULL, text, strlen(text), sizeof(text));
	sink_array_end(out);
}

/* What changes with the configuration alone. */
static void emit_constants(struct sink *out, const struct links *links, const struct link *link)
{
	const struct link_address *first = links->addresses + link->address_first;

	sink_whole_begin(out);
	sink_str(out, "operstate", link_operstate_name(link->operstate));
	sink_array_begin(out, "prefix_lengths");
	for (size_t i = 0; i < link->address_count; i++)
		sink_uint(out, NULL, first[i].prefix);
	sink_array_end(out);
	emit_mac(out, link);
	sink_uint(out, "mtu", link->mtu);
	if (link->has_carrier_changes)
		sink_uint(out, "carrier_changes", link->carrier_changes);
	else
		sink_null(out, "carrier_changes");
	sink_whole_end(out);
}

/*
 * is_up: administratively up and able to carry packets (IFF_RUNNING: a carrier, where the driver knows of one), as
 * opposed to an unplugged cable. Without netlink (a fixture) there is no link.
 */
static void emit_link(struct sink *out, const struct links *links, const struct link *link)
{
	if (!link) {
		sink_null(out, "ip_addresses");
		sink_null(out, "is_up");
		return;
	}
	emit_addresses(out, links, link);
	sink_bool(out, "is_up", (link->flags & IFF_UP) && (link->flags & IFF_RUNNING));
	emit_constants(out, links, link);
}

/* What a sound link seldom counts. */
static void emit_faults(struct sink *out, const struct netdev_counters *c)
{
	sink_whole_begin(out);
	sink_uint(out, "fifo_errors_in", c->rx_fifo);
	sink_uint(out, "frame_errors_in", c->rx_frame);
	sink_uint(out, "compressed_in", c->rx_compressed);
	sink_uint(out, "fifo_errors_out", c->tx_fifo);
	sink_uint(out, "collisions_out", c->tx_collisions);
	sink_uint(out, "carrier_errors_out", c->tx_carrier);
	sink_uint(out, "compressed_out", c->tx_compressed);
	sink_whole_end(out);
}

/* The state of all four rates: one counter that was reset makes the others doubtful. */
static enum rate_state rate_state_of(const struct netif *netif)
{
	return rate_state_worse(rate_state_worse(netif->rx_bytes.state, netif->tx_bytes.state),
				rate_state_worse(netif->rx_packets.state, netif->tx_packets.state));
}

static void emit_netif(struct sink *out, const struct network *network, const struct netif *netif)
{
	const struct link *link = netif->link == NO_LINK ? NULL : &network->links.links[netif->link];
	const struct netdev_counters *c = &netif->counters;

	sink_object_begin(out, NULL);
	sink_text(out, "name", netif->name, strnlen(netif->name, IFNAMSIZ), IFNAMSIZ);
	sink_uint(out, "bytes_received", c->rx_bytes);
	sink_uint(out, "bytes_sent", c->tx_bytes);
	sink_uint(out, "packets_received", c->rx_packets);
	sink_uint(out, "packets_sent", c->tx_packets);
	sink_uint(out, "errors_in", c->rx_errors);
	sink_uint(out, "errors_out", c->tx_errors);
	sink_uint(out, "drops_in", c->rx_dropped);
	sink_uint(out, "drops_out", c->tx_dropped);
	/* An interface without any says so in whole samples. */
	if (!c->rx_multicast)
		sink_whole_begin(out);
	sink_uint(out, "multicast_in", c->rx_multicast);
	if (!c->rx_multicast)
		sink_whole_end(out);
	emit_faults(out, c);
	emit_link(out, &network->links, link);
	emit_rate(out, "rx_bytes_per_sec", &netif->rx_bytes);
	emit_rate(out, "tx_bytes_per_sec", &netif->tx_bytes);
	emit_rate(out, "rx_packets_per_sec", &netif->rx_packets);
	emit_rate(out, "tx_packets_per_sec", &netif->tx_packets);
	sink_str(out, "rate_state", rate_state_name(rate_state_of(netif)));
	sink_object_end(out);
}

static void emit_shown(struct sink *out, uint32_t at, const void *user)
{
	const struct network *network = user;

	if (network->now.items[at].shown)
		emit_netif(out, network, &network->now.items[at]);
}

/* Uplinks, then what moves most bytes now, then what has ever moved any; those that are not shown last. */
static bool netif_before(uint32_t a, uint32_t b, const void *user)
{
	const struct network *network = user;
	const struct netif *left = &network->now.items[a], *right = &network->now.items[b];
	uint64_t left_moved = left->rx_bytes.delta + left->tx_bytes.delta;
	uint64_t right_moved = right->rx_bytes.delta + right->tx_bytes.delta;

	if (left->shown != right->shown)
		return left->shown;
	if (left->uplink != right->uplink)
		return left->uplink;
	if (left_moved != right_moved)
		return left_moved > right_moved;
	left_moved = left->counters.rx_packets + left->counters.tx_packets;
	right_moved = right->counters.rx_packets + right->counters.tx_packets;
	return left_moved != right_moved ? left_moved > right_moved : a < b;
}

static void network_emit(const void *state, struct sink *out)
{
	const struct network *network = state;
	struct ranked list = { .key = "interfaces",
			       .rank = INTERFACE_RANK,
			       .count = network->now.count,
			       .emit = emit_shown,
			       .before = netif_before,
			       .user = network };
	/* A text, or a table of links, over the limit: the part that was read is shown. */
	bool short_of = network->buffer.truncated || network->links.left_out > 0;
	size_t shown = 0, taken;

	for (size_t i = 0; i < network->now.count; i++)
		shown += network->now.items[i].shown;
	taken = ranked_emit(out, &list);
	if (taken < network->now.count || short_of) {
		sink_bool(out, "truncated", true);
		if (network->buffer.truncated)
			sink_null(out, "total_count");
		else
			sink_uint(out, "total_count", shown);
	}
	/* Those that are not shown stand behind all others where the list was ranked. */
	ranked_tell(out, &list, taken < shown ? shown - taken : 0);
	if (network->skipped > 0)
		sink_uint(out, "lines_skipped", network->skipped);
}

const struct collector collector_network = {
	.name = "network",
	.path = "system.network",
	.required = true,
	.reserve_bytes = 4096,
	.whole_keys = "multicast_in fifo_errors_in frame_errors_in compressed_in fifo_errors_out collisions_out "
		      "carrier_errors_out "
		      "compressed_out operstate prefix_lengths mac mtu carrier_changes",
	.open = network_open,
	.close = network_close,
	.collect = network_collect,
	.emit = network_emit,
	.wake_fd = network_wake_fd,
	.wake = network_wake,
};
