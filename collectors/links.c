/* SPDX-License-Identifier: MIT */
/*
 * The table is filled in the order of the messages, then sorted, so that lookups by name and from an address to its
 * link are binary searches: thousands of interfaces cost n log n. Message formats: rtnetlink(7).
 */
#include "links.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/collector.h>

#define LINKS_MAX      65536U
#define ADDRESSES_MAX  65536U
#define DUMP_BYTES_MAX (64U << 20)
/* Received in one turn of the loop: some dozen links. */
#define TURN_BYTES 16384
#define DUMP_TRIES 4

void links_free(struct links *links)
{
	free(links->links);
	free(links->by_index);
	free(links->addresses);
	*links = (struct links){ 0 };
}

/* ----------------------------------------------------------------------------------------------------- messages */

/* IFLA_IFNAME comes with its NUL; the length rules if it does not. */
static bool name_take(const struct netlink_attr *attr, char name[IFNAMSIZ])
{
	size_t len = strnlen((const char *)attr->data, attr->len);

	if (len == 0 || len >= IFNAMSIZ)
		return false;
	memset(name, 0, IFNAMSIZ);
	memcpy(name, attr->data, len);
	return true;
}

/* 0, or -EBADMSG for a message that is too short or has no valid name. */
static int link_parse(struct netlink_part body, struct link *out)
{
	struct link link = { 0 };
	struct netlink_attr attr;
	struct ifinfomsg head;

	if ((size_t)(body.end - body.at) < sizeof(head))
		return -EBADMSG;
	memcpy(&head, body.at, sizeof(head));
	body.at += sizeof(head);
	link.index = (uint32_t)head.ifi_index;
	link.flags = head.ifi_flags;
	while (netlink_attr_next(&body, &attr)) {
		if (attr.type == IFLA_IFNAME && !name_take(&attr, link.name))
			return -EBADMSG;
		if (attr.type == IFLA_MTU)
			netlink_attr_u32(&attr, &link.mtu);
		if (attr.type == IFLA_CARRIER_CHANGES)
			link.has_carrier_changes = netlink_attr_u32(&attr, &link.carrier_changes);
		if (attr.type == IFLA_OPERSTATE && attr.len == 1)
			link.operstate = attr.data[0];
		if (attr.type == IFLA_ADDRESS && attr.len <= sizeof(link.mac)) {
			link.mac_len = (uint8_t)attr.len;
			memcpy(link.mac, attr.data, attr.len);
		}
	}
	if (link.name[0] == '\0')
		return -EBADMSG;
	*out = link;
	return 0;
}

/*
 * An address still being checked for duplicates (unless it is optimistic, RFC 4429), or found to be one, cannot be
 * used.
 */
static bool is_usable(uint32_t flags)
{
	return !(flags & IFA_F_DADFAILED) && (!(flags & IFA_F_TENTATIVE) || flags & IFA_F_OPTIMISTIC);
}

/* IFA_F_TEMPORARY is IFA_F_SECONDARY of an IPv4 address, which is no worse for being the second. */
static uint8_t rank_of(uint8_t family, uint32_t flags)
{
	return (uint8_t)((flags & IFA_F_DEPRECATED ? 2 : 0) + (family == AF_INET6 && flags & IFA_F_TEMPORARY ? 1 : 0));
}

/*
 * IFA_LOCAL is the own address where IFA_ADDRESS is the peer's, and IFA_FLAGS has more of the flags than the head, see
 * rtnetlink(7). 0, -EBADMSG, or 1 for another family.
 */
static int address_parse(struct netlink_part body, struct link_address *out, bool *ret_usable)
{
	const uint8_t *address = NULL, *local = NULL;
	struct link_address found = { 0 };
	struct netlink_attr attr;
	struct ifaddrmsg head;
	uint32_t flags;
	size_t len;

	if ((size_t)(body.end - body.at) < sizeof(head))
		return -EBADMSG;
	memcpy(&head, body.at, sizeof(head));
	body.at += NLMSG_ALIGN(sizeof(head));
	if (head.ifa_family != AF_INET && head.ifa_family != AF_INET6)
		return 1;
	len = head.ifa_family == AF_INET ? 4 : 16;
	flags = head.ifa_flags;
	while (netlink_attr_next(&body, &attr)) {
		if (attr.type == IFA_ADDRESS && attr.len == len)
			address = attr.data;
		if (attr.type == IFA_LOCAL && attr.len == len)
			local = attr.data;
		if (attr.type == IFA_FLAGS)
			netlink_attr_u32(&attr, &flags);
	}
	if (!address && !local)
		return -EBADMSG;
	found.index = head.ifa_index;
	found.family = head.ifa_family;
	found.prefix = head.ifa_prefixlen;
	found.scope = head.ifa_scope;
	found.rank = rank_of(head.ifa_family, flags);
	memcpy(found.bytes, local ? local : address, len);
	*out = found;
	*ret_usable = is_usable(flags);
	return 0;
}

