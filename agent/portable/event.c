/* SPDX-License-Identifier: MIT */
/* What the executor uses of sd-event(3), on libev: descriptors, the monotonic clock, and connections of wire.h. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <ev.h>
#include <systemd/sd-event.h>

#include <infiniservice/cleanup.h>

#include "agent/portable/wire.h"

/* Messages of one connection before others get their turn. */
#define TURNS_MAX 32

struct sd_event {
	unsigned refs;
	struct ev_loop *loop;
	bool over;
	int code;
};

struct sd_event_source {
	unsigned refs;
	sd_event *event; /* a reference */
	int enabled;
	void *data;
	/* a descriptor */
	sd_event_io_handler_t on_io; /* NULL: it is a time */
	ev_io io;
	bool owns_fd;
	/* a time */
	sd_event_time_handler_t on_time;
	ev_timer timer;
	uint64_t due_us; /* UINT64_MAX: never */
};

int sd_event_new(sd_event **ret)
{
	sd_event *event = calloc(1, sizeof(*event));

	if (!event)
		return -ENOMEM;
	event->refs = 1;
	event->loop = ev_loop_new(EVFLAG_AUTO);
	if (!event->loop) {
		free(event);
		return -ENOMEM;
	}
	*ret = event;
	return 0;
}

static sd_event *event_ref(sd_event *event)
{
	event->refs++;
	return event;
}

sd_event *sd_event_unref(sd_event *event)
{
	if (!event || --event->refs > 0)
		return NULL;
	ev_loop_destroy(event->loop);
	free(event);
	return NULL;
}

int sd_event_loop(sd_event *event)
{
	while (!event->over)
		if (!ev_run(event->loop, EVRUN_ONCE) && !event->over)
			return -EDEADLK; /* nothing is left that could happen */
	return event->code;
}

int sd_event_exit(sd_event *event, int code)
{
	event->over = true;
	event->code = code;
	ev_break(event->loop, EVBREAK_ALL);
	return 0;
}

/* --------------------------------------------------------------------------------------------------------- sources */

/* libev counts from the time of its own turn, which may be a while ago. */
static void source_arm(sd_event_source *source)
{
	struct ev_loop *loop = source->event->loop;
	uint64_t now_us = wire_now_us();

	if (source->on_io) {
		if (source->enabled == SD_EVENT_OFF)
			ev_io_stop(loop, &source->io);
		else
			ev_io_start(loop, &source->io);
		return;
	}
	ev_timer_stop(loop, &source->timer);
	if (source->enabled == SD_EVENT_OFF || source->due_us == UINT64_MAX)
		return;
	ev_now_update(loop);
	ev_timer_set(&source->timer, source->due_us > now_us ? (double)(source->due_us - now_us) / 1e6 : 0, 0);
	ev_timer_start(loop, &source->timer);
}

sd_event_source *sd_event_source_unref(sd_event_source *source)
{
	if (!source || --source->refs > 0)
		return NULL;
	source->enabled = SD_EVENT_OFF;
	source_arm(source);
	if (source->owns_fd)
		close(source->io.fd);
	sd_event_unref(source->event);
	free(source);
	return NULL;
}

sd_event_source *sd_event_source_disable_unref(sd_event_source *source)
{
	if (source)
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	return sd_event_source_unref(source);
}

/* One that fails is not asked again. */
static void source_called(sd_event_source *source, int r)
{
	if (r < 0)
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	sd_event_source_unref(source);
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
	sd_event_source *source = io->data;
	uint32_t seen = (events & EV_READ ? EPOLLIN : 0) | (events & EV_WRITE ? EPOLLOUT : 0);

	(void)loop;
	source->refs++;
	if (source->enabled == SD_EVENT_ONESHOT)
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
	source_called(source, source->on_io(source, io->fd, seen, source->data));
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	sd_event_source *source = timer->data;

	(void)loop;
	(void)events;
	if (wire_now_us() < source->due_us) {
		source_arm(source);
		return;
	}
	source->refs++;
	source->enabled = source->enabled == SD_EVENT_ONESHOT ? SD_EVENT_OFF : source->enabled;
	source_called(source, source->on_time(source, source->due_us, source->data));
}

static sd_event_source *source_new(sd_event *event, void *data)
{
	sd_event_source *source = calloc(1, sizeof(*source));

	if (!source)
		return NULL;
	source->refs = 1;
	source->event = event_ref(event);
	source->data = data;
	ev_io_init(&source->io, on_io, -1, 0);
	source->io.data = source;
	ev_timer_init(&source->timer, on_timer, 0, 0);
	source->timer.data = source;
	return source;
}

int sd_event_add_io(sd_event *event, sd_event_source **ret, int fd, uint32_t events, sd_event_io_handler_t callback,
		    void *data)
{
	sd_event_source *source = source_new(event, data);

	if (!source)
		return -ENOMEM;
	source->on_io = callback;
	source->enabled = SD_EVENT_ON;
	ev_io_set(&source->io, fd, (events & EPOLLIN ? EV_READ : 0) | (events & EPOLLOUT ? EV_WRITE : 0));
	source_arm(source);
	*ret = source;
	return 0;
}

