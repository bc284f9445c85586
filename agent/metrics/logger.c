/* SPDX-License-Identifier: MIT */
/*
 * One queue in three stretches: sent and waiting for an answer, being sent, waiting to be sent. The child answers every
 * message in order, so an answer always belongs to the oldest one. Lines are dropped only from the last stretch: a line
 * that was sent over the socket may already be in the log and must not be counted as dropped.
 */
#include "agent/metrics/logger.h"

#include <errno.h>
#include <ev.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/base/helper.h"
#include "agent/base/loop.h"
#include "agent/log/child.h"
#include "transport/backoff.h"

#define LAG_NS (5 * NS_PER_S)
/* latest.json is for people and scripts, who do not look more often. */
#define LATEST_NS NS_PER_S
/* This many deaths of children in a row without any answer are a failure of logging. */
#define DEATHS_FAILED 3
#define ACKS_AT_ONCE  32

struct entry {
	struct entry *next;
	struct line *line; /* NULL for LOG_STOP */
	struct log_message message;
};

struct logger {
	struct ev_loop *loop;
	struct logger_config config;
	struct ev_io io;
	struct ev_timer restart;
	struct ev_async finished; /* calls `done` from the loop */
	struct ev_child death;
	bool running; /* `death` is armed */
	int fd;
	struct backoff backoff;
	uint32_t random;
	unsigned deaths;
	bool started_once;

	struct entry *head, *tail; /* oldest first */
	struct entry *next;	   /* the first not sent completely */
	size_t sent;		   /* bytes of `next` on the socket */
	struct entry *latest;	   /* the one LOG_LATEST that waits, in the queue as well */
	bool latest_direct;
	uint64_t latest_ns; /* when latest.json was written; 0: not yet */

	char ack[sizeof(struct log_ack)];
	size_t ack_len;
	uint64_t last_id;
	uint64_t answered_ns; /* mono time since which the oldest message waits, 0: not looked at yet */
	bool dropped_since;   /* since the last answer */
	struct logger_stats stats;
	bool stopping, stopped;
	bool paused;   /* what has been begun is sent whole, and nothing else */
	bool draining; /* a `changed` callback from within calls logger_stats again */
	void (*done)(void *data);
	void *done_data;
};

/* ------------------------------------------------------------------------------------------------------ state */

static void state_set(struct logger *l, enum logger_state state, int error)
{
	bool changed = l->stats.state != state;

	l->stats.state = state;
	l->stats.error = state == LOGGER_OK ? 0 : error;
	if (changed && l->config.changed)
		l->config.changed(l->config.data, state, l->stats.error);
}

static void overload(struct logger *l)
{
	l->dropped_since = true;
	if (l->stats.state == LOGGER_OK)
		state_set(l, LOGGER_LAGGING, -ENOBUFS);
}

/* ------------------------------------------------------------------------------------------------------ queue */

static bool is_line(const struct entry *e)
{
	return e->message.type == LOG_LINE || e->message.type == LOG_LINE_AGAIN;
}

static size_t entry_cost(const struct entry *e)
{
	return sizeof(*e) + e->message.len;
}

static struct entry *entry_add(struct logger *l, enum log_message_type type, struct line *line)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->message.type = type;
	e->message.id = ++l->last_id;
	if (line) {
		e->line = line_ref(line);
		e->message.len = (uint32_t)line->len;
		e->message.seq = line->seq;
	}
	if (l->tail)
		l->tail->next = e;
	else
		l->head = e;
	l->tail = e;
	if (!l->next)
		l->next = e;
	l->stats.queued_bytes += entry_cost(e);
	l->stats.queued += is_line(e);
	return e;
}

/* Removes the entry after `before` (NULL: the head) from the queue and frees it. */
static void entry_remove(struct logger *l, struct entry *before)
{
	struct entry *e = before ? before->next : l->head;

	if (before)
		before->next = e->next;
	else
		l->head = e->next;
	if (l->tail == e)
		l->tail = before;
	if (l->next == e)
		l->next = e->next;
	if (l->latest == e)
		l->latest = NULL;
	l->stats.queued_bytes -= entry_cost(e);
	l->stats.queued -= is_line(e);
	line_unref(e->line);
	free(e);
}

