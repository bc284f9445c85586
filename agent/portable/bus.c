/* SPDX-License-Identifier: MIT */
/*
 * A connection to a bus or straight to a peer, as sd-bus(3) has it: asked by the loop what it waits for, and nothing
 * here waits. libdbus is no way to it: it waits in connect(2) for a daemon that is slow to accept, aborts on text that
 * is no UTF-8, and a socket that is there already cannot be given to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/portable/wire.h"

#define RECEIVE_BYTES 16384

int sd_bus_new(sd_bus **ret)
{
	sd_bus *bus = calloc(1, sizeof(*bus));

	if (!bus)
		return -ENOMEM;
	bus->refs = 1;
	bus->fd = -1;
	*ret = bus;
	return 0;
}

sd_bus *wire_bus_ref(sd_bus *bus)
{
	bus->refs++;
	return bus;
}

static void queue_drop(sd_bus *bus)
{
	while (bus->out) {
		sd_bus_message *message = bus->out;

		bus->out = message->next;
		sd_bus_message_unref(message);
	}
	bus->out_count = 0;
	bus->out_sent = 0;
}

/* What is queued and what floats holds no more than the connection itself: they go with it. */
sd_bus *wire_bus_unref(sd_bus *bus)
{
	if (!bus || --bus->refs > 0)
		return NULL;
	bus->state = WIRE_CLOSED;
	bus->refs = 1; /* for what is freed below and looks back */
	wire_slots_free(bus);
	sd_bus_detach_event(bus);
	close_fd(&bus->fd);
	wire_free(&bus->in);
	free(bus);
	return NULL;
}

static void bus_close(sd_bus *bus)
{
	bus->state = WIRE_CLOSED;
	sd_bus_detach_event(bus);
	close_fd(&bus->fd);
	queue_drop(bus);
}

sd_bus *sd_bus_close_unref(sd_bus *bus)
{
	if (!bus)
		return NULL;
	bus_close(bus);
	return wire_bus_unref(bus);
}

/* -------------------------------------------------------------------------------------------------------- beginning */

int sd_bus_set_address(sd_bus *bus, const char *address)
{
	static const char kind[] = "unix:path=";
	const char *path = address + sizeof(kind) - 1;

	if (strncmp(address, kind, sizeof(kind) - 1) != 0)
		return -EOPNOTSUPP;
	if (*path != '/' || strlen(path) >= sizeof(bus->path) || strpbrk(path, ",;%"))
		return -EINVAL;
	memcpy(bus->path, path, strlen(path) + 1);
	return 0;
}