int sd_event_add_time(sd_event *event, sd_event_source **ret, clockid_t clock, uint64_t usec, uint64_t accuracy,
		      sd_event_time_handler_t callback, void *data)
{
	sd_event_source *source = clock == CLOCK_MONOTONIC ? source_new(event, data) : NULL;

	(void)accuracy;
	if (!source)
		return clock == CLOCK_MONOTONIC ? -ENOMEM : -EOPNOTSUPP;
	source->on_time = callback;
	source->enabled = SD_EVENT_ONESHOT;
	source->due_us = usec;
	source_arm(source);
	*ret = source;
	return 0;
}

int sd_event_source_set_enabled(sd_event_source *source, int enabled)
{
	if (!source)
		return enabled == SD_EVENT_OFF ? 0 : -EINVAL;
	source->enabled = enabled;
	source_arm(source);
	return 0;
}

int sd_event_source_set_time(sd_event_source *source, uint64_t usec)
{
	if (source->on_io)
		return -EDOM;
	source->due_us = usec;
	source_arm(source);
	return 0;
}

int sd_event_source_set_time_relative(sd_event_source *source, uint64_t usec)
{
	uint64_t now_us = wire_now_us();

	return sd_event_source_set_time(source, usec >= UINT64_MAX - now_us ? UINT64_MAX : now_us + usec);
}

int sd_event_source_set_io_fd_own(sd_event_source *source, int owns)
{
	if (!source->on_io)
		return -EDOM;
	source->owns_fd = owns;
	return 0;
}

/* ----------------------------------------------------------------------------------------------------- connections */

struct event_attachment {
	sd_event *event; /* a reference */
	sd_bus *bus;
	ev_prepare prepare;
	ev_io io;
	ev_timer timer;
};

static void on_turn(struct event_attachment *attachment)
{
	sd_bus *bus = wire_bus_ref(attachment->bus);
	int r = 1;

	for (unsigned i = 0; i < TURNS_MAX && r > 0 && bus->attachment == attachment; i++)
		r = sd_bus_process(bus, NULL);
	wire_bus_unref(bus);
}

static void on_bus_io(struct ev_loop *loop, ev_io *io, int events)
{
	(void)loop;
	(void)events;
	on_turn(io->data);
}

static void on_bus_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	on_turn(timer->data);
}

/* Before each sleep the connection is asked what it waits for now. */
static void on_prepare(struct ev_loop *loop, ev_prepare *prepare, int revents)
{
	struct event_attachment *attachment = prepare->data;
	uint64_t until_us, now_us = wire_now_us();
	int fd = sd_bus_get_fd(attachment->bus), events = sd_bus_get_events(attachment->bus), wanted;

	(void)revents;
	ev_timer_stop(loop, &attachment->timer);
	if (fd < 0 || events <= 0)
		ev_io_stop(loop, &attachment->io);
	wanted = (events & POLLIN ? EV_READ : 0) | (events & POLLOUT ? EV_WRITE : 0);
	if (fd >= 0 && events > 0 &&
	    (!ev_is_active(&attachment->io) || (attachment->io.events & (EV_READ | EV_WRITE)) != wanted)) {
		ev_io_stop(loop, &attachment->io);
		ev_io_set(&attachment->io, fd, wanted);
		ev_io_start(loop, &attachment->io);
	}
	if (sd_bus_get_timeout(attachment->bus, &until_us) < 0 || until_us == UINT64_MAX)
		return;
	ev_now_update(loop);
	ev_timer_set(&attachment->timer, until_us > now_us ? (double)(until_us - now_us) / 1e6 : 0, 0);
	ev_timer_start(loop, &attachment->timer);
}

int sd_bus_attach_event(sd_bus *bus, sd_event *event, int priority)
{
	struct event_attachment *attachment = calloc(1, sizeof(*attachment));

	(void)priority;
	if (!attachment)
		return -ENOMEM;
	attachment->event = event_ref(event);
	attachment->bus = bus;
	ev_prepare_init(&attachment->prepare, on_prepare);
	attachment->prepare.data = attachment;
	ev_io_init(&attachment->io, on_bus_io, -1, 0);
	attachment->io.data = attachment;
	ev_timer_init(&attachment->timer, on_bus_timer, 0, 0);
	attachment->timer.data = attachment;
	ev_prepare_start(event->loop, &attachment->prepare);
	bus->attachment = attachment;
	return 0;
}

int sd_bus_detach_event(sd_bus *bus)
{
	struct event_attachment *attachment = bus->attachment;

	if (!attachment)
		return 0;
	bus->attachment = NULL;
	ev_prepare_stop(attachment->event->loop, &attachment->prepare);
	ev_io_stop(attachment->event->loop, &attachment->io);
	ev_timer_stop(attachment->event->loop, &attachment->timer);
	sd_event_unref(attachment->event);
	free(attachment);
	return 1;
}