/* Drops the oldest line of which nothing is on the socket. False if there is none. */
static bool drop_oldest(struct logger *l)
{
	struct entry *before = NULL, *e = l->head;

	while (e && e != l->next) {
		before = e;
		e = e->next;
	}
	if (e && l->sent > 0) {
		before = e;
		e = e->next;
	}
	for (; e && !is_line(e); e = e->next)
		before = e;
	if (!e)
		return false;
	entry_remove(l, before);
	l->stats.dropped++;
	overload(l);
	return true;
}

/* ---------------------------------------------------------------------------------------------------- answers */

static void finish(struct logger *l)
{
	if (!l->stopping || l->stopped)
		return;
	l->stopped = true;
	ev_ref(l->loop);
	ev_async_send(l->loop, &l->finished);
}

/* Takes an answer to the oldest message. False when it does not match that message. */
static bool answered(struct logger *l, const struct log_ack *ack)
{
	struct entry *e = l->head;
	int error = ack->error ? ack->error : ack->sync_error;

	if (!e || e == l->next || e->message.id != ack->id)
		return false;
	l->stats.last_seq = ack->last_seq;
	if (is_line(e)) {
		l->stats.written += !ack->error;
		l->stats.wants_whole = ack->wants_whole;
		l->stats.dropped += ack->error != 0;
		state_set(l, error ? LOGGER_FAILED : l->dropped_since ? LOGGER_LAGGING : LOGGER_OK, error);
		l->dropped_since = false;
	} else if (e->message.type == LOG_LATEST) {
		l->stats.latest_failed += ack->error != 0;
		if (l->stats.state == LOGGER_LAGGING && !l->dropped_since)
			state_set(l, LOGGER_OK, 0);
	} else if (e->message.type == LOG_STOP) {
		finish(l);
	}
	l->deaths = 0;
	l->answered_ns = 0;
	backoff_succeed(&l->backoff);
	entry_remove(l, NULL);
	return true;
}

/* Returns 0 when no more answers have arrived, -1 when the child is gone or its answer is invalid. */
static int acks_read(struct logger *l)
{
	struct log_ack ack;

	for (int i = 0; i < ACKS_AT_ONCE; i++) {
		ssize_t got = recv(l->fd, l->ack + l->ack_len, sizeof(l->ack) - l->ack_len, MSG_DONTWAIT);

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (got <= 0)
			return -1;
		l->ack_len += (size_t)got;
		if (l->ack_len < sizeof(ack))
			continue;
		l->ack_len = 0;
		memcpy(&ack, l->ack, sizeof(ack));
		if (ack.id != 0) {
			if (!answered(l, &ack))
				return -1;
			continue;
		}
		l->stats.last_seq = ack.last_seq; /* the child's first word */
		if (ack.error)
			state_set(l, LOGGER_FAILED, ack.error);
	}
	return 0;
}

/* ------------------------------------------------------------------------------------------------------ child */

/* Lines sent but not answered are sent to the next child once; lines that were resent before are lost. */
static void child_gone(struct logger *l, int error)
{
	struct entry *before = NULL;
	uint64_t wait_ns;

	if (l->fd >= 0) {
		ev_io_stop(l->loop, &l->io);
		close_fd(&l->fd);
	}
	l->ack_len = 0;
	for (struct entry *e = l->head; e && e != l->next;) {
		struct entry *next = e->next;

		if (e->message.type == LOG_LINE_AGAIN) {
			entry_remove(l, before);
			l->stats.dropped++;
		} else {
			if (is_line(e)) {
				e->message.type = LOG_LINE_AGAIN;
				l->stats.resent++;
			}
			before = e;
		}
		e = next;
	}
	if (l->next && l->sent > 0 && is_line(l->next))
		l->next->message.type = LOG_LINE_AGAIN; /* it was not sent whole, but marking it is safe */
	l->next = l->head;
	l->sent = 0;
	if (l->stopped || (l->stopping && !l->head)) {
		finish(l);
		return;
	}
	if (++l->deaths >= DEATHS_FAILED)
		state_set(l, LOGGER_FAILED, error);
	if (!l->head) /* the next line starts one */
		return;
	/* With time 0 the returned due time is the delay, as a timer needs it. */
	wait_ns = backoff_fail(&l->backoff, 0, backoff_random(&l->random));
	ev_now_update(l->loop);
	ev_timer_set(&l->restart, (double)wait_ns / (double)NS_PER_S, 0.);
	ev_timer_start(l->loop, &l->restart);
}

/* ---------------------------------------------------------------------------------------------------- sending */

