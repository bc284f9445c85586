/* SPDX-License-Identifier: MIT */
/*
 * The loop's side of reading the past; see history.h. The child is slowed down by not reading from it: between two
 * batches, and while the peer has much to read already.
 */
#include "agent/history.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <infiniservice/cleanup.h>
#include <json-c/json.h>

#include "agent/agent.h"
#include "agent/helper.h"
#include "agent/history_child.h"
#include "agent/log/stamp.h"
#include "transport/addition.h"

#define BATCH_WAIT_S 0.5
/* Between two batches, so that a long history leaves room for everything else; and while the peer is slow. */
#define PACE_S	       0.02
#define CROWDED_S      0.1
#define READ_BYTES     65536
#define LINE_BYTES_MAX (ADDITION_SAMPLE_MAX + HISTORY_SEQ_DIGITS + 2)

struct bytes {
	char *at;
	size_t len, cap;
};

struct history {
	struct history *next; /* of the same session */
	struct session *session;
	struct command *command; /* NULL: asked for by Ack */
	struct history_wanted wanted;
	int fd;
	ev_io io;
	ev_timer wait; /* runs while a batch is incomplete */
	ev_timer pace; /* runs while nothing is read */
	struct bytes in, batch;
	unsigned items; /* in the batch */
	bool more;	/* the limit was reached */
	uint64_t sent, first_seq, last_seq;
};

static bool bytes_reserve(struct bytes *bytes, size_t more)
{
	size_t cap = bytes->cap ? bytes->cap : READ_BYTES;
	char *at;

	while (cap < bytes->len + more)
		cap *= 2;
	if (cap == bytes->cap)
		return true;
	at = realloc(bytes->at, cap);
	if (!at)
		return false;
	bytes->at = at;
	bytes->cap = cap;
	return true;
}

static void history_free(void *work)
{
	struct history *history = work, **at = &history->session->history;
	struct agent *agent = history->session->agent;

	while (*at != history)
		at = &(*at)->next;
	*at = history->next;
	ev_io_stop(agent->loop, &history->io);
	ev_timer_stop(agent->loop, &history->wait);
	ev_timer_stop(agent->loop, &history->pace);
	closep(&history->fd);
	free(history->in.at);
	free(history->batch.at);
	free(history);
	agent->histories--;
}

/* ------------------------------------------------------------------------------------------------------------ batches
 */

static void pause_for(struct history *history, double seconds)
{
	struct ev_loop *loop = history->session->agent->loop;

	ev_io_stop(loop, &history->io);
	ev_timer_stop(loop, &history->pace);
	ev_timer_set(&history->pace, seconds, 0);
	ev_timer_start(loop, &history->pace);
}

static void send_batch(struct history *history, bool last)
{
	struct agent *agent = history->session->agent;
	const char *id = history->command ? history->command->message.id : NULL;

	ev_timer_stop(agent->loop, &history->wait);
	if (addition_metrics_batch(&agent->writer, agent_now(agent).wall_ms, id, history->batch.at, history->batch.len,
				   last) == 0)
		session_answer(agent, history->session, LINE_REPLY);
	history->batch.len = 0;
	history->items = 0;
}

static void emit_summary(struct sink *out, const char *key, const void *arg)
{
	const struct history *history = arg;

	sink_object_begin(out, key);
	sink_uint(out, "count", history->sent);
	if (history->sent) {
		sink_uint(out, "first_seq", history->first_seq);
		sink_uint(out, "last_seq", history->last_seq);
	} else {
		sink_null(out, "first_seq");
		sink_null(out, "last_seq");
	}
	sink_bool(out, "more", history->more);
	sink_object_end(out);
}

/* `more`: the limit was reached, and there would have been another one. */
static void finish(struct history *history, bool more)
{
	send_batch(history, true);
	if (!history->command) {
		history_free(history);
		return;
	}
	history->more = more;
	command_succeed(history->command, emit_summary, history);
}