/* Makes room for one more item. 0, -ENOMEM or -E2BIG. */
static int grow(void *items, size_t count, size_t *size, size_t item_size, size_t max)
{
	size_t wanted = *size ? *size * 2 : 8;
	void *bigger;

	if (count < *size)
		return 0;
	if (count >= max)
		return -E2BIG;
	bigger = reallocarray(*(void **)items, wanted, item_size);
	if (!bigger)
		return -ENOMEM;
	*(void **)items = bigger;
	*size = wanted;
	return 0;
}

static int link_add(struct links *links, const struct link *link)
{
	int r = grow(&links->links, links->count, &links->size, sizeof(*link), LINKS_MAX);

	if (r == 0)
		links->links[links->count++] = *link;
	return r;
}

static int address_add(struct links *links, struct link_address *address)
{
	int r = grow(&links->addresses, links->address_count, &links->address_size, sizeof(*address), ADDRESSES_MAX);

	if (r < 0)
		return r;
	address->order = (uint32_t)links->address_count;
	links->addresses[links->address_count++] = *address;
	return 0;
}

int links_message(void *user, uint16_t type, struct netlink_part body)
{
	struct links *links = user;
	struct link_address address;
	struct link link;
	bool usable;
	int r = 0;

	if (type == RTM_NEWLINK) {
		r = link_parse(body, &link);
		if (r == 0)
			r = link_add(links, &link);
	} else if (type == RTM_NEWADDR) {
		r = address_parse(body, &address, &usable);
		if (r == 0 && usable)
			r = address_add(links, &address);
	}
	if (r == -E2BIG) {
		links->left_out++;
		return 0;
	}
	return r < 0 ? r : 0;
}

/* ---------------------------------------------------------------------------------------------------- the table */

static int compare_links(const void *a, const void *b)
{
	const struct link *left = a, *right = b;

	return memcmp(left->name, right->name, IFNAMSIZ);
}

static int compare_places(const void *a, const void *b)
{
	const struct link_place *left = a, *right = b;

	return left->index < right->index ? -1 : left->index > right->index;
}

/* Those to call first, of them IPv4, otherwise in the kernel's order. */
static int compare_addresses(const void *a, const void *b)
{
	const struct link_address *left = a, *right = b;

	if (left->index != right->index)
		return left->index < right->index ? -1 : 1;
	if (left->rank != right->rank)
		return left->rank < right->rank ? -1 : 1;
	if (left->family != right->family)
		return left->family == AF_INET ? -1 : 1;
	return left->order < right->order ? -1 : left->order > right->order;
}