int sd_bus_set_fd(sd_bus *bus, int input, int output)
{
	int flags = fcntl(input, F_GETFL);

	if (input != output)
		return -EOPNOTSUPP;
	if (flags < 0 || fcntl(input, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(input, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	bus->fd = input;
	return 0;
}

int sd_bus_set_bus_client(sd_bus *bus, int is_client)
{
	bus->client = is_client;
	return 0;
}

int sd_bus_negotiate_fds(sd_bus *bus, int wanted)
{
	bus->wants_fds = wanted;
	return 0;
}

/* A Unix socket that does not wait connects at once or not at all: EAGAIN where the listener's queue is full. */
static int socket_open(sd_bus *bus)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memcpy(address.sun_path, bus->path, sizeof(address.sun_path));
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	bus->fd = TAKE_FD(fd);
	return 0;
}

static int on_hello(sd_bus_message *message, void *data, sd_bus_error *error)
{
	sd_bus *bus = sd_bus_message_get_bus(message);

	(void)data;
	(void)error;
	if (sd_bus_message_is_method_error(message, NULL))
		wire_bus_lost(bus);
	return 1;
}

int sd_bus_start(sd_bus *bus)
{
	int r = bus->state != WIRE_UNSET ? -EPERM : bus->fd < 0 ? socket_open(bus) : 0;

	if (r >= 0)
		r = wire_auth_begin(bus);
	/* The first of all messages: a daemon takes no other before it. */
	if (r >= 0 && bus->client)
		r = sd_bus_call_method_async(bus, NULL, "org.freedesktop.DBus", "/org/freedesktop/DBus",
					     "org.freedesktop.DBus", "Hello", on_hello, NULL, "");
	return r;
}

int sd_bus_is_open(sd_bus *bus)
{
	return bus->state == WIRE_AUTHENTICATING || bus->state == WIRE_RUNNING;
}

/* ------------------------------------------------------------------------------------------------ what it waits for */

static bool is_live(const sd_bus *bus)
{
	return bus->state == WIRE_AUTHENTICATING || bus->state == WIRE_RUNNING || bus->state == WIRE_CLOSING;
}

int sd_bus_get_fd(sd_bus *bus)
{
	return is_live(bus) && bus->fd >= 0 ? bus->fd : -ENOTCONN;
}

int sd_bus_get_events(sd_bus *bus)
{
	if (!is_live(bus))
		return -ENOTCONN;
	if (bus->state == WIRE_AUTHENTICATING)
		return POLLIN | (bus->auth_sent < bus->auth_len ? POLLOUT : 0);
	return bus->state == WIRE_RUNNING ? POLLIN | (bus->out ? POLLOUT : 0) : 0;
}

/* A message that is there whole; 0: none. */
static int64_t message_there(const sd_bus *bus)
{
	size_t there = bus->in.len - bus->in_at;
	int64_t len = there ? wire_message_len(bus->in.data + bus->in_at, there) : 0;

	return len < 0 || (uint64_t)len <= there ? len : 0;
}

int sd_bus_get_timeout(sd_bus *bus, uint64_t *ret_usec)
{
	if (!is_live(bus))
		return -ENOTCONN;
	if (bus->state == WIRE_AUTHENTICATING)
		*ret_usec = bus->auth_until_us;
	else if (bus->state == WIRE_CLOSING || message_there(bus) != 0)
		*ret_usec = 0;
	else
		*ret_usec = wire_first_timeout(bus);
	return 1;
}

/* ---------------------------------------------------------------------------------------------------------- sending */

/* The descriptors go with a message's first byte. */
static ssize_t message_write(const sd_bus *bus, sd_bus_message *message)
{
	union {
		char bytes[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))];
		struct cmsghdr head;
	} control = { 0 };
	struct iovec iov = { .iov_base = message->head.data + bus->out_sent,
			     .iov_len = message->head.len - bus->out_sent };
	struct msghdr header = { .msg_iov = &iov, .msg_iovlen = 1 };
	size_t len = message->fd_count * sizeof(int);

	if (len > 0 && bus->out_sent == 0) {
		header.msg_control = &control;
		header.msg_controllen = CMSG_SPACE(len);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(len);
		memcpy(CMSG_DATA(&control.head), message->fds, len);
	}
	return sendmsg(bus->fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* 1 if anything was written; 0; or -errno: the connection is lost. */
static int queue_write(sd_bus *bus)
{
	int written = 0;

	while (bus->out) {
		sd_bus_message *message = bus->out;
		ssize_t n = message->fd_count && !bus->has_fds ? (errno = EOPNOTSUPP, -1) : message_write(bus, message);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? written : -errno;
		written = 1;
		bus->out_sent += (size_t)n;
		if (bus->out_sent < message->head.len)
			continue;
		bus->out = message->next;
		bus->out_sent = 0;
		bus->out_count--;
		sd_bus_message_unref(message);
	}
	return written;
}

int sd_bus_send(sd_bus *bus, sd_bus_message *message, uint64_t *ret_cookie)
{
	sd_bus_message **at;
	int r;

	bus = bus ? bus : message->bus;
	if (!sd_bus_is_open(bus))
		return -ENOTCONN;
	if (bus->out_count >= WIRE_QUEUE_MAX)
		return -ENOBUFS;
	/* A call that nobody waits for is answered by nobody. */
	if (message->type == WIRE_CALL && !ret_cookie)
		message->flags |= WIRE_NO_REPLY_EXPECTED;
	bus->serial = bus->serial == UINT32_MAX ? 1 : bus->serial + 1;
	r = wire_message_seal(message, bus->serial);
	if (r < 0)
		return r;
	for (at = &bus->out; *at; at = &(*at)->next)
		;
	*at = sd_bus_message_ref(message);
	message->next = NULL;
	bus->out_count++;
	if (ret_cookie)
		*ret_cookie = message->serial;
	if (bus->state != WIRE_RUNNING || queue_write(bus) >= 0)
		return 1;
	wire_bus_lost(bus);
	return -ECONNRESET;
}

/* -------------------------------------------------------------------------------------------------------- receiving */

/* Descriptors were not asked for: whoever sends some may not fill our table with them. */
static void descriptors_close(struct msghdr *header)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		size_t count = c->cmsg_len > CMSG_LEN(0) ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;

		for (size_t i = 0; i < count && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			close(fd);
		}
	}
}

