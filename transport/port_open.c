/* SPDX-License-Identifier: MIT */
/*
 * From a spec to open fds, and back. A port that cannot be opened is never an error of the agent: it is tried again
 * when its node changes and, as a safety net, with exponential back-off.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>

#include "port_private.h"

/* A stream session that lasted this long, or in which bytes came, was a success: the next attempt is not put off. */
#define SESSION_GOOD_NS (5 * NS_PER_S)
/* For how long a virtio port may be another user's before that is a fault. */
#define PORT_HAND_OVER_NS (30 * NS_PER_S)
/* Attempts, over some 3 s, before a port that is not there is left to the watch and the longest wait. */
#define NAME_TRIES 5

uint32_t port_random(struct port *port)
{
	return backoff_random(&port->random);
}

void port_fault(struct port *port, enum port_fault_kind kind, int error, unsigned consecutive, uint64_t retry_ns)
{
	char text[PATH_MAX + 128];

	port->stats.faults++;
	if (!port->events->fault)
		return;
	snprintf(text, sizeof(text), "%s: %s", port->where,
		 kind == PORT_FAULT_STALL     ? "the host has taken nothing for 30 s"
		 : kind == PORT_FAULT_REFUSED ? "the output queue is full of replies"
					      : strerror(-error));
	port->events->fault(
		port->data,
		&(struct port_fault){
			.kind = kind, .error = error, .text = text, .consecutive = consecutive, .retry_ns = retry_ns });
}

static void end_close(struct port *port, struct port_end *end)
{
	if (end->fd < 0)
		return;
	/* Explicitly: closing a duplicate does not take the shared description out of the epoll set, see epoll(7). */
	epoll_ctl(port->epoll_fd, EPOLL_CTL_DEL, end->fd, NULL);
	if (end->shared_flags >= 0)
		fcntl(end->fd, F_SETFL, end->shared_flags);
	close_fd(&end->fd);
}

void port_link_close(struct port *port)
{
	struct port_link *link = &port->link;

	if (link->tty && link->in.fd >= 0)
		tcsetattr(link->in.fd, TCSANOW, &link->saved);
	if (link->out.fd == link->in.fd)
		link->out.fd = -1;
	end_close(port, &link->in);
	end_close(port, &link->out);
	close_fd(&link->kept_input);
	*link = (struct port_link){ .in = { -1, false, -1 }, .out = { -1, false, -1 }, .kept_input = -1 };
	port->more_input = false;
	port->broken = 0;
}

