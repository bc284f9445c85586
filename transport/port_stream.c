/* SPDX-License-Identifier: MIT */
/*
 * All kinds of ports but those found by a virtio name: a path (pty, serial line, or a virtio port given by its node), a
 * unix socket (connected to, or listened at), stdio. On these a session lasts from open to the end of the stream.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "port_private.h"

/* No echo, no line editing, and no hang-up for want of a carrier that virtual serial lines do not have. */
static int make_raw(struct port *port, int fd)
{
	struct termios raw;

	if (tcgetattr(fd, &port->link.saved) < 0)
		return -errno;
	raw = port->link.saved;
	cfmakeraw(&raw);
	raw.c_cflag |= CLOCAL | CREAD;
	if (tcsetattr(fd, TCSANOW, &raw) < 0)
		return -errno;
	port->link.tty = true;
	return 0;
}

int port_path_open(struct port *port)
{
	_cleanup_(closep) int fd = -1;
	struct stat st;
	int r;

	snprintf(port->where, sizeof(port->where), "%.*s", (int)sizeof(port->where) - 1, port->target);
	/*
	 * Looked at first: opening a FIFO or a tape has effects. The node may still change before it is opened:
	 * looked at again.
	 */
	if (stat(port->target, &st) < 0)
		return -errno;
	if (!S_ISCHR(st.st_mode))
		return -ENOTTY;
	fd = open(port->target, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISCHR(st.st_mode))
		return -ENOTTY;
	port->link.virtio = port_is_vport(port, st.st_rdev);
	if (!port->link.virtio && isatty(fd) && (r = make_raw(port, fd)) < 0)
		return r;
	port->link.in.fd = port->link.out.fd = TAKE_FD(fd);
	return 0;
}

int port_unix_check(const char *path)
{
	size_t len = strlen(path);

	return len > 0 && len < sizeof(((struct sockaddr_un *)0)->sun_path) && path[len - 1] != '/' ? 0 : -EINVAL;
}

int port_unix_open(struct port *port)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	memcpy(address.sun_path, port->target, strlen(port->target) + 1);
	/* A unix socket connects at once or not at all; EAGAIN is a full backlog. */
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	port->link.in.socket = port->link.out.socket = true;
	port->link.in.fd = port->link.out.fd = TAKE_FD(fd);
	return 0;
}

static int listen_at(struct port *port)
{
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u32 = PORT_TAG_LISTENER };
	struct err e;
	int r;

	if (fd < 0)
		return -errno;
	r = socket_path_bind(fd, port->target, 0177, &port->listener_id, &e);
	if (r < 0)
		return r;
	if (listen(fd, SOMAXCONN) < 0 || epoll_ctl(port->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		r = -errno;
		socket_path_remove(port->target, &port->listener_id);
		return r;
	}
	port->listener = TAKE_FD(fd);
	return 0;
}

int port_listen_open(struct port *port)
{
	int r = port->listener < 0 ? listen_at(port) : 0, fd;

	if (r < 0)
		return r;
	fd = accept4(port->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return errno == ECONNABORTED ? -EAGAIN : -errno;
	port->link.in.socket = port->link.out.socket = true;
	port->link.in.fd = port->link.out.fd = fd;
	return 0;
}

void port_listen_close(struct port *port)
{
	if (port->listener < 0)
		return;
	socket_path_remove(port->target, &port->listener_id);
	close_fd(&port->listener);
}

/*
 * O_NONBLOCK belongs to the open file description, which a terminal's shell or the other end of a pipeline shares.
 * So: a socket is used with MSG_DONTWAIT; a regular file never waits; a pipe or terminal is opened again through
 * /proc, which gives a description of our own. Only where that is refused is the flag set, and taken back at close.
 */
static int stdio_end(int std_fd, int mode, struct port_end *ret)
{
	_cleanup_(closep) int fd = -1;
	struct port_end end = { .shared_flags = -1 };
	char path[32];
	struct stat st;

	if (fstat(std_fd, &st) < 0)
		return -errno;
	end.socket = S_ISSOCK(st.st_mode);
	if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", std_fd);
		fd = open(path, mode | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	}
	if (fd < 0) {
		fd = fcntl(std_fd, F_DUPFD_CLOEXEC, 3);
		if (fd < 0)
			return -errno;
		if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
			int flags = fcntl(fd, F_GETFL);

			if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
				return -errno;
			end.shared_flags = flags;
		}
	}
	end.fd = TAKE_FD(fd);
	*ret = end;
	return 0;
}

int port_stdio_open(struct port *port)
{
	int r = stdio_end(STDIN_FILENO, O_RDONLY, &port->link.in);

	return r < 0 ? r : stdio_end(STDOUT_FILENO, O_WRONLY, &port->link.out);
}