static void fail(struct history *history, const char *words)
{
	if (history->command)
		command_fail(history->command, CODE_INTERNAL, "log", "the log could not be read: %.300s", words);
	else
		history_free(history);
}

/* Does this sample still fit into the batch? */
static bool fits(const struct history *history, size_t len)
{
	return history->items == 0 ||
	       (history->items < HISTORY_BATCH_ITEMS && history->batch.len + len + 1 <= ADDITION_BATCH_MAX);
}

static bool add_sample(struct history *history, const char *json, size_t len, uint64_t seq)
{
	if (!bytes_reserve(&history->batch, len + 1))
		return false;
	if (history->items++)
		history->batch.at[history->batch.len++] = ',';
	else
		ev_timer_again(history->session->agent->loop, &history->wait);
	memcpy(history->batch.at + history->batch.len, json, len);
	history->batch.len += len;
	if (history->sent++ == 0)
		history->first_seq = seq;
	history->last_seq = seq;
	return true;
}

enum taken { TAKEN, TAKEN_LATER, TAKEN_END };

/* One line of the child. TAKEN_LATER: the batch has to go first; TAKEN_END: `history` is no more. */
static enum taken take_line(struct history *history, char *line, size_t len)
{
	char *json;
	uint64_t seq;

	line[len] = '\0';
	switch (*line) {
	case '.':
	case '+':
		finish(history, *line == '+');
		return TAKEN_END;
	case '!':
		fail(history, line + 1);
		return TAKEN_END;
	}
	seq = strtoull(line, &json, 10);
	if (*json != ' ') {
		fail(history, "its reader talks nonsense");
		return TAKEN_END;
	}
	json++;
	len -= (size_t)(json - line);
	if (!fits(history, len)) {
		json[-1] = ' ';
		json[len] = '\n';
		return TAKEN_LATER;
	}
	if (add_sample(history, json, len, seq))
		return TAKEN;
	fail(history, strerror(ENOMEM));
	return TAKEN_END;
}

/* Works through what has been read; false when `history` is no more. */
static bool pump(struct history *history)
{
	struct agent *agent = history->session->agent;
	char *at = history->in.at, *newline;

	while (history->in.len && (newline = memchr(at, '\n', history->in.len))) {
		size_t len = (size_t)(newline - at);

		if (session_crowded(history->session)) {
			pause_for(history, CROWDED_S);
			break;
		}
		switch (take_line(history, at, len)) {
		case TAKEN_END:
			return false;
		case TAKEN_LATER:
			send_batch(history, false);
			pause_for(history, PACE_S);
			break;
		case TAKEN:
			at += len + 1;
			history->in.len -= len + 1;
			continue;
		}
		break;
	}
	if (history->in.len)
		memmove(history->in.at, at, history->in.len);
	if (!ev_is_active(&history->pace))
		ev_io_start(agent->loop, &history->io);
	return true;
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
	struct history *history = io->data;
	ssize_t n;

	(void)loop;
	(void)events;
	if (history->in.len > LINE_BYTES_MAX || !bytes_reserve(&history->in, READ_BYTES + 1)) {
		fail(history, strerror(ENOMEM));
		return;
	}
	n = recv(history->fd, history->in.at + history->in.len, READ_BYTES, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		fail(history, "its reader died");
		return;
	}
	history->in.len += (size_t)n;
	pump(history);
}

static void on_pace(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)events;
	pump(timer->data);
}

static void on_wait(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct history *history = timer->data;

	(void)loop;
	(void)events;
	if (!session_crowded(history->session))
		send_batch(history, false);
}

/* ------------------------------------------------------------------------------------------------------------- start
 */

static int history_start(struct session *session, struct command *command, const struct history_wanted *wanted,
			 struct history **ret)
{
	struct agent *agent = session->agent;
	struct history *history = calloc(1, sizeof(*history));
	pid_t pid;
	int r;

