/* SPDX-License-Identifier: MIT */
/*
 * sd-bus under libev. The watchers are set by sd-bus' fd, events and time-out, and set again after every
 * call that may have changed them; sd_bus_process is called from the loop alone, so no callback runs within a call of
 * these functions.
 */
#include "agent/bus/bus.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <ev.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/base/helper.h"
#include "agent/base/loop.h"

#include <link.h> /* last: it defines names of ev.h anew */

/* Messages processed per turn of the loop. */
#define PROCESS_MAX 32
/* Bytes of the answer of the child that reads the library ahead. */
#define ANSWER_MAX 300

struct bus_call {
	struct bus *bus;
	sd_bus_slot *slot;
	uint64_t generation; /* of the connection it was sent on */
	ev_timer timer;
	bus_reply_fn done;
	void *data;
	struct bus_call *next;
};

struct bus {
	struct ev_loop *loop;
	struct bus_config config;
	sd_bus *conn; /* NULL: closed */
	uint64_t generation;
	ev_io io;
	ev_timer timer, idle;
	struct bus_call *calls;
	unsigned call_count;
	struct err fault; /* failure to load the library */
	int child_fd;	  /* of the child that reads the library ahead; -1: there is none */
	pid_t child_pid;  /* 0: it has exited */
	ev_io child_io;
	ev_child child;
	ev_timer child_timer;
};

/* ------------------------------------------------------------------------------------------------------ the library */

static const char *library_file(const struct bus *bus)
{
	return bus->config.library ? bus->config.library : LIBSYSTEMD_FILE;
}

/* In the child: loads the library and reads its files. Answers with "" or an error message. */
static int read_ahead(int fd, void *data)
{
	struct link_map *map = NULL;
	char answer[ANSWER_MAX] = "", bytes[8192];
	void *handle = dlopen(library_file(data), RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		snprintf(answer, sizeof(answer), "%s", dlerror());
	else if (dlinfo(handle, RTLD_DI_LINKMAP, &map) < 0)
		map = NULL;
	/* The list continues with the libraries that it depends on. */
	for (; map; map = map->l_next) {
		_cleanup_(closep) int file = open(map->l_name, O_RDONLY | O_CLOEXEC);

		while (file >= 0 && read(file, bytes, sizeof(bytes)) > 0)
			;
	}
	return send(fd, answer, strlen(answer) + 1, MSG_NOSIGNAL) < 0;
}

static void stop_reading(struct bus *bus)
{
	if (bus->child_fd < 0)
		return;
	ev_io_stop(bus->loop, &bus->child_io);
	ev_timer_stop(bus->loop, &bus->child_timer);
	ev_child_stop(bus->loop, &bus->child);
	close_fd(&bus->child_fd);
	/* A child that hangs in the kernel dies when its system call returns. */
	if (bus->child_pid > 0)
		kill(bus->child_pid, SIGKILL);
	bus->child_pid = 0;
}

static void end_reading(struct bus *bus, const char *trouble)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

	stop_reading(bus);
	if (trouble)
		libsystemd_fail(now_ns, trouble, NULL);
	else
		libsystemd_open(library_file(bus), now_ns, NULL);
	if (bus->config.ready)
		bus->config.ready(bus->config.ready_data);
}

static void on_answer(struct ev_loop *loop, ev_io *io, int events)
{
	struct bus *bus = io->data;
	char answer[ANSWER_MAX];
	ssize_t len = recv(bus->child_fd, answer, sizeof(answer), MSG_DONTWAIT);

	loop_work(loop, "bus", NULL);
	(void)events;
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* A library that crashes the child would crash the agent too: it is not loaded. */
	if (len <= 0 || answer[len - 1])
		end_reading(bus, "the child that was to read it ahead has died");
	else
		end_reading(bus, *answer ? answer : NULL);
}

