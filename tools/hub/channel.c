/* SPDX-License-Identifier: MIT */
#include "channel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#define RETRY_MIN_NS	NS_PER_S
#define RETRY_MAX_NS	(30 * NS_PER_S)
#define TAKEN_MIN_NS	(60 * NS_PER_S)
#define FIRST_BYTE_S	10.0
#define READS_A_TURN	8
#define LINE_COST	512 /* of the allowance, beside its bytes: parsing it */
#define QUEUE_KEEP_SIZE 4096

static void arm(struct channel *channel, double seconds)
{
	ev_timer_stop(channel->loop, &channel->timer);
	ev_timer_set(&channel->timer, seconds, 0);
	ev_timer_start(channel->loop, &channel->timer);
}

static void listen_for(struct channel *channel, int events)
{
	ev_io_stop(channel->loop, &channel->io);
	ev_io_set(&channel->io, channel->fd, events);
	if (events)
		ev_io_start(channel->loop, &channel->io);
}

static void listen_as_needed(struct channel *channel)
{
	listen_for(channel, (channel->paused ? 0 : EV_READ) | (channel->out_len > 0 ? EV_WRITE : 0));
}

static void become(struct channel *channel, enum channel_state state, const char *reason)
{
	enum channel_state before = channel->state;

	channel->state = state;
	snprintf(channel->reason, sizeof(channel->reason), "%s", reason);
	channel->events->changed(channel->arg, before);
}

static void disconnect(struct channel *channel)
{
	if (channel->fd < 0)
		return;
	ev_io_stop(channel->loop, &channel->io);
	close_fd(&channel->fd);
	channel->left_ns = clock_ns(CLOCK_MONOTONIC);
	frame_free(&channel->frame);
	frame_init(&channel->frame, CHANNEL_LINE_MAX);
	free(channel->out);
	channel->out = NULL;
	channel->out_len = channel->out_size = 0;
	channel->paused = false;
}

/* Ends the connection, if there is one, and makes the next attempt after a while. */
static void retire(struct channel *channel, enum channel_state state, const char *reason)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC), wait_ns;

	disconnect(channel);
	wait_ns = backoff_fail(&channel->backoff, now_ns, backoff_random(&channel->random)) - now_ns;
	if (state == CHANNEL_TAKEN && wait_ns < TAKEN_MIN_NS)
		wait_ns = TAKEN_MIN_NS + wait_ns;
	arm(channel, (double)wait_ns / (double)NS_PER_S);
	become(channel, state, reason);
}

