/* SPDX-License-Identifier: MIT */
/* The pure part of the network collector: the counters of one line of /proc/net/dev. */
#ifndef COLLECTORS_NETWORK_H
#define COLLECTORS_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "procfs.h"

struct netdev_counters {
	uint64_t rx_bytes, rx_packets, rx_errors, rx_dropped;
	uint64_t tx_bytes, tx_packets, tx_errors, tx_dropped;
	uint64_t rx_fifo, rx_frame, rx_compressed, rx_multicast;
	uint64_t tx_fifo, tx_collisions, tx_carrier, tx_compressed;
};

/*
 * One line after the two of the heading, "  eth0: 1 2 …". After the name come numbers alone, so it ends at the last
 * colon: kernels before 4.16 allowed colons in it, and all of them most other bytes (dev_valid_name in net/core/dev.c).
 * 0 or -EBADMSG (outputs untouched).
 */
int netdev_parse(struct scan line, struct scan *ret_name, struct netdev_counters *ret_counters);

/*
 * A line of net/route, or with `six` of net/ipv6_route: true and the interface if it is a default route. The first
 * line of net/route is a heading, which is none.
 */
bool route_is_default(struct scan line, bool six, struct scan *ret_name);

#endif
