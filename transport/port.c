/* SPDX-License-Identifier: MIT */
/*
 * See port.h. This file is the port's life: its spec, one turn of work, deadlines. Input is always read to its
 * end before a hang-up is believed, because bytes sent before it are still delivered.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "port_private.h"

/* Stalls further apart than this do not count as "in a row". */
#define STALL_MEMORY_NS (300 * NS_PER_S)

/* ------------------------------------------------------------------------------------------------- making one */

static int spec_error(struct err *err, const char *spec)
{
	return err_set(err, -EINVAL,
		       "port spec \"%.200s\" is none of virtio:NAME, /path (virtio port, pty or serial line), "
		       "unix:PATH, listen:PATH, stdio, none",
		       spec ? spec : "");
}

/* A virtio name is what sysfs shows on one line, and becomes a file name under /dev/virtio-ports. */
static bool virtio_name_ok(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++)
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f || name[i] == '/')
			return false;
	return len > 0 && len <= NAME_MAX && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int parse_spec(struct port *port)
{
	const char *spec = port->spec;

	if (strcmp(spec, "none") == 0) {
		port->kind = PORT_KIND_NONE;
	} else if (strcmp(spec, "stdio") == 0) {
		port->kind = PORT_KIND_STDIO;
	} else if (strncmp(spec, "virtio:", 7) == 0) {
		port->kind = PORT_KIND_VIRTIO;
		port->target = spec + 7;
		return virtio_name_ok(port->target) ? 0 : -EINVAL;
	} else if (strncmp(spec, "unix:", 5) == 0) {
		port->kind = PORT_KIND_UNIX;
		port->target = spec + 5;
		return port_unix_check(port->target);
	} else if (strncmp(spec, "listen:", 7) == 0) {
		port->kind = PORT_KIND_LISTEN;
		port->target = spec + 7;
		return port_unix_check(port->target);
	} else if ((spec[0] == '/' || strncmp(spec, "./", 2) == 0 || strncmp(spec, "../", 3) == 0) &&
		   strlen(spec) < PATH_MAX && spec[strlen(spec) - 1] != '/') {
		port->kind = PORT_KIND_PATH;
		port->target = spec;
	} else {
		return -EINVAL;
	}
	return 0;
}

static void report_sent(void *data, const struct line *line)
{
	struct port *port = data;

	port->stats.lines_sent[line->class]++;
	if (port->events->sent)
		port->events->sent(port->data, line);
}

static void report_dropped(void *data, const struct line *line)
{
	struct port *port = data;

	port->stats.lines_dropped[line->class]++;
	if (port->events->dropped)
		port->events->dropped(port->data, line);
}

static void forget_kept(struct port *port)
{
	close_fd(&port->kept.fd);
	close_fd(&port->kept.input_fd);
}

static void port_freep(struct port **port)
{
	port_free(*port);
}

static void port_init(struct port *port, const struct port_config *config, uint32_t seed)
{
	port->epoll_fd = port->watch.fd = port->link.in.fd = port->link.out.fd = port->link.kept_input = -1;
	port->listener = -1;
	port->bare = config->bare;
	port->kept = config->kept ? *config->kept : (struct port_kept){ -1, -1 };
	port->state = PORT_ABSENT;
	port->random = seed;
	port->linger_ns = port->renew_ns = TIME_NEVER;
	outq_init(&port->queue, config->queue_bytes ? config->queue_bytes : PORT_QUEUE_BYTES_DEFAULT, report_sent,
		  report_dropped, port);
	backoff_init(&port->retry, BACKOFF_MIN_NS, BACKOFF_MAX_NS);
	backoff_init(&port->soft_retry, BACKOFF_MIN_NS, BACKOFF_MAX_NS);
	backoff_init(&port->stall_retry, PORT_STALL_WAIT_NS, BACKOFF_MAX_NS);
}

int port_new(const struct port_config *config, const struct port_events *events, void *data, uint32_t seed,
	     struct port **ret, struct err *err)
{
	_cleanup_(port_freep) struct port *port = NULL;