/* What has been taken makes room; more of it is kept than a burst needs. */
static void buffer_settle(sd_bus *bus)
{
	if (bus->in_at == 0)
		return;
	bus->in.len -= bus->in_at;
	memmove(bus->in.data, bus->in.data + bus->in_at, bus->in.len);
	bus->in_at = 0;
	if (bus->in.len == 0 && bus->in.room > 4 * RECEIVE_BYTES)
		wire_free(&bus->in);
}

int wire_bus_receive(sd_bus *bus)
{
	char control[CMSG_SPACE(WIRE_FDS_MAX * sizeof(int))] __attribute__((aligned(sizeof(size_t))));
	struct iovec iov = { .iov_len = RECEIVE_BYTES };
	struct msghdr header = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	ssize_t n;
	int r;

	buffer_settle(bus);
	r = wire_reserve(&bus->in, RECEIVE_BYTES, WIRE_IN_MAX + RECEIVE_BYTES);
	if (r < 0)
		return r;
	iov.iov_base = bus->in.data + bus->in.len;
	n = recvmsg(bus->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	descriptors_close(&header);
	if (n == 0)
		return -ECONNRESET;
	bus->in.len += (size_t)n;
	return 1;
}

/* The next message, if it is there whole. 1, 0 or -errno. */
static int message_take(sd_bus *bus)
{
	int64_t len = message_there(bus);
	sd_bus_message *message = NULL;
	int r;

	if (len <= 0)
		return (int)len;
	r = wire_message_parse(bus, bus->in.data + bus->in_at, (size_t)len, &message);
	if (r < 0)
		return r;
	bus->in_at += (size_t)len;
	r = wire_dispatch(bus, message);
	sd_bus_message_unref(message);
	return r < 0 ? r : 1;
}

/*
 * ------------------------------------------------------------------------------------------------------------- turns
 */

void wire_bus_lost(sd_bus *bus)
{
	if (bus->state == WIRE_AUTHENTICATING || bus->state == WIRE_RUNNING)
		bus->state = WIRE_CLOSING;
}

/* Answers that are there are given before anybody is told that there will be none. */
static int turn_running(sd_bus *bus)
{
	int written = queue_write(bus), r = written < 0 ? written : message_take(bus);

	if (r == 0)
		r = wire_bus_receive(bus);
	if (r == 0)
		r = wire_fail_one(bus, false, wire_now_us());
	return r != 0 ? r : written;
}

/* One who waits after the other, then those who listen for the end itself. */
static int turn_closing(sd_bus *bus)
{
	sd_bus_message *message;
	int r = wire_fail_one(bus, true, 0);

	if (r != 0)
		return r;
	message = wire_message_local(bus, WIRE_SIGNAL, 0, "Disconnected", NULL);
	if (!message)
		return -ENOMEM;
	wire_dispatch(bus, message);
	sd_bus_message_unref(message);
	bus_close(bus);
	return 1;
}

int sd_bus_process(sd_bus *bus, sd_bus_message **ret)
{
	int r = -ENOTCONN;

	if (ret)
		*ret = NULL;
	wire_bus_ref(bus);
	if (bus->state == WIRE_AUTHENTICATING)
		r = wire_auth_step(bus);
	else if (bus->state == WIRE_RUNNING)
		r = turn_running(bus);
	if (r < 0 && sd_bus_is_open(bus)) {
		wire_bus_lost(bus);
		r = 1;
	} else if (r < 0 && bus->state == WIRE_CLOSING) {
		r = turn_closing(bus);
	} else if (r < 0 && bus->state == WIRE_CLOSED) {
		r = -ECONNRESET;
	}
	wire_bus_unref(bus);
	return r;
}