/* The child's answer is still in the socket; only its pid must not be killed any more. */
static void on_child(struct ev_loop *loop, ev_child *child, int events)
{
	(void)events;
	ev_child_stop(loop, child);
	((struct bus *)child->data)->child_pid = 0;
}

static void on_late_answer(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	end_reading(timer->data, "the disk does not give it in time");
}

int bus_ready(struct bus *bus)
{
	double read_s = bus->config.library_read_s > 0 ? bus->config.library_read_s : BUS_LIBRARY_READ_S;
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	char words[100];
	int r;

	bus->fault = (struct err){ 0 };
	if (libsystemd_is_open())
		return 0;
	if (bus->child_fd >= 0)
		return -EINPROGRESS;
	if (libsystemd_failed(now_ns, &bus->fault) < 0)
		return -ELIBACC;
	r = helper_fork("library", read_ahead, bus, SOCK_SEQPACKET, &bus->child_fd, &bus->child_pid);
	if (r < 0) {
		snprintf(words, sizeof(words), "no child can be had to read it ahead: %s", strerror(-r));
		return libsystemd_fail(now_ns, words, &bus->fault);
	}
	ev_io_set(&bus->child_io, bus->child_fd, EV_READ);
	ev_io_start(bus->loop, &bus->child_io);
	ev_child_set(&bus->child, bus->child_pid, 0);
	ev_child_start(bus->loop, &bus->child);
	ev_timer_set(&bus->child_timer, read_s, 0);
	ev_timer_start(bus->loop, &bus->child_timer);
	return -EINPROGRESS;
}

/* ----------------------------------------------------------------------------------------------------- a call's end */

static void call_unlink(struct bus_call *call)
{
	struct bus *bus = call->bus;
	struct bus_call **at = &bus->calls;

	while (*at != call)
		at = &(*at)->next;
	*at = call->next;
	bus->call_count--;
	ev_timer_stop(bus->loop, &call->timer);
	sd_bus_slot_unref(call->slot);
}

static void watch_idle(struct bus *bus)
{
	if (!bus->conn || bus->calls)
		ev_timer_stop(bus->loop, &bus->idle);
	else if (!ev_is_active(&bus->idle))
		ev_timer_again(bus->loop, &bus->idle);
}

/* Ends the call: its only callback. */
static void call_end(struct bus_call *call, const struct bus_reply *reply)
{
	bus_reply_fn done = call->done;
	void *data = call->data;
	struct bus *bus = call->bus;

	call_unlink(call);
	free(call);
	done(data, reply);
	watch_idle(bus);
}

/* Whether the error means that no peer is there to answer: treated as an absent bus. */
static bool means_absent(const char *name)
{
	static const char *const absent[] = {
		SD_BUS_ERROR_NO_REPLY,	SD_BUS_ERROR_SERVICE_UNKNOWN, SD_BUS_ERROR_NAME_HAS_NO_OWNER,
		SD_BUS_ERROR_NO_SERVER, SD_BUS_ERROR_DISCONNECTED,
	};

	for (size_t i = 0; i < ARRAY_SIZE(absent); i++)
		if (strcmp(absent[i], name) == 0)
			return true;
	return false;
}

static int on_reply(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct bus_reply reply = { .message = message, .name = "", .text = "" };
	const sd_bus_error *failed = sd_bus_message_get_error(message);

	(void)error;
	if (failed) {
		reply.message = NULL;
		reply.name = failed->name ? failed->name : "";
		reply.text = failed->message ? failed->message : reply.name;
		reply.error = means_absent(reply.name) ? -ENOTCONN : -EREMOTEIO;
	}
	call_end(data, &reply);
	return 1;
}

static void on_call_timeout(struct ev_loop *loop, ev_timer *timer, int events)
{
	static const struct bus_reply reply = { .error = -ETIMEDOUT, .name = "", .text = "no answer in time" };

	(void)loop;
	(void)events;
	call_end(timer->data, &reply);
}