	if (!config->spec || !config->spec[0])
		return spec_error(err, config->spec);
	port = calloc(1, sizeof(*port));
	if (!port)
		return err_set(err, -ENOMEM, "out of memory");
	port_init(port, config, seed);
	port->events = events;
	port->data = data;
	port->spec = strdup(config->spec);
	port->sys_dir = strdup(config->sys_dir ? config->sys_dir : "/sys");
	port->dev_dir = strdup(config->dev_dir ? config->dev_dir : "/dev");
	if (!port->spec || !port->sys_dir || !port->dev_dir)
		return err_set(err, -ENOMEM, "out of memory");
	if (parse_spec(port) < 0)
		return spec_error(err, config->spec);
	if (port->kind == PORT_KIND_NONE)
		port->state = PORT_CLOSED;
	if (port->kind != PORT_KIND_VIRTIO)
		forget_kept(port);
	snprintf(port->where, sizeof(port->where), "%.*s", (int)sizeof(port->where) - 1, port->spec);
	port->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (port->epoll_fd < 0)
		return err_set(err, -errno, "epoll_create1: %s", strerror(errno));
	*ret = TAKE_PTR(port);
	return 0;
}

struct port *port_free(struct port *port)
{
	if (!port)
		return NULL;
	outq_done(&port->queue);
	port_link_close(port);
	port_listen_close(port);
	port_watch_close(port);
	forget_kept(port);
	close_fd(&port->epoll_fd);
	free(port->spec);
	free(port->sys_dir);
	free(port->dev_dir);
	free(port);
	return NULL;
}

void port_close(struct port *port)
{
	port_session_end(port);
	port_link_close(port);
	port_listen_close(port);
	port_watch_disarm(port);
	port->state = PORT_CLOSED;
}

/* ------------------------------------------------------------------------------------------------------- input */

static void room_came(struct port *port)
{
	port->blocked = false;
	port_watch_room(port, false);
}

/* Collects what epoll has: true when there is input to look at. A node event brings the next attempt forward. */
static bool take_polled(struct port *port)
{
	struct epoll_event events[4];
	int n = epoll_wait(port->epoll_fd, events, ARRAY_SIZE(events), 0);
	bool input = false;

	for (int i = 0; i < n; i++) {
		uint32_t mask = events[i].events;

		if (events[i].data.u32 == PORT_TAG_LISTENER) {
			port->retry_ns = port->now_ns; /* looked at only while no host is connected */
			continue;
		}
		if (events[i].data.u32 == PORT_TAG_WATCH) {
			if (port_watch_drain(port) && !port->held) {
				backoff_succeed(&port->retry);
				port->retry_ns = port->now_ns;
			}
			continue;
		}
		if (port->link.virtio)
			port_virtio_edge(port, mask);
		else if (mask & (EPOLLOUT | EPOLLERR | EPOLLHUP))
			room_came(port); /* a hang-up too: the next write tells why */
		input |= events[i].data.u32 == PORT_TAG_IN && (port->link.virtio || mask != EPOLLOUT);
	}
	return input;
}

static ssize_t end_read(const struct port_end *end, char *bytes, size_t size)
{
	ssize_t n;

	do
		n = end->socket ? recv(end->fd, bytes, size, MSG_DONTWAIT) : read(end->fd, bytes, size);
	while (n < 0 && errno == EINTR);
	return n;
}

static void deliver(struct port *port, size_t len)
{
	port->stats.reads++;
	port->stats.bytes_in += len;
	port->credits++;
	port->traffic = true;
	port->input_ns = port->now_ns;
	if (port->state != PORT_CONNECTED)
		port_session_begin(port);
	port->session_heard = true;
	if (port->events->received)
		port->events->received(port->data, port->input, len);
}

/* The other side of a stream is gone: the end of stdin is for good, others are looked for again. */
static void stream_ended(struct port *port)
{
	if (port->kind != PORT_KIND_STDIO) {
		port_lost(port, -1, 0);
		return;
	}
	port_flush(port);
	port_close(port);
}

static void link_failed(struct port *port, enum port_fault_kind kind, int error)
{
	bool gone = error == ENODEV || error == ENXIO || error == ENOENT;
	bool hung_up = error == EIO || error == ECONNRESET || error == EPIPE || error == ENOTCONN;

	if (!port->link.virtio && hung_up)
		stream_ended(port);
	else
		port_lost(port, (int)(gone ? PORT_FAULT_GONE : kind), -error);
}

/* Bytes that the former agent process had read come first. */
static ssize_t next_input(struct port *port)
{
	ssize_t n = -1;

	if (port->link.kept_input >= 0)
		n = read(port->link.kept_input, port->input, sizeof(port->input));
	if (n > 0)
		return n;
	close_fd(&port->link.kept_input);
	return end_read(&port->link.in, port->input, sizeof(port->input));
}