/* The first address of a link; address_count if there is none. */
static size_t addresses_begin(const struct links *links, uint32_t index)
{
	size_t low = 0, high = links->address_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (links->addresses[middle].index < index)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int links_finish(struct links *links)
{
	struct link_place *places = calloc(links->count + 1, sizeof(*places));

	if (!places)
		return -ENOMEM;
	free(links->by_index);
	links->by_index = places;
	if (links->count > 0)
		qsort(links->links, links->count, sizeof(*links->links), compare_links);
	if (links->address_count > 0)
		qsort(links->addresses, links->address_count, sizeof(*links->addresses), compare_addresses);
	for (size_t i = 0; i < links->count; i++) {
		struct link *link = &links->links[i];
		size_t at = addresses_begin(links, link->index);

		places[i] = (struct link_place){ link->index, (uint32_t)i };
		link->address_first = (uint32_t)at;
		link->address_count = 0;
		while (at < links->address_count && links->addresses[at++].index == link->index)
			link->address_count++;
	}
	qsort(places, links->count, sizeof(*places), compare_places);
	return 0;
}

const struct link *links_find(const struct links *links, const char *name, size_t len)
{
	struct link key = { 0 };

	if (len == 0 || len >= IFNAMSIZ || links->count == 0)
		return NULL;
	memcpy(key.name, name, len);
	return bsearch(&key, links->links, links->count, sizeof(key), compare_links);
}

static const struct link *find_index(const struct links *links, uint32_t index)
{
	const struct link_place key = { .index = index }, *found = NULL;

	if (links->count > 0)
		found = bsearch(&key, links->by_index, links->count, sizeof(key), compare_places);
	return found ? &links->links[found->at] : NULL;
}

/* ---------------------------------------------------------------------------------------------------- the dumps */

struct link_request {
	struct nlmsghdr head;
	struct ifinfomsg body;
	struct nlattr mask;
	uint32_t mask_value;
};

/* Without the statistics, which are most of a link's message and are read from /proc/net/dev anyway. */
static int ask_links(struct links_walk *walk)
{
	struct link_request request = {
		.head = { .nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETLINK, .nlmsg_seq = 0 },
		.body = { .ifi_family = AF_UNSPEC },
		.mask = { .nla_len = sizeof(request.mask) + sizeof(request.mask_value), .nla_type = IFLA_EXT_MASK },
		.mask_value = RTEXT_FILTER_SKIP_STATS,
	};

	return netlink_dump_begin(&walk->dump, walk->fd, &request.head, DUMP_BYTES_MAX);
}

static int ask_addresses(struct links_walk *walk)
{
	struct {
		struct nlmsghdr head;
		struct ifaddrmsg body;
	} request = {
		.head = { .nlmsg_len = sizeof(request), .nlmsg_type = RTM_GETADDR, .nlmsg_seq = 1 },
		.body = { .ifa_family = AF_UNSPEC },
	};

	return netlink_dump_begin(&walk->dump, walk->fd, &request.head, DUMP_BYTES_MAX);
}

void links_walk_end(struct links_walk *walk)
{
	if (walk->buffer)
		close_fd(&walk->fd);
	free(walk->buffer);
	links_free(&walk->fresh);
	*walk = (struct links_walk){ 0 };
}

static int walk_begin(struct links_walk *walk)
{
	walk->buffer = malloc(NETLINK_BUFFER_SIZE);
	if (!walk->buffer)
		return -ENOMEM;
	walk->fd = netlink_socket(NETLINK_ROUTE);
	return walk->fd < 0 ? walk->fd : ask_links(walk);
}

/* The present dump goes on. NETLINK_DONE: both are complete. */
static int walk_on(struct links_walk *walk, bool in_parts)
{
	size_t bytes = 0;
	int r = NETLINK_MORE;

	while (r == NETLINK_MORE && !(in_parts && bytes >= TURN_BYTES)) {
		r = netlink_dump_part(&walk->dump, walk->fd, walk->buffer, links_message, &walk->fresh, &bytes);
		if (r != NETLINK_DONE || walk->addresses)
			continue;
		walk->addresses = true;
		r = ask_addresses(walk);
	}
	return r;
}

int links_walk(struct links_walk *walk, struct links *links, bool in_parts)
{
	unsigned tries = walk->tries;
	int r = walk->buffer ? 0 : walk_begin(walk);

	if (r == 0)
		r = walk_on(walk, in_parts);
	if (r == NETLINK_MORE)
		return COLLECT_MORE;
	if (r == NETLINK_DONE)
		r = links_finish(&walk->fresh);
	if (r == 0) {
		links_free(links);
		*links = walk->fresh;
		walk->fresh = (struct links){ 0 };
	}
	links_walk_end(walk);
	if (r != -EINTR || tries + 1 >= DUMP_TRIES)
		return r;
	walk->tries = tries + 1;
	return in_parts ? COLLECT_MORE : links_walk(walk, links, in_parts);
}

int links_dump(struct links *links)
{
	struct links_walk walk = { 0 };

	return links_walk(&walk, links, false);
}

/* ------------------------------------------------------------------------------------------------------- events */

struct event {
	const struct links *links;
	enum links_change change;
};

/* True if the values of the link that a host sees, beside its addresses, are the same. */
static bool link_same(const struct link *a, const struct link *b)
{
	const uint32_t shown = IFF_UP | IFF_RUNNING;

	return (a->flags & shown) == (b->flags & shown) && a->mac_len == b->mac_len &&
	       memcmp(a->mac, b->mac, a->mac_len) == 0 && memcmp(a->name, b->name, IFNAMSIZ) == 0;
}

static enum links_change link_change(const struct links *links, uint16_t type, const struct link *link)
{
	const struct link *known = links_find(links, link->name, strlen(link->name));
	bool hidden = link->flags & IFF_LOOPBACK ||
		      link_is_noise(link->name, strlen(link->name), known && link_is_addressed(links, known));

	if (known && known->index != link->index)
		known = NULL;
	if (type == RTM_NEWLINK && known && link_same(known, link))
		return known->mtu == link->mtu && known->operstate == link->operstate ? LINKS_SAME : LINKS_STALE;
	if (type == RTM_DELLINK && !known && !find_index(links, link->index))
		return LINKS_SAME;
	return hidden ? LINKS_STALE : LINKS_CHANGED;
}

/* The same address in the table, NULL when it is not there. */
static const struct link_address *address_find(const struct links *links, const struct link_address *address)
{
	for (size_t i = addresses_begin(links, address->index);
	     i < links->address_count && links->addresses[i].index == address->index; i++) {
		const struct link_address *known = &links->addresses[i];

		if (known->family == address->family && known->prefix == address->prefix &&
		    memcmp(known->bytes, address->bytes, sizeof(known->bytes)) == 0)
			return known;
	}
	return NULL;
}

/* An address that cannot be used is ignored, added or removed: it counts from the time when it can be used. */
static enum links_change address_change(const struct links *links, bool there, const struct link_address *address)
{
	const struct link_address *known = address_find(links, address);
	bool wide = address->scope < RT_SCOPE_LINK;
	const struct link *link;

	if (there ? known && known->rank == address->rank && known->scope == address->scope : !known)
		return LINKS_SAME;
	link = find_index(links, address->index);
	/*
	 * A link that is not in the table yet has announced itself by an event of its own, and a container's is noise.
	 */
	if (!link)
		return wide ? LINKS_CHANGED : LINKS_STALE;
	if (link->flags & IFF_LOOPBACK || link_is_noise(link->name, strlen(link->name), wide))
		return LINKS_STALE;
	return LINKS_CHANGED;
}

/* Invalid messages are skipped here: the dump that follows an event is what counts. */
static int event_message(void *user, uint16_t type, struct netlink_part body)
{
	enum links_change change = LINKS_SAME;
	struct event *event = user;
	struct link_address address;
	struct link link;
	bool usable;

	if (type == RTM_NEWLINK || type == RTM_DELLINK) {
		/* Bridges announce their ports with family AF_BRIDGE (RTM_DELLINK: "left the bridge", not "gone"). */
		if (body.at < body.end && *body.at == AF_UNSPEC && link_parse(body, &link) == 0)
			change = link_change(event->links, type, &link);
	} else if (type == RTM_NEWADDR || type == RTM_DELADDR) {
		if (address_parse(body, &address, &usable) == 0)
			change = address_change(event->links, type == RTM_NEWADDR && usable, &address);
	}
	if (change > event->change)
		event->change = change;
	return 0;
}

enum links_change links_event(const struct links *links, const void *datagram, size_t len)
{
	struct event event = { .links = links, .change = LINKS_SAME };
	bool interrupted = false;

	/* A datagram that cannot be walked says that something happened, but not what. */
	if (netlink_walk(datagram, len, 0, event_message, &event, &interrupted) < 0)
		return LINKS_CHANGED;
	return event.change;
}

/* -------------------------------------------------------------------------------------------------------- names */

static bool begins(const char *name, size_t len, const char *prefix)
{
	size_t prefix_len = strlen(prefix);

	return len >= prefix_len && memcmp(name, prefix, prefix_len) == 0;
}

/*
 * Docker names the bridges of its networks "br-" and 12 hexadecimal digits; people and routers use "br-lan", "br-ex".
 */
static bool is_docker_bridge(const char *name, size_t len)
{
	if (len != 15 || !begins(name, len, "br-"))
		return false;
	for (size_t i = 3; i < len; i++)
		if (!strchr("0123456789abcdef", name[i]))
			return false;
	return true;
}

bool link_is_noise(const char *name, size_t len, bool addressed)
{
	static const char *const engines[] = { "docker", "podman",	 "cni",	  "flannel",	 "cilium_",
					       "kube-",	 "nodelocaldns", "weave", "vxlan.calico" };
	static const char *const members[] = { "veth", "cali", "br-", "lxc" };

	if (is_docker_bridge(name, len))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(engines); i++)
		if (begins(name, len, engines[i]))
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		if (begins(name, len, members[i]))
			return !addressed;
	return false;
}

bool link_is_addressed(const struct links *links, const struct link *link)
{
	for (size_t i = 0; i < link->address_count; i++)
		if (links->addresses[link->address_first + i].scope < RT_SCOPE_LINK)
			return true;
	return false;
}

/* RFC 2863 as in Documentation/networking/operstates.rst. */
const char *link_operstate_name(uint8_t operstate)
{
	static const char *const names[] = { "unknown", "notpresent", "down", "lowerlayerdown",
					     "testing", "dormant",    "up" };

	return operstate < ARRAY_SIZE(names) ? names[operstate] : "unknown";
}
