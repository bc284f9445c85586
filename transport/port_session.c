/* SPDX-License-Identifier: MIT */
/*
 * A session of the port and its output. Every session starts with a single "\n" (unless the port is bare), so that a
 * half line that an earlier session left in the host's buffer ends there. Everything is written in chunks of up to
 * 32 KiB, many lines together: a virtio port uses one of 128 descriptors for every write of any size.
 */
#include <errno.h>
#include <sys/socket.h>

#include "port_private.h"

void port_session_begin(struct port *port)
{
	port->state = PORT_CONNECTED;
	port->stats.sessions++;
	port->newline_due = !port->bare;
	port->unsaid = true;
	port->blocked = port->soft = port->refused = port->session_heard = false;
	port->broken = 0;
	port->unanswered = 0;
	port->waiting_ns = port->linger_ns = port->renew_ns = TIME_NEVER;
	port->session_ns = port->now_ns;
	backoff_succeed(&port->soft_retry);
	if (port->events->connected)
		port->events->connected(port->data);
	/* The handshake is written before answers to input already received, which would overtake it. */
	if (port->queue.bytes > 0)
		port_flush(port);
}

void port_session_end(struct port *port)
{
	if (port->state != PORT_CONNECTED)
		return;
	/* First the state: a port_send from one of the events below finds no session. */
	port->state = PORT_WAITING;
	port->more_input = false;
	port->linger_ns = port->renew_ns = TIME_NEVER;
	outq_drop_all(&port->queue);
	if (port->events->disconnected)
		port->events->disconnected(port->data);
}

void port_session_renew(struct port *port, uint64_t gone_ns)
{
	port->newline_due = !port->bare || port->newline_due || port->queue.begun;
	port->unsaid = true;
	outq_drop_begun(&port->queue);
	outq_drop_before(&port->queue, gone_ns);
	port->blocked = false;
	port->unanswered = 0;
	port->linger_ns = port->renew_ns = TIME_NEVER;
	port->renewed_ns = port->now_ns;
	port->stats.renewals++;
	if (port->events->renewed)
		port->events->renewed(port->data, gone_ns);
}

static bool samples_allowed(const struct port *port)
{
	return !port->link.virtio || port->unanswered < PORT_SAMPLE_WINDOW;
}

bool port_waits(const struct port *port)
{
	return port->state == PORT_CONNECTED && port->queue.bytes > 0 &&
	       (port->blocked || port->soft || !outq_ready(&port->queue, samples_allowed(port)));
}

static ssize_t end_write(const struct port_end *end, const char *bytes, size_t len)
{
	ssize_t n;

	do
		n = end->socket ? send(end->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) : write(end->fd, bytes, len);
	while (n < 0 && errno == EINTR);
	return n;
}

/* The kernel took no bytes: the reason decides when the next attempt is made. */
static void write_refused(struct port *port, int error)
{
	if (error == EAGAIN) {
		port->blocked = true;
		port_watch_room(port, true);
	} else if (error == 0 || error == ENOMEM || error == ENOBUFS) {
		/*
		 * __send_to_port gives 0 when the ring refuses a buffer, and 32 KiB of GFP_KERNEL may fail: no edge
		 * follows.
		 */
		port->soft = true;
		port->soft_ns = TIME_NEVER;
	} else {
		port->broken = -error;
	}
}

static void write_taken(struct port *port, bool samples, size_t newline, size_t len)
{
	port->stats.writes++;
	port->stats.bytes_out += len;
	port->credits++;
	port->answered = port->unsaid = false;
	port->traffic = true;
	port->unanswered += len;
	port->waiting_ns = TIME_NEVER;
	backoff_succeed(&port->soft_retry);
	if (newline)
		port->newline_due = false;
	outq_consume(&port->queue, samples, len - newline);
	if (port->queue.bytes == 0)
		port->refused = false;
}

void port_flush(struct port *port)
{
	/* Lines sent from the events of this flush join it. */
	if (port->flushing)
		return;
	port->flushing = true;
	while (port->state == PORT_CONNECTED && !port->blocked && !port->soft && !port->broken) {
		/* Never inside a line: renewing drops what had begun. */
		size_t newline = port->newline_due;
		bool samples = samples_allowed(port);
		size_t room = sizeof(port->output) - newline;
		size_t len = newline + outq_gather(&port->queue, samples, port->output + newline, room);
		ssize_t n;

		if (len == 0)
			break;
		if (newline)
			port->output[0] = '\n';
		n = end_write(&port->link.out, port->output, len);
		if (n > 0)
			write_taken(port, samples, newline, (size_t)n);
		else
			write_refused(port, n < 0 ? errno : 0);
	}
	port->flushing = false;
}

int port_send(struct port *port, struct line *line)
{
	enum line_class class = line->class;
	int r;

	if (port->state != PORT_CONNECTED)
		return -ENOTCONN;
	port->queue.stamp = port->now_ns;
	r = outq_push(&port->queue, line);
	if (r == -ENOBUFS) {
		port->stats.lines_refused[class]++;
		if (class <= LINE_BULK && !port->refused) {
			port->refused = true;
			port_fault(port, PORT_FAULT_REFUSED, r, 1, TIME_NEVER);
		}
		return r;
	}
	if (r < 0)
		return r;
	/*
	 * Within a turn writing waits until a whole chunk is queued, but no longer: else many answers at once would
	 * fill the queue.
	 */
	if (!port->dispatching || port->queue.bytes >= PORT_CHUNK)
		port_flush(port);
	return 0;
}