/* Reads until there is no more input, or as much as one turn may read. */
static void read_input(struct port *port)
{
	bool first = true;
	ssize_t n = 0;

	for (size_t taken = 0; taken < PORT_INPUT_TURN; taken += (size_t)n) {
		n = next_input(port);
		if (n <= 0)
			break;
		deliver(port, (size_t)n);
		if (port_is_socket(port) && !port->broken && (size_t)n < sizeof(port->input)) {
			port->more_input = false;
			return;
		}
		first = false;
	}
	port->more_input = n > 0;
	if (n > 0)
		return;
	if (n < 0 && errno != EAGAIN)
		link_failed(port, PORT_FAULT_READ, errno);
	else if (port->link.virtio)
		port_virtio_settle(port, n == 0);
	else if (n == 0)
		stream_ended(port);
	else if (first && port_is_socket(port))
		take_polled(port); /* what has woken us is then another one of the fds */
}

/* --------------------------------------------------------------------------------------------------------- a turn */

/* Sets times that were left open (TIME_NEVER) because no clock was at hand. */
static void stamp(struct port *port)
{
	if (port->traffic)
		port->traffic_ns = port->now_ns;
	port->traffic = false;
	if (port->soft && port->soft_ns == TIME_NEVER)
		port->soft_ns = backoff_fail(&port->soft_retry, port->now_ns, port_random(port));
	if (!port_waits(port))
		port->waiting_ns = TIME_NEVER;
	else if (port->waiting_ns == TIME_NEVER)
		port->waiting_ns = port->now_ns;
}

static bool may_stall(const struct port *port)
{
	return port->kind != PORT_KIND_STDIO && port_waits(port);
}

static void check_stall(struct port *port)
{
	if (!may_stall(port) || port->waiting_ns == TIME_NEVER || port->now_ns - port->waiting_ns < PORT_STALL_NS)
		return;
	if (port->now_ns - port->last_stall_ns > STALL_MEMORY_NS)
		backoff_succeed(&port->stall_retry);
	port->last_stall_ns = port->now_ns;
	port->stats.stalls++;
	port_lost(port, PORT_FAULT_STALL, -ETIMEDOUT);
}

static void write_output(struct port *port)
{
	if (port->soft && port->soft_ns <= port->now_ns)
		port->soft = false;
	if (port->link.unpollable)
		port->blocked = false;
	port_flush(port);
	if (!port->broken)
		return;
	/* Input received before the break is still delivered; reading it usually finds the end by itself. */
	read_input(port);
	if (port->link.open && port->broken && !port->more_input)
		link_failed(port, PORT_FAULT_WRITE, -port->broken);
}

void port_dispatch(struct port *port, const struct moment *now)
{
	bool input;

	port->now_ns = now->mono_ns;
	port->dispatching = true;
	stamp(port);
	/* Of a socket the next read and write tell nearly all there is; what is left is asked for when they find
	 * nothing. */
	if (port->link.open && port_is_socket(port)) {
		if (port->blocked)
			room_came(port);
		input = true;
	} else {
		input = take_polled(port) || port->more_input;
	}
	if (!port->link.open && port->state != PORT_CLOSED && port->retry_ns <= port->now_ns) {
		port_try(port);
		input = true;
	}
	if (port->link.open && (input || port->link.unpollable))
		read_input(port);
	if (port->link.open && port->link.virtio)
		port_virtio_tick(port);
	if (port->link.open)
		write_output(port);
	stamp(port);
	if (port->link.open)
		check_stall(port);
	port->dispatching = false;
}

uint64_t port_deadline_ns(const struct port *port)
{
	uint64_t due;

	if (port->state == PORT_CLOSED)
		return TIME_NEVER;
	if (!port->link.open)
		return port->retry_ns;
	if (port->more_input || port->broken)
		return port->now_ns;
	due = port_virtio_deadline(port);
	if (port->soft) {
		uint64_t soft = port->soft_ns == TIME_NEVER ? port->now_ns : port->soft_ns;

		due = soft < due ? soft : due;
	}
	if (may_stall(port)) {
		uint64_t stall = port->waiting_ns == TIME_NEVER ? port->now_ns : port->waiting_ns + PORT_STALL_NS;

		due = stall < due ? stall : due;
	}
	return due;
}