/* ------------------------------------------------------------------------------------------------- the connection */

static void bus_close(struct bus *bus)
{
	ev_io_stop(bus->loop, &bus->io);
	ev_timer_stop(bus->loop, &bus->timer);
	ev_timer_stop(bus->loop, &bus->idle);
	if (bus->conn)
		bus->conn = sd_bus_close_unref(bus->conn);
}

/* Fails all calls of the lost connection; a callback may open the bus anew or cancel other calls. */
static void bus_lost(struct bus *bus)
{
	static const struct bus_reply gone = { .error = -ENOTCONN, .name = "", .text = "the bus has gone away" };
	uint64_t generation = bus->generation;
	struct bus_call *call;

	bus_close(bus);
	do {
		call = bus->calls;
		while (call && call->generation > generation)
			call = call->next;
		if (call)
			call_end(call, &gone);
	} while (call);
}

static void watch_io(struct bus *bus, int fd, int events)
{
	int wanted = (events & POLLIN ? EV_READ : 0) | (events & POLLOUT ? EV_WRITE : 0);

	if (ev_is_active(&bus->io) && bus->io.fd == fd && (bus->io.events & (EV_READ | EV_WRITE)) == wanted)
		return;
	ev_io_stop(bus->loop, &bus->io);
	ev_io_set(&bus->io, fd, wanted);
	ev_io_start(bus->loop, &bus->io);
}

/* Sets the watchers to what sd-bus waits for now. */
static void bus_rearm(struct bus *bus)
{
	uint64_t until_us, now_us = clock_ns(CLOCK_MONOTONIC) / NS_PER_US;
	int fd, events;

	if (!bus->conn)
		return;
	fd = sd_bus_get_fd(bus->conn);
	events = sd_bus_get_events(bus->conn);
	ev_timer_stop(bus->loop, &bus->timer);
	if (fd < 0 || events < 0 || sd_bus_get_timeout(bus->conn, &until_us) < 0) {
		/* The connection is closed or closing: sd_bus_process, called from the loop, reports it. */
		ev_io_stop(bus->loop, &bus->io);
		until_us = 0;
	} else {
		watch_io(bus, fd, events);
	}
	if (until_us == UINT64_MAX)
		return;
	ev_timer_set(&bus->timer, until_us > now_us ? (double)(until_us - now_us) / 1e6 : 0, 0);
	ev_timer_start(bus->loop, &bus->timer);
}

static void bus_process(struct bus *bus)
{
	int r = 1;

	for (unsigned i = 0; i < PROCESS_MAX && r > 0 && bus->conn; i++)
		r = sd_bus_process(bus->conn, NULL);
	if (r < 0)
		bus_lost(bus);
	bus_rearm(bus);
	watch_idle(bus);
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
	loop_work(loop, "bus", NULL);
	(void)events;
	bus_process(io->data);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	loop_work(loop, "bus", NULL);
	(void)events;
	bus_process(timer->data);
}

static void on_idle(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	bus_close(timer->data);
}

/* A peer without a bus daemon does not know Hello. sd-bus takes over the socket only on success. */
static int set_peer(sd_bus *conn, const struct bus_config *config)
{
	_cleanup_(closep) int fd = -1;
	int r;

	if (!config->connect) {
		r = sd_bus_set_address(conn, config->address ? config->address : BUS_ADDRESS);
		return r < 0 ? r : sd_bus_set_bus_client(conn, true);
	}
	fd = config->connect(config->connect_data);
	if (fd < 0)
		return fd;
	r = sd_bus_set_fd(conn, fd, fd);
	if (r >= 0)
		fd = -1;
	return r;
}

static int bus_open(struct bus *bus)
{
	sd_bus *conn = NULL;
	int r = bus_ready(bus);

	if (r < 0)
		return r;
	r = sd_bus_new(&conn);
	if (r >= 0)
		r = set_peer(conn, &bus->config);
	if (r >= 0)
		r = sd_bus_start(conn);
	if (r < 0) {
		sd_bus_close_unref(conn);
		return r;
	}
	bus->conn = conn;
	bus->generation++;
	bus_rearm(bus);
	watch_idle(bus);
	return 0;
}

