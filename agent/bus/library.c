/* SPDX-License-Identifier: MIT */
#include "agent/bus/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/base/helper.h"
#include "agent/bus/libsystemd.h"

#define ANSWER_MAX 300

/* ---------------------------------------------------------------------------------------------------- in the child */

static void read_through(const char *path)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	char bytes[8192];

	while (fd >= 0 && read(fd, bytes, sizeof(bytes)) > 0)
		;
}

/* Answers with "" or an error message. */
static int read_child(int fd, void *data)
{
	const struct library *library = data;
	struct link_map *map = NULL;
	char answer[ANSWER_MAX] = "";
	void *handle;

	handle = dlopen(library->file, RTLD_NOW | RTLD_LOCAL);
	if (!handle)
		snprintf(answer, sizeof(answer), "%s", dlerror());
	else if (dlinfo(handle, RTLD_DI_LINKMAP, &map) < 0)
		map = NULL;
	/* The list continues with the libraries that it depends on. */
	for (; map; map = map->l_next)
		read_through(map->l_name);
	return send(fd, answer, strlen(answer) + 1, MSG_NOSIGNAL) < 0;
}

/* ----------------------------------------------------------------------------------------------------- in the loop */

static void stop_reading(struct library *library)
{
	if (library->fd < 0)
		return;
	ev_io_stop(library->loop, &library->io);
	ev_timer_stop(library->loop, &library->timer);
	ev_child_stop(library->loop, &library->child);
	close_fd(&library->fd);
	/* A child that hangs in the kernel dies when its system call returns. */
	if (library->pid > 0)
		kill(library->pid, SIGKILL);
	library->pid = 0;
}

static void end_reading(struct library *library, const char *trouble)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

	stop_reading(library);
	if (trouble)
		libsystemd_fail(now_ns, trouble, NULL);
	else
		libsystemd_open(library->file, now_ns, NULL);
	library->over(library->data);
}

static void on_answer(struct ev_loop *loop, ev_io *io, int events)
{
	struct library *library = io->data;
	char answer[ANSWER_MAX];
	ssize_t len = recv(library->fd, answer, sizeof(answer), MSG_DONTWAIT);

	(void)loop;
	(void)events;
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* A library that crashes the child would crash the agent too: it is not loaded. */
	if (len <= 0 || answer[len - 1])
		end_reading(library, "the child that was to read it ahead has died");
	else
		end_reading(library, *answer ? answer : NULL);
}

/* The child's answer is still in the socket; only its pid must not be killed any more. */
static void on_child(struct ev_loop *loop, ev_child *child, int events)
{
	struct library *library = child->data;

	(void)events;
	ev_child_stop(loop, child);
	library->pid = 0;
}

static void on_time(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	end_reading(timer->data, "the disk does not give it in time");
}

static int begin_reading(struct library *library, uint64_t now_ns, struct err *err)
{
	char words[100];
	int r = helper_fork("library", read_child, library, SOCK_SEQPACKET, &library->fd, &library->pid);

	if (r < 0) {
		snprintf(words, sizeof(words), "no child can be had to read it ahead: %s", strerror(-r));
		return libsystemd_fail(now_ns, words, err);
	}
	ev_io_set(&library->io, library->fd, EV_READ);
	ev_io_start(library->loop, &library->io);
	ev_child_set(&library->child, library->pid, 0);
	ev_child_start(library->loop, &library->child);
	ev_timer_set(&library->timer, library->read_s, 0);
	ev_timer_start(library->loop, &library->timer);
	return -EINPROGRESS;
}

void library_init(struct library *library, struct ev_loop *loop, const char *file, double read_s,
		  void (*over)(void *data), void *data)
{
	*library = (struct library){ .loop = loop,
				     .file = file ? file : LIBSYSTEMD_FILE,
				     .read_s = read_s > 0 ? read_s : LIBRARY_READ_S,
				     .over = over,
				     .data = data,
				     .fd = -1 };
	ev_io_init(&library->io, on_answer, -1, EV_READ);
	library->io.data = library;
	ev_child_init(&library->child, on_child, 0, 0);
	library->child.data = library;
	ev_timer_init(&library->timer, on_time, 0, 0);
	library->timer.data = library;
}

void library_done(struct library *library)
{
	stop_reading(library);
}

int library_need(struct library *library, uint64_t now_ns, struct err *err)
{
	if (libsystemd_is_open())
		return 0;
	if (library->fd >= 0)
		return -EINPROGRESS;
	return libsystemd_failed(now_ns, err) < 0 ? -ELIBACC : begin_reading(library, now_ns, err);
}