/* Sends as much of `next` as the socket takes. 1 all, 0 it is full, -errno. */
static int send_next(struct logger *l)
{
	struct entry *e = l->next;
	size_t head = sizeof(e->message), total = head + e->message.len;
	struct iovec parts[2];
	struct msghdr m = { .msg_iov = parts };
	ssize_t sent;

	if (l->sent < head)
		parts[m.msg_iovlen++] = (struct iovec){ (char *)&e->message + l->sent, head - l->sent };
	if (e->message.len) {
		size_t done = l->sent > head ? l->sent - head : 0;

		parts[m.msg_iovlen++] = (struct iovec){ e->line->text + done, e->message.len - done };
	}
	sent = sendmsg(l->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0)
		return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : -errno;
	l->sent += (size_t)sent;
	if (l->sent < total)
		return 0;
	if (l->latest == e)
		l->latest = NULL;
	l->sent = 0;
	l->next = e->next;
	return 1;
}

/*
 * Sends what the socket takes. Answers are waited for only while lines wait to be sent. Otherwise they stay in the
 * socket until the next line, the health deadline or logger_check, so that an idle agent is not woken once more for
 * each line.
 */
static void pump(struct logger *l)
{
	int rc = 1, events;

	while (l->fd >= 0 && l->next && rc == 1 && (!l->paused || l->sent > 0))
		rc = send_next(l);
	if (rc < 0) {
		child_gone(l, rc);
		return;
	}
	events = (l->next && (!l->paused || l->sent > 0) ? EV_READ | EV_WRITE : 0) | (l->stopping ? EV_READ : 0);
	if (l->fd < 0 || (l->io.events == events && ev_is_active(&l->io) == (events != 0)))
		return;
	ev_io_stop(l->loop, &l->io);
	if (!events)
		return;
	ev_io_set(&l->io, l->fd, events);
	ev_io_start(l->loop, &l->io);
}

/* Takes the answers that have come. */
static void drain(struct logger *l)
{
	if (l->fd < 0 || l->draining)
		return;
	l->draining = true;
	if (acks_read(l) < 0)
		child_gone(l, -EPIPE);
	l->draining = false;
}

static void on_io(struct ev_loop *loop, struct ev_io *io, int events)
{
	struct logger *l = container_of(io, struct logger, io);

	loop_work(loop, "log writer", NULL);
	if ((events & EV_READ) && acks_read(l) < 0)
		child_gone(l, -EPIPE);
	else
		pump(l);
}

static void child_start(struct logger *l)
{
	pid_t pid;
	int rc;

	if (l->fd >= 0 || ev_is_active(&l->restart))
		return;
	if (l->running) { /* the death of the last child has not been reaped: a watcher is for one pid */
		ev_child_stop(l->loop, &l->death);
		l->running = false;
	}
	loop_work(l->loop, "start", "log writer");
	rc = helper_fork("infini-log", log_child_main, &l->config.child, SOCK_STREAM, &l->fd, &pid);
	if (rc) {
		l->fd = -1;
		state_set(l, LOGGER_FAILED, rc);
		child_gone(l, rc);
		return;
	}
	l->stats.restarts += l->started_once;
	l->started_once = true;
	l->stats.pid = pid;
	ev_child_set(&l->death, pid, 0);
	ev_child_start(l->loop, &l->death);
	l->running = true;
}

static void on_restart(struct ev_loop *loop, struct ev_timer *timer, int events)
{
	struct logger *l = container_of(timer, struct logger, restart);

	(void)loop, (void)events;
	child_start(l);
	pump(l);
}

static void on_death(struct ev_loop *loop, struct ev_child *death, int events)
{
	struct logger *l = container_of(death, struct logger, death);

	(void)events;
	ev_child_stop(loop, death);
	l->running = false;
	l->stats.pid = -1;
}

static void on_finished(struct ev_loop *loop, struct ev_async *async, int events)
{
	struct logger *l = container_of(async, struct logger, finished);
	void (*done)(void *data) = l->done;

	(void)loop, (void)events;
	l->done = NULL;
	if (done)
		done(l->done_data); /* may free the logger */
}

/* -------------------------------------------------------------------------------------------------------- API */