/* ----------------------------------------------------------------------------------------------------------- calls */

enum bus_state bus_state(const struct bus *bus)
{
	if (libsystemd_is_open())
		return BUS_READY;
	return bus->child_fd >= 0 ? BUS_READING : *bus->fault.text ? BUS_UNUSABLE : BUS_UNUSED;
}

const char *bus_fault(const struct bus *bus)
{
	return bus->fault.text;
}

struct bus *bus_new(struct ev_loop *loop, const struct bus_config *config)
{
	struct bus *bus = calloc(1, sizeof(*bus));

	if (!bus)
		return NULL;
	bus->loop = loop;
	bus->config = *config;
	ev_io_init(&bus->io, on_io, -1, 0);
	bus->io.data = bus;
	ev_timer_init(&bus->timer, on_timer, 0, 0);
	bus->timer.data = bus;
	ev_timer_init(&bus->idle, on_idle, 0, config->idle_s > 0 ? config->idle_s : BUS_IDLE_S);
	bus->idle.data = bus;
	bus->child_fd = -1;
	ev_io_init(&bus->child_io, on_answer, -1, EV_READ);
	bus->child_io.data = bus;
	ev_child_init(&bus->child, on_child, 0, 0);
	bus->child.data = bus;
	ev_timer_init(&bus->child_timer, on_late_answer, 0, 0);
	bus->child_timer.data = bus;
	return bus;
}

struct bus *bus_free(struct bus *bus)
{
	if (!bus)
		return NULL;
	while (bus->calls)
		bus_cancel(bus->calls);
	bus_close(bus);
	stop_reading(bus);
	free(bus);
	return NULL;
}

int bus_message(struct bus *bus, const char *destination, const char *path, const char *interface, const char *member,
		sd_bus_message **ret)
{
	int r = bus->conn ? 0 : bus_open(bus);

	return r < 0 ? r : sd_bus_message_new_method_call(bus->conn, ret, destination, path, interface, member);
}

int bus_call(struct bus *bus, sd_bus_message *message, uint64_t timeout_ns, bus_reply_fn done, void *data,
	     struct bus_call **ret)
{
	_cleanup_(freep) struct bus_call *call = calloc(1, sizeof(*call));
	int r;

	if (!call)
		return -ENOMEM;
	if (bus->call_count >= BUS_CALLS_MAX)
		return -EBUSY;
	*call = (struct bus_call){
		.bus = bus, .generation = bus->generation, .done = done, .data = data, .next = bus->calls
	};
	if (!bus->conn || sd_bus_message_get_bus(message) != bus->conn)
		return -ENOTCONN;
	/* sd-bus' own time-out begins only when the connection is established; the call's timer begins now. */
	r = sd_bus_call_async(bus->conn, &call->slot, message, on_reply, call, UINT64_MAX);
	if (r < 0)
		return r;
	ev_timer_init(&call->timer, on_call_timeout, (double)timeout_ns / (double)NS_PER_S, 0);
	call->timer.data = call;
	if (timeout_ns != TIME_NEVER)
		ev_timer_start(bus->loop, &call->timer);
	bus->calls = call;
	bus->call_count++;
	bus_rearm(bus);
	watch_idle(bus);
	*ret = TAKE_PTR(call);
	return 0;
}

struct bus_call *bus_cancel(struct bus_call *call)
{
	struct bus *bus;

	if (!call)
		return NULL;
	bus = call->bus;
	call_unlink(call);
	free(call);
	bus_rearm(bus);
	watch_idle(bus);
	return NULL;
}

uint64_t bus_generation(const struct bus *bus)
{
	return bus->generation;
}