static int end_register(struct port *port, int fd, uint32_t mask, enum port_tag tag)
{
	struct epoll_event event = { .events = mask, .data.u32 = tag };

	if (epoll_ctl(port->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
		return 0;
	if (errno != EPERM)
		return -errno;
	port->link.unpollable = true;
	return 0;
}

/*
 * Without OUT a virtio port says nothing when its host arrives. A socket is watched by level: what one read leaves is
 * seen in the next turn, without a read that only finds the end.
 */
static uint32_t input_mask(const struct port *port)
{
	uint32_t mask = EPOLLIN | EPOLLRDHUP;

	if (port->link.virtio)
		mask |= EPOLLOUT;
	return port_is_socket(port) ? mask : mask | EPOLLET;
}

static int link_register(struct port *port)
{
	struct port_link *link = &port->link;
	bool one = link->in.fd == link->out.fd;
	int r = end_register(port, link->in.fd, input_mask(port), PORT_TAG_IN);

	return r < 0 || one ? r : end_register(port, link->out.fd, EPOLLET, PORT_TAG_OUT);
}

/* Of a virtio port every edge has a meaning, so that OUT is always asked for. */
void port_watch_room(struct port *port, bool wanted)
{
	const struct port_link *link = &port->link;
	bool one = link->in.fd == link->out.fd;
	struct epoll_event event = { .events = (one ? input_mask(port) : EPOLLET) | (wanted ? EPOLLOUT : 0),
				     .data.u32 = one ? PORT_TAG_IN : PORT_TAG_OUT };

	if (link->virtio || link->unpollable || link->watches_room == wanted)
		return;
	port->link.watches_room = wanted;
	epoll_ctl(port->epoll_fd, EPOLL_CTL_MOD, link->out.fd, &event);
}

static int link_open(struct port *port)
{
	static int (*const openers[])(struct port *) = {
		[PORT_KIND_VIRTIO] = port_virtio_open, [PORT_KIND_PATH] = port_path_open,
		[PORT_KIND_UNIX] = port_unix_open,     [PORT_KIND_LISTEN] = port_listen_open,
		[PORT_KIND_STDIO] = port_stdio_open,
	};
	int r;

	port_link_close(port);
	r = openers[port->kind](port);
	if (r == 0)
		r = link_register(port);
	if (r < 0) {
		port_link_close(port);
		return r;
	}
	port->link.open = true;
	return 0;
}

/* True if the port does not exist yet, as opposed to a port that cannot be opened. */
static bool means_absent(int error)
{
	return error == -ENOENT || error == -ENOTDIR || error == -ECONNREFUSED || error == -ENODEV;
}

/*
 * A new node belongs to root until udev and a unit give it to the agent's user, which may take a while at boot: until
 * that time has passed no fault is reported. The watch sees the change of owner.
 */
static bool awaits_hand_over(struct port *port, int error)
{
	if (port->kind != PORT_KIND_VIRTIO || error != -EACCES) {
		port->denied_ns = 0;
		return false;
	}
	if (!port->denied_ns)
		port->denied_ns = port->now_ns;
	return port->now_ns - port->denied_ns < PORT_HAND_OVER_NS;
}

static void open_failed(struct port *port, int error)
{
	port->retry_ns = backoff_fail(&port->retry, port->now_ns, port_random(port));
	/* The watch reports a new node; its name may follow a little later (sysfs, then udev). */
	if (port->kind == PORT_KIND_VIRTIO && error == -ENOENT && port->watch.count > 0 &&
	    port->retry.failures > NAME_TRIES)
		port->retry_ns = port->now_ns + port->retry.max_ns;
	port->open_error = error;
	port->state = means_absent(error) ? PORT_ABSENT : PORT_BACKOFF;
	if (port->kind == PORT_KIND_STDIO) {
		port->state = PORT_CLOSED;
		port->retry_ns = TIME_NEVER;
	}
	if (awaits_hand_over(port, error)) {
		/* The fault is reported when that time is over, not up to a whole back-off later. */
		if (port->retry_ns > port->denied_ns + PORT_HAND_OVER_NS)
			port->retry_ns = port->denied_ns + PORT_HAND_OVER_NS;
		return;
	}
	port_fault(port, PORT_FAULT_OPEN, error, port->retry.failures, port->retry_ns);
}

/* Tries to open, watches, and tries again: a node that appears in between would otherwise wait for the back-off. */
void port_try(struct port *port)
{
	int r = link_open(port);

	if (r == -EAGAIN && port->kind == PORT_KIND_LISTEN) {
		/* The socket is there, and says when a host comes. */
		backoff_succeed(&port->retry);
		port->state = PORT_WAITING;
		port->retry_ns = TIME_NEVER;
		return;
	}
	if (r < 0 && port->kind != PORT_KIND_STDIO && port->kind != PORT_KIND_LISTEN) {
		port_watch_arm(port);
		r = link_open(port);
	}
	if (r < 0) {
		open_failed(port, r);
		return;
	}
	port_watch_disarm(port);
	port->held = false;
	port->denied_ns = 0;
	port->stats.opens++;
	port->state = PORT_WAITING;
	port_virtio_reset(port);
	port->more_input = true; /* read at once: input may be there already, and a virtio port shows so whether a host
				    is connected */
	if (port->link.virtio)
		backoff_succeed(&port->retry);
	else
		port_session_begin(port);
}

void port_lost(struct port *port, int fault_kind, int error)
{
	bool stalled = fault_kind == PORT_FAULT_STALL;
	bool good = port->session_heard || port->now_ns - port->session_ns >= SESSION_GOOD_NS;

	port_session_end(port);
	port_link_close(port);
	port->held = stalled;
	if (stalled) {
		port->retry_ns = backoff_fail(&port->stall_retry, port->now_ns, port_random(port));
	} else if (port->kind == PORT_KIND_LISTEN) {
		port->retry_ns = port->now_ns; /* the next host may be waiting */
	} else {
		if (good)
			backoff_succeed(&port->retry);
		port->retry_ns = backoff_fail(&port->retry, port->now_ns, port_random(port));
		port_watch_arm(port);
	}
	port->state = fault_kind == PORT_FAULT_GONE || fault_kind < 0 ? PORT_ABSENT : PORT_BACKOFF;
	if (fault_kind >= 0)
		port_fault(port, (enum port_fault_kind)fault_kind, error,
			   stalled ? port->stall_retry.failures : port->retry.failures, port->retry_ns);
}