	if (!history)
		return -ENOMEM;
	history->wanted = *wanted;
	r = helper_fork("infini-history", history_child, &history->wanted, SOCK_STREAM, &history->fd, &pid);
	if (r < 0) {
		free(history);
		return r;
	}
	history->session = session;
	history->command = command;
	history->next = session->history;
	session->history = history;
	agent->histories++;
	ev_io_init(&history->io, on_readable, history->fd, EV_READ);
	ev_timer_init(&history->wait, on_wait, 0, BATCH_WAIT_S);
	ev_timer_init(&history->pace, on_pace, 0, 0);
	history->io.data = history->wait.data = history->pace.data = history;
	ev_io_start(agent->loop, &history->io);
	*ret = history;
	return 0;
}

/* False when it is no time. A NULL leaves *ret as it is. */
static bool find_time(struct json_object *value, int64_t *ret)
{
	if (!value)
		return true;
	if (json_object_is_type(value, json_type_string))
		return stamp_parse(json_object_get_string(value), (size_t)json_object_get_string_len(value), ret);
	*ret = json_object_get_int64(value);
	return true;
}

enum action_result action_run_get_history(struct command *command)
{
	const struct message *message = &command->message;
	struct agent *agent = command->agent;
	struct history_wanted wanted = {
		.begin_ms = INT64_MIN,
		.end_ms = INT64_MAX,
		.from_seq = message->from_seq,
		.to_seq = UINT64_MAX,
		.limit = message->limit ? message->limit : HISTORY_LIMIT_DEFAULT,
		.interval_ms = message->interval_ms,
	};
	struct history *history;
	int r;

	snprintf(wanted.dir, sizeof(wanted.dir), "%s", agent->config.log.dir);
	if (!find_time(message->begin, &wanted.begin_ms) || !find_time(message->end, &wanted.end_ms)) {
		command_fail(command, CODE_INVALID_PARAMETERS, "bad_value",
			     "begin and end are RFC 3339 times or milliseconds since 1970");
	} else if (!agent->config.log.enabled) {
		command_fail(command, CODE_NOT_FOUND, "no_log", "this guest keeps no metric log (log.enabled)");
	} else if (agent->histories >= HISTORIES_MAX) {
		command_fail(command, CODE_QUEUE_FULL, "busy", "%d histories are being read already", HISTORIES_MAX);
	} else if ((r = history_start(command->session, command, &wanted, &history)) < 0) {
		command_fail(command, CODE_INTERNAL, "resource", "the log's reader could not be started: %s",
			     strerror(-r));
	} else {
		command->work = history;
		command->work_free = history_free;
		return ACTION_ASYNC;
	}
	return ACTION_TAKEN;
}

/* The hole lies between what the host holds and the first sample it was offered in this session. */
static void offer_gap(struct session *session, uint64_t seq)
{
	struct agent *agent = session->agent;
	struct history_wanted wanted = {
		.begin_ms = INT64_MIN,
		.end_ms = INT64_MAX,
		.from_seq = seq + 1,
		.to_seq = (session->first_seq ? session->first_seq : agent->next_seq) - 1,
		.limit = HISTORY_BACKFILL_MAX,
	};
	struct history *history;

	snprintf(wanted.dir, sizeof(wanted.dir), "%s", agent->config.log.dir);
	if (wanted.from_seq <= wanted.to_seq && agent->config.log.enabled && agent->histories < HISTORIES_MAX)
		history_start(session, NULL, &wanted, &history);
}

void history_ack(struct session *session, uint64_t seq)
{
	bool first = !session->acked;

	session->acked = true;
	if (seq > session->acked_seq)
		session->acked_seq = seq;
	if (first && seq < UINT64_MAX)
		offer_gap(session, seq);
}

void history_leave(struct session *session)
{
	while (session->history) {
		struct history *history = session->history;

		if (history->command)
			command_fail(history->command, CODE_CANCELLED, NULL, "who asked is gone");
		else
			history_free(history);
	}
}