int logger_new(struct ev_loop *loop, const struct logger_config *config, struct logger **ret)
{
	struct logger *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->loop = loop;
	l->config = *config;
	if (!l->config.queue_bytes)
		l->config.queue_bytes = LOGGER_QUEUE_BYTES;
	if (!l->config.enabled)
		l->config.child.writer.dir[0] = '\0';
	l->fd = -1;
	l->stats.pid = -1;
	l->random = (uint32_t)getpid();
	l->latest_direct = latest_in_memory(config->child.runtime_dir);
	backoff_init(&l->backoff, BACKOFF_MIN_NS, BACKOFF_MAX_NS);
	ev_init(&l->io, on_io);
	ev_init(&l->restart, on_restart);
	ev_init(&l->death, on_death);
	ev_async_init(&l->finished, on_finished);
	ev_async_start(loop, &l->finished);
	ev_unref(loop); /* this watcher alone does not keep the loop running */
	*ret = l;
	return 0;
}

void logger_start(struct logger *l)
{
	child_start(l);
}

/* Checks how long the oldest message has been unanswered. */
static void age_check(struct logger *l, struct moment now)
{
	if (!l->head || l->paused)
		l->answered_ns = 0;
	else if (!l->answered_ns)
		l->answered_ns = now.mono_ns;
	else if (l->stats.state == LOGGER_OK && now.mono_ns - l->answered_ns > LAG_NS)
		state_set(l, LOGGER_LAGGING, -ETIMEDOUT);
}

void logger_put(struct logger *l, struct line *line, struct moment now)
{
	struct entry *e = NULL;
	size_t cost = sizeof(*e) + line->len;

	if (!l->config.enabled || l->stopping)
		return;
	loop_work(l->loop, "log writer", NULL);
	drain(l);
	l->stats.put++;
	if (cost <= l->config.queue_bytes && line->len <= LOG_PAYLOAD_MAX) {
		while (l->stats.queued_bytes + cost > l->config.queue_bytes && drop_oldest(l))
			;
		if (l->stats.queued_bytes + cost <= l->config.queue_bytes)
			e = entry_add(l, LOG_LINE, line);
	}
	if (!e) {
		l->stats.dropped++;
		overload(l);
		return;
	}
	e->message.wall_ms = now.wall_ms;
	age_check(l, now);
	child_start(l);
	pump(l);
}

void logger_latest(struct logger *l, struct line *line, struct moment now)
{
	struct entry *e = l->latest;

	if (l->stopping || line->len > LOG_PAYLOAD_MAX)
		return;
	loop_work(l->loop, "latest.json", NULL);
	/* An eighth less than a second is as good: a tick of every second may come a little sooner. */
	if (l->latest_ns && now.mono_ns - l->latest_ns < LATEST_NS - LATEST_NS / 8)
		return;
	l->latest_ns = now.mono_ns;
	if (l->latest_direct) {
		l->stats.latest_failed += latest_write(l->config.child.runtime_dir, &l->config.child.latest_readers,
						       line->text, line->len) != 0;
		return;
	}
	if (e && !(e == l->next && l->sent > 0)) { /* not sent yet: the newer one takes its place */
		l->stats.queued_bytes -= entry_cost(e);
		line_unref(e->line);
		e->line = line_ref(line);
		e->message.len = (uint32_t)line->len;
		l->stats.queued_bytes += entry_cost(e);
	} else {
		l->latest = entry_add(l, LOG_LATEST, line);
		l->stats.latest_failed += !l->latest;
	}
	logger_check(l, now);
	child_start(l);
	pump(l);
}

void logger_check(struct logger *l, struct moment now)
{
	drain(l);
	age_check(l, now);
}

struct logger_stats logger_stats(const struct logger *l)
{
	return l->stats;
}

void logger_pause(struct logger *l, bool paused)
{
	l->paused = paused;
	if (!paused)
		pump(l);
}

void logger_stop(struct logger *l, void (*done)(void *data), void *data)
{
	l->done = done;
	l->done_data = data;
	if (l->stopping)
		return;
	l->stopping = true;
	l->paused = false;
	if ((l->fd < 0 && !l->head) || !entry_add(l, LOG_STOP, NULL)) {
		finish(l);
		return;
	}
	child_start(l);
	pump(l);
}

struct logger *logger_free(struct logger *l)
{
	if (!l)
		return NULL;
	ev_io_stop(l->loop, &l->io);
	ev_timer_stop(l->loop, &l->restart);
	if (l->running)
		ev_child_stop(l->loop, &l->death);
	if (!l->stopped)
		ev_ref(l->loop);
	ev_async_stop(l->loop, &l->finished);
	close_fd(&l->fd);
	while (l->head)
		entry_remove(l, NULL);
	free(l);
	return NULL;
}
