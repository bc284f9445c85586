/* SPDX-License-Identifier: MIT */
/*
 * One buffer holds what was read: the front is handed out line by line and the rest moved down only when room is
 * needed. Every wait is one ppoll(2) with the signals let through, so that an interrupt between the test and the wait
 * cannot be lost.
 */
#include "link.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

static volatile sig_atomic_t interrupted;
static sigset_t mask_before;

static void on_signal(int signal_number)
{
	(void)signal_number;
	interrupted = 1;
}

void link_catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t caught;

	sigemptyset(&caught);
	sigaddset(&caught, SIGINT);
	sigaddset(&caught, SIGTERM);
	sigaddset(&caught, SIGHUP);
	sigprocmask(SIG_BLOCK, &caught, &mask_before);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

bool link_interrupted(void)
{
	return interrupted;
}

void link_go_on(void)
{
	interrupted = 0;
}

void link_restore_signals(void)
{
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &mask_before, NULL);
}

/* -EINTR only for a caught signal; otherwise the number of ready descriptors or -ETIMEDOUT. */
static int wait_for(struct pollfd *fds, nfds_t count, uint64_t deadline_ns)
{
	for (;;) {
		uint64_t now_ns = clock_ns(CLOCK_MONOTONIC), left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
		struct timespec left = { .tv_sec = (time_t)(left_ns / NS_PER_S),
					 .tv_nsec = (long)(left_ns % NS_PER_S) };
		int ready;

		if (interrupted)
			return -EINTR;
		ready = ppoll(fds, count, deadline_ns == TIME_NEVER ? NULL : &left, &mask_before);
		if (ready > 0)
			return ready;
		if (ready == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

static int socket_address(const char *path, struct sockaddr_un *out, struct err *e)
{
	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(out->sun_path))
		return err_set(e, -ENAMETOOLONG, "%s: longer than the %zu bytes a socket's path may have", path,
			       sizeof(out->sun_path) - 1);
	memcpy(out->sun_path, path, strlen(path));
	return 0;
}

static int link_open(struct link *link, const char *path, struct sockaddr_un *ret_address, struct err *e)
{
	int r = socket_address(path, ret_address, e);

	*link = (struct link){ .listen_fd = -1, .fd = -1 };
	if (r < 0)
		return r;
	link->bytes = malloc(LINK_LINE_MAX);
	return link->bytes ? 0 : err_set(e, -ENOMEM, "out of memory");
}

int link_connect(struct link *link, const char *path, struct err *e)
{
	struct sockaddr_un address;
	int r = link_open(link, path, &address, e);

	if (r < 0)
		return r;
	/* Blocking until connected: a socket of this family connects at once or fails. */
	link->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (link->fd < 0 || connect(link->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		r = err_set(e, -errno, "%s: %s", path, strerror(errno));
		link_close(link);
	}
	return r;
}

int link_listen(struct link *link, const char *path, struct err *e)
{
	struct sockaddr_un address;
	int r = link_open(link, path, &address, e);

	if (r < 0)
		return r;
	link->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	r = link->listen_fd < 0 ? err_set(e, -errno, "%s: %s", path, strerror(errno))
				: socket_path_bind(link->listen_fd, path, 0, &link->id, e);
	if (r < 0) {
		link_close(link);
		return r;
	}
	memcpy(link->path, path, strlen(path) + 1);
	if (listen(link->listen_fd, 1) < 0) {
		r = err_set(e, -errno, "%s: %s", path, strerror(errno));
		link_close(link);
	}
	return r;
}

int link_accept(struct link *link, uint64_t deadline_ns)
{
	while (link->fd < 0) {
		struct pollfd wanted = { .fd = link->listen_fd, .events = POLLIN };
		int r;

		if (link->listen_fd < 0)
			return -ENOTCONN;
		r = wait_for(&wanted, 1, deadline_ns);
		if (r < 0)
			return r;
		link->fd = accept4(link->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		link->start = link->len = 0;
		link->skipping = false;
	}
	return 0;
}

/* Makes room behind the bytes held; a line that fills the whole buffer is given up and skipped from here on. */
static void make_room(struct link *link)
{
	if (link->start > 0 && (link->len == 0 || link->start + link->len == LINK_LINE_MAX)) {
		memmove(link->bytes, link->bytes + link->start, link->len);
		link->start = 0;
	}
	if (link->len == LINK_LINE_MAX && !memchr(link->bytes, '\n', link->len)) {
		link->skipped += !link->skipping;
		link->skipping = true;
		link->len = 0;
	}
}

/* Reads what is there, without waiting: > 0 bytes, 0 for nothing (or no room), -ENOTCONN. */
static int read_some(struct link *link)
{
	ssize_t n;

	make_room(link);
	if (link->start + link->len == LINK_LINE_MAX)
		return 0;
	n = recv(link->fd, link->bytes + link->start + link->len, LINK_LINE_MAX - link->start - link->len,
		 MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		close_fd(&link->fd); /* whole lines that came before are still handed out */
		return -ENOTCONN;
	}
	link->len += (size_t)n;
	return (int)n;
}

/* Takes the next whole line from the buffer; false when there is none yet. */
static bool take_line(struct link *link, char **ret_line, size_t *ret_len)
{
	char *line, *end;
	bool skipped;

	while (link->len > 0 && (end = memchr(link->bytes + link->start, '\n', link->len))) {
		line = link->bytes + link->start;
		skipped = link->skipping;
		link->skipping = false;
		link->len -= (size_t)(end - line) + 1;
		link->start += (size_t)(end - line) + 1;
		if (end > line && end[-1] == '\r')
			end--;
		*end = '\0';
		if (skipped || end == line)
			continue;
		*ret_line = line;
		*ret_len = (size_t)(end - line);
		return true;
	}
	return false;
}

int link_next(struct link *link, int other_fd, uint64_t deadline_ns, char **ret_line, size_t *ret_len)
{
	while (!take_line(link, ret_line, ret_len)) {
		struct pollfd fds[] = { { .fd = link->fd, .events = POLLIN }, { .fd = other_fd, .events = POLLIN } };
		int r;

		if (link->fd < 0)
			return -ENOTCONN;
		r = wait_for(fds, 2, deadline_ns);
		if (r < 0)
			return r;
		if (fds[0].revents)
			read_some(link);
		if (fds[1].revents)
			return LINK_OTHER;
	}
	return LINK_LINE;
}

int link_send(struct link *link, const char *text, size_t len, uint64_t deadline_ns)
{
	while (len > 0) {
		bool room = link->len < LINK_LINE_MAX;
		struct pollfd wanted = { .fd = link->fd, .events = (short)(POLLOUT | (room ? POLLIN : 0)) };
		ssize_t n;
		int r;

		if (link->fd < 0)
			return -ENOTCONN;
		r = wait_for(&wanted, 1, deadline_ns);
		if (r < 0)
			return r;
		if ((wanted.revents & (POLLIN | POLLHUP)) && read_some(link) == -ENOTCONN)
			return -ENOTCONN;
		if (!(wanted.revents & POLLOUT))
			continue;
		n = send(link->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			close_fd(&link->fd);
			return -ENOTCONN;
		}
		text += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

void link_drop(struct link *link)
{
	if (link->fd >= 0)
		close_fd(&link->fd);
	link->start = link->len = 0;
	link->skipping = false;
}

void link_close(struct link *link)
{
	link_drop(link);
	if (link->listen_fd >= 0)
		close_fd(&link->listen_fd);
	if (link->path[0])
		socket_path_remove(link->path, &link->id);
	link->path[0] = '\0';
	free(link->bytes);
	link->bytes = NULL;
}
