/* SPDX-License-Identifier: MIT */
/* network-get-interfaces and network-get-route. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>

#include "agent/qga/table.h"
#include "agent/qga/texts.h"
#include "collectors/links.h"
#include "collectors/network.h"
#include "collectors/procfs.h"

struct interfaces {
	struct links links;
	struct procfs_buffer counters; /* /proc/net/dev */
};

static bool counters_of(const struct interfaces *interfaces, const char *name, struct netdev_counters *ret)
{
	struct scan text = scan_text(interfaces->counters.text, interfaces->counters.len), line, found;

	while (scan_line(&text, &line))
		if (netdev_parse(line, &found, ret) == 0 && scan_equals(&found, name))
			return true;
	return false;
}

static void emit_address(struct sink *out, const struct link_address *address)
{
	char text[INET6_ADDRSTRLEN];

	if (!inet_ntop(address->family, address->bytes, text, sizeof(text)))
		return;
	sink_object_begin(out, NULL);
	sink_str(out, "ip-address-type", address->family == AF_INET ? "ipv4" : "ipv6");
	sink_str(out, "ip-address", text);
	sink_uint(out, "prefix", address->prefix);
	sink_object_end(out);
}

static void emit_counters(struct sink *out, const struct netdev_counters *counters)
{
	sink_object_begin(out, "statistics");
	sink_uint(out, "rx-bytes", counters->rx_bytes);
	sink_uint(out, "rx-packets", counters->rx_packets);
	sink_uint(out, "rx-errs", counters->rx_errors);
	sink_uint(out, "rx-dropped", counters->rx_dropped);
	sink_uint(out, "tx-bytes", counters->tx_bytes);
	sink_uint(out, "tx-packets", counters->tx_packets);
	sink_uint(out, "tx-errs", counters->tx_errors);
	sink_uint(out, "tx-dropped", counters->tx_dropped);
	sink_object_end(out);
}

/* Hosts read six bytes: a longer or absent address (a tunnel's, InfiniBand's) is left out. */
static void emit_mac(struct sink *out, const struct link *link)
{
	const uint8_t *mac = link->mac;
	char text[18];

	if (link->mac_len != 6)
		return;
	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	sink_str(out, "hardware-address", text);
}

static void emit_interfaces(struct sink *out, const char *key, const void *arg)
{
	const struct interfaces *interfaces = arg;
	const struct links *links = &interfaces->links;

	sink_array_begin(out, key);
	for (size_t i = 0; i < links->count; i++) {
		const struct link *link = &links->links[i];
		struct netdev_counters counters;

		sink_object_begin(out, NULL);
		sink_str(out, "name", link->name);
		emit_mac(out, link);
		if (link->address_count)
			sink_array_begin(out, "ip-addresses");
		for (uint32_t a = 0; a < link->address_count; a++)
			emit_address(out, &links->addresses[link->address_first + a]);
		if (link->address_count)
			sink_array_end(out);
		if (counters_of(interfaces, link->name, &counters))
			emit_counters(out, &counters);
		sink_object_end(out);
	}
	sink_array_end(out);
}

static void run_get_interfaces(struct qga_call *call)
{
	struct interfaces interfaces = { .links = { 0 } };
	struct procfs_file file = PROCFS_FILE;
	int r = links_dump(&interfaces.links);

	procfs_read(&file, call->env->proc_fd, "net/dev", &interfaces.counters);
	procfs_close(&file);
	if (r < 0)
		qga_fail(call, "the interfaces cannot be listed: %s", strerror(-r));
	else
		qga_return(call, emit_interfaces, &interfaces);
	links_free(&interfaces.links);
	procfs_buffer_free(&interfaces.counters);
}

/* ---------------------------------------------------------------------------------------------------------- routes */

struct routes {
	struct procfs_buffer ipv4, ipv6;
};

static void emit_ip(struct sink *out, const char *key, const uint8_t *bytes, bool ipv6)
{
	char text[INET6_ADDRSTRLEN] = "";

	inet_ntop(ipv6 ? AF_INET6 : AF_INET, bytes, text, sizeof(text));
	sink_str(out, key, text);
}

static void emit_prefix(struct sink *out, const char *key, unsigned prefix)
{
	char text[8];

	snprintf(text, sizeof(text), "%u", prefix);
	sink_str(out, key, text);
}

static void emit_route(struct sink *out, const struct qga_route *route)
{
	sink_object_begin(out, NULL);
	sink_str(out, "iface", route->iface);
	emit_ip(out, "destination", route->destination, route->ipv6);
	sink_uint(out, "metric", route->metric);
	sink_uint(out, "flags", route->flags);
	sink_uint(out, "refcnt", route->refcnt);
	sink_uint(out, "use", route->use);
	if (route->ipv6) {
		emit_prefix(out, "desprefixlen", route->prefix);
		emit_ip(out, "source", route->source, true);
		emit_prefix(out, "srcprefixlen", route->source_prefix);
		emit_ip(out, "nexthop", route->gateway, true);
	} else {
		emit_ip(out, "gateway", route->gateway, false);
		emit_ip(out, "mask", route->mask, false);
		sink_uint(out, "mtu", route->mtu);
		sink_uint(out, "window", route->window);
		sink_uint(out, "irtt", route->irtt);
	}
	sink_uint(out, "version", route->ipv6 ? 6 : 4);
	sink_object_end(out);
}

static void emit_routes_of(struct sink *out, const struct procfs_buffer *buffer,
			   int (*parse)(struct scan line, struct qga_route *out))
{
	struct scan text = scan_text(buffer->text, buffer->len), line;
	struct qga_route route;

	while (scan_line(&text, &line))
		if (parse(line, &route) == 0)
			emit_route(out, &route);
}

static void emit_routes(struct sink *out, const char *key, const void *arg)
{
	const struct routes *routes = arg;

	sink_array_begin(out, key);
	emit_routes_of(out, &routes->ipv4, qga_route_parse);
	emit_routes_of(out, &routes->ipv6, qga_route6_parse);
	sink_array_end(out);
}

static void run_get_route(struct qga_call *call)
{
	struct routes routes = { .ipv4 = { .max = 1u << 20 }, .ipv6 = { .max = 1u << 20 } };
	struct procfs_file ipv4 = PROCFS_FILE, ipv6 = PROCFS_FILE;

	/* A guest without one of them has no such routes. */
	procfs_read(&ipv4, call->env->proc_fd, "net/route", &routes.ipv4);
	procfs_read(&ipv6, call->env->proc_fd, "net/ipv6_route", &routes.ipv6);
	procfs_close(&ipv4);
	procfs_close(&ipv6);
	qga_return(call, emit_routes, &routes);
	procfs_buffer_free(&routes.ipv4);
	procfs_buffer_free(&routes.ipv6);
}

const struct qga_command qga_command_network_get_interfaces = { .name = "guest-network-get-interfaces",
								.run = run_get_interfaces };
const struct qga_command qga_command_network_get_route = { .name = "guest-network-get-route", .run = run_get_route };
