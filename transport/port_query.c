/* SPDX-License-Identifier: MIT */
/* Getters and names of a port. */
#include "port_private.h"

int port_fd(const struct port *port)
{
	return port->epoll_fd;
}

bool port_needs_poll(const struct port *port)
{
	return port->link.open && port->link.unpollable;
}

int port_keep(const struct port *port)
{
	return port->link.open && port->link.virtio && port->queue.bytes == 0 ? port->link.in.fd : -1;
}

size_t port_queued_bytes(const struct port *port)
{
	return port->queue.bytes;
}

enum port_state port_state(const struct port *port)
{
	return port->state;
}

const struct port_stats *port_stats(const struct port *port)
{
	return &port->stats;
}

const char *port_where(const struct port *port)
{
	return port->where;
}

const char *port_state_name(enum port_state state)
{
	static const char *const names[] = {
		[PORT_ABSENT] = "absent",	[PORT_BACKOFF] = "backoff", [PORT_WAITING] = "waiting",
		[PORT_CONNECTED] = "connected", [PORT_CLOSED] = "closed",
	};

	return (unsigned)state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

const char *port_fault_name(enum port_fault_kind kind)
{
	static const char *const names[] = {
		[PORT_FAULT_OPEN] = "open",   [PORT_FAULT_GONE] = "gone",   [PORT_FAULT_READ] = "read",
		[PORT_FAULT_WRITE] = "write", [PORT_FAULT_STALL] = "stall", [PORT_FAULT_REFUSED] = "refused",
	};

	return (unsigned)kind < ARRAY_SIZE(names) ? names[kind] : "unknown";
}