static void flush(struct channel *channel)
{
	size_t sent = 0;

	while (sent < channel->out_len) {
		ssize_t n =
			send(channel->fd, channel->out + sent, channel->out_len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break; /* what is wrong with the socket shows when it is read */
		sent += (size_t)n;
	}
	if (sent > 0)
		memmove(channel->out, channel->out + sent, channel->out_len - sent);
	channel->out_len -= sent;
	if (channel->out_len == 0 && channel->out_size > QUEUE_KEEP_SIZE) {
		free(channel->out);
		channel->out = NULL;
		channel->out_size = 0;
	}
}

static int queue(struct channel *channel, const char *bytes, size_t len)
{
	size_t size = channel->out_size;
	char *out;

	if (len == 0)
		return 0;
	while (size < channel->out_len + len)
		size = size ? 2 * size : 512;
	out = size == channel->out_size ? channel->out : realloc(channel->out, size);
	if (!out)
		return -ENOMEM;
	channel->out = out;
	channel->out_size = size;
	memcpy(out + channel->out_len, bytes, len);
	channel->out_len += len;
	return 0;
}

int channel_send(struct channel *channel, const char *line, size_t len)
{
	int r;

	if (channel->fd < 0)
		return -ENOTCONN;
	if (channel->out_len + len + 1 > CHANNEL_QUEUE_MAX)
		return -ENOBUFS;
	r = queue(channel, line, len);
	if (r == 0)
		r = queue(channel, "\n", 1);
	if (r < 0)
		return r;
	flush(channel);
	listen_as_needed(channel);
	return 0;
}

/* Hands out what is whole. */
static void take_lines(struct channel *channel)
{
	const char *line = NULL;
	size_t len = 0;
	int what;

	while (channel->fd >= 0 && (what = frame_next(&channel->frame, &line, &len)) != FRAME_MORE) {
		if (what == FRAME_LINE)
			channel->events->line(channel->arg, line, len);
		else
			channel->invalid++;
		if (allowance_take(&channel->allowance, LINE_COST, clock_ns(CLOCK_MONOTONIC)) > 0)
			channel->paused = true;
	}
	/* Most of the time a channel is idle, and holds nothing then. */
	if (channel->fd >= 0 && frame_pending(&channel->frame) == 0) {
		frame_free(&channel->frame);
		frame_init(&channel->frame, CHANNEL_LINE_MAX);
	}
}

static void pause_for(struct channel *channel, uint64_t wait_ns)
{
	channel->paused = true;
	channel->throttled++;
	listen_as_needed(channel);
	arm(channel, (double)wait_ns / (double)NS_PER_S);
}

/* False when the connection has ended. */
static bool read_once(struct channel *channel, bool *ret_more)
{
	char *buffer;
	size_t room;
	ssize_t n;

	*ret_more = false;
	if (frame_reserve(&channel->frame, &buffer, &room) < 0) {
		retire(channel, CHANNEL_AWAY, "out of memory");
		return false;
	}
	n = recv(channel->fd, buffer, room, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0) {
		retire(channel, CHANNEL_AWAY, n == 0 ? "the connection was closed" : strerror(errno));
		return false;
	}
	frame_commit(&channel->frame, (size_t)n);
	channel->bytes += (uint64_t)n;
	if (channel->state != CHANNEL_LIVE) {
		ev_timer_stop(channel->loop, &channel->timer);
		backoff_succeed(&channel->backoff);
		become(channel, CHANNEL_LIVE, "");
	}
	channel->paused |= allowance_take(&channel->allowance, (uint64_t)n, clock_ns(CLOCK_MONOTONIC)) > 0;
	take_lines(channel);
	*ret_more = !channel->paused;
	return channel->fd >= 0;
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
	struct channel *channel = io->data;
	bool more = true;

	(void)loop;
	if (events & EV_WRITE)
		flush(channel);
	for (int i = 0; (events & EV_READ) && i < READS_A_TURN && more; i++)
		if (!read_once(channel, &more))
			return;
	if (channel->paused && (events & EV_READ))
		pause_for(channel, allowance_take(&channel->allowance, 0, clock_ns(CLOCK_MONOTONIC)));
	else
		listen_as_needed(channel);
}

static void attempt(struct channel *channel)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);

	if (owned_look(channel->owned, channel->path, channel->left_ns, now_ns)) {
		retire(channel, CHANNEL_TAKEN, "another program is connected");
		return;
	}
	memcpy(address.sun_path, channel->path, strlen(channel->path) + 1);
	channel->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Connects at once or fails: unix(7). EAGAIN: the listener's backlog is full of others. */
	if (channel->fd < 0 || connect(channel->fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int error = errno;

		retire(channel, error == EAGAIN ? CHANNEL_TAKEN : CHANNEL_AWAY,
		       error == EAGAIN ? "others wait to be served" : strerror(error));
		return;
	}
	allowance_init(&channel->allowance, channel->allowance.per_s, channel->allowance.burst, now_ns);
	arm(channel, FIRST_BYTE_S);
	become(channel, CHANNEL_QUIET, "");
	/* An empty line ends a half line that an earlier host may have left in the guest. */
	channel_send(channel, "", 0);
	listen_as_needed(channel);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct channel *channel = timer->data;
	uint64_t wait_ns;

	(void)loop;
	(void)events;
	if (channel->fd < 0) {
		attempt(channel);
	} else if (channel->state == CHANNEL_QUIET) {
		retire(channel, CHANNEL_TAKEN, "nothing came: the guest is silent, or another program is served");
	} else if (channel->paused) {
		wait_ns = allowance_take(&channel->allowance, 0, clock_ns(CLOCK_MONOTONIC));
		if (wait_ns > 0) {
			arm(channel, (double)wait_ns / (double)NS_PER_S);
			return;
		}
		channel->paused = false;
		listen_as_needed(channel);
	}
}

void channel_init(struct channel *channel, struct ev_loop *loop, const char *path, uint64_t bytes_per_s, uint64_t burst,
		  struct owned *owned, const struct channel_events *events, void *arg)
{
	*channel = (struct channel){ .loop = loop, .events = events, .arg = arg, .owned = owned, .fd = -1 };
	snprintf(channel->path, sizeof(channel->path), "%s", path);
	snprintf(channel->reason, sizeof(channel->reason), "not tried yet");
	channel->random = (uint32_t)(uintptr_t)channel ^ (uint32_t)clock_ns(CLOCK_REALTIME);
	backoff_init(&channel->backoff, RETRY_MIN_NS, RETRY_MAX_NS);
	frame_init(&channel->frame, CHANNEL_LINE_MAX);
	allowance_init(&channel->allowance, bytes_per_s, burst, clock_ns(CLOCK_MONOTONIC));
	ev_init(&channel->io, on_io);
	ev_init(&channel->timer, on_timer);
	channel->io.data = channel->timer.data = channel;
	arm(channel, 0);
}

void channel_wake(struct channel *channel)
{
	if (channel->fd < 0 && channel->state == CHANNEL_AWAY) {
		backoff_succeed(&channel->backoff);
		arm(channel, 0);
	}
}

size_t channel_memory(const struct channel *channel)
{
	return sizeof(*channel) + channel->frame.cap + channel->out_size;
}

void channel_free(struct channel *channel)
{
	disconnect(channel);
	ev_timer_stop(channel->loop, &channel->timer);
	frame_free(&channel->frame);
}
