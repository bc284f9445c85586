/* SPDX-License-Identifier: MIT */
/*
 * The network links of the guest with their addresses, as RTNETLINK dumps them (rtnetlink(7)), and the events that say
 * that they have changed. A table is filled by a dump and stays as it is until the next one; an event is compared with
 * the table and only says whether it changes anything that a host should see at once.
 */
#ifndef COLLECTORS_LINKS_H
#define COLLECTORS_LINKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <net/if.h>

#include "netlink.h"

#define LINK_MAC_MAX 32 /* MAX_ADDR_LEN of the kernel */

struct link {
	uint32_t index;
	uint32_t flags; /* IFF_* of netdevice(7) */
	uint32_t mtu;
	uint8_t operstate; /* RFC 2863; see link_operstate_name */
	uint8_t mac_len;
	bool has_carrier_changes; /* since Linux 3.15 */
	uint32_t carrier_changes; /* as of the dump: up and down, since it was made */
	uint8_t mac[LINK_MAC_MAX];
	char name[IFNAMSIZ];
	uint32_t address_first, address_count; /* into links.addresses */
};

struct link_address {
	uint32_t index; /* of the link */
	uint8_t family; /* AF_INET or AF_INET6 */
	uint8_t prefix;
	uint8_t scope; /* RT_SCOPE_* */
	uint8_t rank;  /* 0: an address to call; higher: temporary (RFC 8981), then deprecated ones */
	uint8_t bytes[16];
	uint32_t order; /* in which the kernel named it: the primary address first */
};

struct link_place {
	uint32_t index; /* of the link */
	uint32_t at;	/* in links.links */
};

/* Zeroed is empty. Links are sorted by name, addresses by link, rank, family and the kernel's order. */
struct links {
	struct link *links;
	size_t count, size;
	struct link_place *by_index;
	struct link_address *addresses;
	size_t address_count, address_size;
	size_t left_out; /* links and addresses for which there was no room: see LINKS_MAX in links.c */
};

void links_free(struct links *links);

/*
 * Adds what one RTM_NEWLINK or RTM_NEWADDR message says; other types, and addresses that cannot be used (still being
 * checked for duplicates, or found to be one), are skipped. For netlink_walk; `user` is the
 * struct links.
 */
int links_message(void *user, uint16_t type, struct netlink_part body);

/* Brings the table in order once all messages are in. 0 or -ENOMEM. */
int links_finish(struct links *links);

/*
 * Replaces the table by a dump of the running kernel. 0 or -errno (the table as it was). -EINTR: the links kept
 * changing under several dumps.
 */
int links_dump(struct links *links);

/* The same, that may go on in later calls. Zeroed: none under way. */
struct links_walk {
	void *buffer; /* NULL: none under way */
	int fd;
	unsigned tries;
	bool addresses; /* the links have been received, these are next */
	struct netlink_dump dump;
	struct links fresh;
};

/* COLLECT_MORE: a good part of a turn of the loop has been received; call it again, or give up with links_walk_end. */
int links_walk(struct links_walk *walk, struct links *links, bool in_parts);
void links_walk_end(struct links_walk *walk);

/* A link by its name, NULL when there is none. Valid until the table changes. */
const struct link *links_find(const struct links *links, const char *name, size_t len);

/* The effect of an event on a table. */
enum links_change {
	LINKS_SAME,    /* nothing that the table shows (lifetimes, statistics) */
	LINKS_STALE,   /* the table is out of date, but in nothing a host waits for (containers, MTU) */
	LINKS_CHANGED, /* an address, a link or its state: the host should know now */
};

/* Compares one datagram of events with the table. */
enum links_change links_event(const struct links *links, const void *datagram, size_t len);

/*
 * True for the interfaces that container engines and overlay networks make by themselves. Those of one pod or container
 * are shown all the same once somebody gives them an address of more than link scope; `addressed` says so.
 */
bool link_is_noise(const char *name, size_t len, bool addressed);

/* True when the link carries an address of more than link scope. */
bool link_is_addressed(const struct links *links, const struct link *link);

/* "up", "down", "dormant", … as in sysfs. */
const char *link_operstate_name(uint8_t operstate);

#endif
