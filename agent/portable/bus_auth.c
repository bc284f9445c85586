/* SPDX-License-Identifier: MIT */
/*
 * How a connection begins ("Authentication Protocol" of the specification): by our uid, which the socket vouches for.
 * All of it is sent at once, as the answers are known beforehand: OK, and AGREE_UNIX_FD where descriptors are to be
 * passed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/portable/wire.h"

#define AUTH_US	       (25 * UINT64_C(1000000))
#define LINE_MAX_BYTES 512

int wire_auth_begin(sd_bus *bus)
{
	char uid[16], *out = bus->auth;
	int len = snprintf(uid, sizeof(uid), "%u", (unsigned)geteuid());

	*out++ = '\0'; /* a byte that credentials may travel with */
	out = stpcpy(out, "AUTH EXTERNAL ");
	for (int i = 0; i < len; i++)
		out += snprintf(out, 3, "%02x", (unsigned char)uid[i]);
	out = stpcpy(out, bus->wants_fds ? "\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n" : "\r\nBEGIN\r\n");
	bus->auth_len = (size_t)(out - bus->auth);
	bus->auth_lines = bus->wants_fds ? 2 : 1;
	bus->auth_until_us = wire_now_us() + AUTH_US;
	bus->state = WIRE_AUTHENTICATING;
	return 0;
}

static int line_take(sd_bus *bus, const char *line)
{
	if (strncmp(line, "OK ", 3) == 0 && !bus->authenticated)
		bus->authenticated = true;
	else if (strcmp(line, "AGREE_UNIX_FD") == 0 && bus->authenticated)
		bus->has_fds = true;
	else if (strncmp(line, "ERROR", 5) != 0 || !bus->authenticated)
		return -EPERM;
	return --bus->auth_lines == 0;
}

/* 1: all has been said, messages follow; 0: not yet. */
static int lines_take(sd_bus *bus)
{
	int r = 0;

	while (r == 0) {
		char line[LINE_MAX_BYTES], *from = (char *)bus->in.data + bus->in_at;
		size_t there = bus->in.len - bus->in_at;
		const char *end = there ? memmem(from, there, "\r\n", 2) : NULL;
		size_t len = end ? (size_t)(end - from) : there;

		if (len >= sizeof(line))
			return -EPROTO;
		if (!end)
			return 0;
		memcpy(line, from, len);
		line[len] = '\0';
		bus->in_at += len + 2;
		r = line_take(bus, line);
	}
	return r;
}

int wire_auth_step(sd_bus *bus)
{
	ssize_t n = 0;
	int r;

	if (bus->auth_sent < bus->auth_len)
		n = send(bus->fd, bus->auth + bus->auth_sent, bus->auth_len - bus->auth_sent,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return -errno;
	bus->auth_sent += n > 0 ? (size_t)n : 0;
	r = wire_bus_receive(bus);
	if (r >= 0)
		r = lines_take(bus);
	if (r > 0)
		bus->state = WIRE_RUNNING;
	if (r == 0 && wire_now_us() >= bus->auth_until_us)
		return -ETIMEDOUT;
	return r < 0 ? r : r > 0 || n > 0;
}
