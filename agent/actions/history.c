/* SPDX-License-Identifier: MIT */
/* The histories of the sessions, and their limits; see history.h. */
#include "agent/actions/history.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniservice/cleanup.h>
#include <json-c/json.h>

#include "agent/actions/env.h"
#include "agent/actions/table.h"
#include "agent/peer/session.h"
#include "agent/metrics/history_reader.h"
#include "agent/log/scan.h"
#include "transport/addition.h"

/*
 * Time until the gap is tried again: without room (of the host, of a local client), or after a failure, doubled each
 * time.
 */
#define ROOM_NS		  (200 * NS_PER_MS)
#define ROOM_LOCAL_NS	  (2 * NS_PER_S)
#define AGAIN_NS	  NS_PER_S
#define AGAIN_DOUBLED_MAX 6
/* Bytes of a batch around its samples, its id included. */
#define BATCH_FRAME 1024

struct history {
	struct history *next; /* in env->histories */
	struct session *session;
	struct command *command;       /* NULL: asked for by Ack */
	struct history_reader *reader; /* NULL: reading is over */
	bool more;		       /* the limit was reached */
};

static struct action_env *env_of(const struct session *session)
{
	return session->past->env;
}

/* Ends the reading and sending of a history and frees its place. */
static void history_close(struct history *history)
{
	struct history **at;

	/* Of a closed history the session may be gone. */
	if (!history->reader)
		return;
	for (at = &env_of(history->session)->histories; *at != history; at = &(*at)->next)
		continue;
	*at = history->next;
	if (history->session->past->gap.reading == history)
		history->session->past->gap.reading = NULL;
	history->reader = history_reader_free(history->reader);
}

static void history_free(void *work)
{
	struct history *history = work;

	history_close(history);
	free(history);
}

/* ---- the peer's gap: what is still to be offered shrinks, and is tried again */

static void gap_advance(struct history_gap *gap, uint64_t seq)
{
	if (seq >= gap->from)
		gap->from = seq + 1;
	if (gap->from > gap->to)
		gap->to = 0;
}

static void gap_try_in(struct session *session, uint64_t delay_ns)
{
	if (session->past->gap.to)
		deadline_after(&session->past->gap.again, delay_ns);
}

/* ---------------------------------------------------------------------------------------------------------- shares */

static bool is_same_source(const struct session *a, const struct session *b)
{
	return a->kind == b->kind && (a->kind == SESSION_PORT || a->uid == b->uid);
}

/* Each source has places of its own. Root counts as a user, but not against the limit of all users. */
static bool has_room(const struct session *session)
{
	unsigned own = 0, users = 0;

	for (const struct history *history = env_of(session)->histories; history; history = history->next) {
		own += is_same_source(history->session, session);
		users += history->session->kind == SESSION_LOCAL && history->session->uid != 0;
	}
	if (session->kind == SESSION_PORT)
		return own < HISTORIES_HOST;
	return own < HISTORIES_USER && (session->uid == 0 || users < HISTORIES_USERS);
}

/*
 * For a user (not root) without a history: the oldest history of another user whose client does not read loses its
 * place. The rest of a gap is offered when there is room again and the peer reads.
 */
static void make_room(const struct session *session)
{
	struct history *unread = NULL;
	struct session *other;

	if (has_room(session) || session->kind != SESSION_LOCAL || session->uid == 0)
		return;
	for (struct history *history = env_of(session)->histories; history; history = history->next) {
		if (is_same_source(history->session, session))
			return;
		if (history->session->kind == SESSION_LOCAL && history->session->uid != 0 &&
		    session_crowded(history->session))
			unread = history;
	}
	if (!unread)
		return;
	if (unread->command) {
		command_fail(unread->command, CODE_QUEUE_FULL, "busy",
			     "it was not read, and its place was given to another user");
		history_close(unread);
		return;
	}
	other = unread->session;
	gap_advance(&other->past->gap, history_reader_read(unread->reader).delivered_seq);
	history_free(unread);
	gap_try_in(other, ROOM_LOCAL_NS);
}

/* --------------------------------------------------------------------------------------------------------- batches */

static bool on_batch(void *data, const char *samples, size_t len, bool last)
{
	struct history *history = data;
	struct session *session = history->session;
	struct json_writer *writer = session->peers->writer;
	const char *id = history->command ? history->command->message.id : NULL;
	struct line *line;
	bool sent;

	if (addition_metrics_batch(writer, env_of(session)->loop->now.wall_ms, id, samples, len, last) < 0)
		return false;
	line = line_new(LINE_BULK, writer->buf, writer->len);
	sent = line && session->send(session, line) == 0;
	session->answers_lost += !sent;
	line_unref(line);
	return sent;
}

static bool on_crowded(void *data)
{
	const struct history *history = data;

	return session_crowded(history->session);
}

static void emit_summary(struct sink *out, const char *key, const void *arg)
{
	const struct history *history = arg;
	struct history_read read = history_reader_read(history->reader);

	sink_object_begin(out, key);
	sink_uint(out, "count", read.count);
	if (read.count) {
		sink_uint(out, "first_seq", read.first_seq);
		sink_uint(out, "last_seq", read.last_seq);
	} else {
		sink_null(out, "first_seq");
		sink_null(out, "last_seq");
	}
	sink_bool(out, "more", history->more);
	sink_object_end(out);
}

/* Schedules the next try, with back-off. */
static void gap_pause(struct session *session)
{
	struct history_gap *gap = &session->past->gap;
	unsigned doubled = gap->failures < AGAIN_DOUBLED_MAX ? gap->failures : AGAIN_DOUBLED_MAX;

	gap->failures++;
	gap_try_in(session, AGAIN_NS << doubled);
}

/* The host is told of the first failure in a row only. */
static void gap_failed(struct session *session, const char *words)
{
	struct history_gap *gap = &session->past->gap;
	struct action_env *env = env_of(session);
	char text[320];

	if (gap->to == 0)
		return;
	if (gap->failures == 0 && session->kind == SESSION_PORT) {
		snprintf(text, sizeof(text), "samples %llu to %llu cannot be offered now, and will be later: %.200s",
			 (unsigned long long)gap->from, (unsigned long long)gap->to, words);
		env->event(env->data, REPLY_WARN, "history", text);
	}
	gap_pause(session);
}

static void on_ended(void *data, bool more, const char *error)
{
	struct history *history = data;
	struct session *session = history->session;
	struct history_gap *gap = &session->past->gap;
	struct logger_stats log = logger_stats(env_of(session)->logger);
	bool behind = !history->command && log.queued > 0 && log.last_seq < gap->to;

	if (!error && !history_reader_flush(history->reader, history->command || (!more && !behind)))
		error = HISTORY_NOT_TAKEN;
	if (history->command) {
		history->more = more;
		if (error)
			command_fail(history->command, CODE_INTERNAL, "log", "the log could not be read: %.300s",
				     error);
		else
			command_succeed(history->command, emit_summary, history);
		history_close(history);
		return;
	}
	/* The offered part of a gap is done; samples that are not in the log yet are offered later. */
	gap_advance(gap, history_reader_read(history->reader).delivered_seq);
	if (error)
		gap_failed(session, error); /* the words may be the history's own */
	else if (behind)
		gap_pause(session);
	history_free(history);
	if (error || behind)
		return;
	gap->failures = 0;
	if (more)
		gap_try_in(session, HISTORY_PACE_NS);
	else
		gap->to = 0;
}

/* ----------------------------------------------------------------------------------------------------------- start */

static void offer_gap(void *data);

/* NULL: out of memory. */
static struct past *past_of(struct action_env *env, struct session *session)
{
	if (!session->past) {
		session->past = calloc(1, sizeof(*session->past));
		if (!session->past)
			return NULL;
		session->past->env = env;
		deadline_init(&session->past->gap.again, env->loop, offer_gap, session);
	}
	return session->past;
}

static int history_start(struct session *session, struct command *command, const struct history_wanted *wanted,
			 struct history **ret)
{
	struct action_env *env = env_of(session);
	size_t line = session->peers->writer->cap - BATCH_FRAME;
	struct history_reader_config config = {
		.loop = env->loop,
		.batch_bytes = line < ADDITION_BATCH_MAX ? line : ADDITION_BATCH_MAX,
		.crowded = on_crowded,
		.batch = on_batch,
		.ended = on_ended,
	};
	struct history *history = calloc(1, sizeof(*history));
	int r;

	if (!history)
		return -ENOMEM;
	config.data = history;
	r = history_reader_new(&config, wanted, &history->reader);
	if (r < 0) {
		free(history);
		return r;
	}
	history->session = session;
	history->command = command;
	history->next = env->histories;
	env->histories = history;
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

static void run_get_history(struct command *command)
{
	const struct message *message = &command->message;
	struct action_env *env = command_env(command);
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

	if (!past_of(env, command->session)) {
		command_fail(command, CODE_INTERNAL, "no_memory", "out of memory");
		return;
	}
	make_room(command->session);
	snprintf(wanted.dir, sizeof(wanted.dir), "%s", env->config->log.dir);
	if (!find_time(message->begin, &wanted.begin_ms) || !find_time(message->end, &wanted.end_ms)) {
		command_fail(command, CODE_INVALID_PARAMETERS, "bad_value",
			     "begin and end are RFC 3339 times or milliseconds since 1970");
	} else if (!env->config->log.enabled) {
		command_fail(command, CODE_NOT_FOUND, "no_log", "this guest keeps no metric log (log.enabled)");
	} else if (!has_room(command->session)) {
		command_fail(command, CODE_QUEUE_FULL, "busy",
			     command->session->kind == SESSION_PORT
				     ? "four histories are being read for the host already"
				     : "a history is being read for this user already, or four for all users");
	} else if ((r = history_start(command->session, command, &wanted, &history)) < 0) {
		command_fail(command, CODE_INTERNAL, "resource", "the log's reader could not be started: %s",
			     strerror(-r));
	} else {
		command->work = history;
		command->work_free = history_free;
	}
}

/* -------------------------------------------------------------------------------------------------- what is missed */

/* Samples up to the peer's Ack are not offered. */
static void offer_gap(void *data)
{
	struct session *session = data;
	struct action_env *env = env_of(session);
	struct history_gap *gap = &session->past->gap;
	struct history_wanted wanted = {
		.begin_ms = INT64_MIN,
		.end_ms = INT64_MAX,
		.to_seq = gap->to,
		.limit = HISTORY_BACKFILL_MAX,
	};
	int r;

	gap_advance(gap, session->past->acked_seq);
	if (gap->to == 0 || gap->reading)
		return;
	if (!env->config->log.enabled) {
		gap->to = 0; /* a fault that stands says that no log is kept; that lasts until the next start */
		return;
	}
	wanted.from_seq = gap->from;
	snprintf(wanted.dir, sizeof(wanted.dir), "%s", env->config->log.dir);
	make_room(session);
	/* A local client that does not read gets no place, which another user could use. */
	if (!has_room(session) || (session->kind == SESSION_LOCAL && session_crowded(session))) {
		gap_try_in(session, session->kind == SESSION_PORT ? ROOM_NS : ROOM_LOCAL_NS);
		return;
	}
	r = history_start(session, NULL, &wanted, &gap->reading);
	if (r < 0)
		gap_failed(session, strerror(-r));
}

/* The hole lies between what the host holds and the first sample it was offered in this session. */
void history_ack(struct action_env *env, struct session *session, uint64_t seq)
{
	struct past *past = past_of(env, session);
	bool first = past && !past->acked;

	if (!past)
		return;
	past->acked = true;
	if (seq > past->acked_seq)
		past->acked_seq = seq;
	if (!first || seq == UINT64_MAX)
		return;
	past->gap.from = seq + 1;
	past->gap.to = (session->first_seq ? session->first_seq : sampling_stats(env->sampling).next_seq) - 1;
	past->gap.failures = 0;
	offer_gap(session);
}

void history_forget_ack(struct session *session)
{
	struct past *past = session->past;

	if (!past)
		return;
	past->acked = false;
	past->acked_seq = 0;
	past->gap.to = 0;
	deadline_stop(&past->gap.again);
	if (past->gap.reading)
		history_free(past->gap.reading);
}

bool history_acked(const struct session *session)
{
	return session->past && session->past->acked;
}

/* Ending one history may end others, as members of the same batch: the list is looked at anew then. */
void history_leave(struct session *session, uint64_t before_ns)
{
	struct history *history = session->past ? env_of(session)->histories : NULL;

	while (history) {
		if (history->session != session || !history->command || history->command->received_ns >= before_ns) {
			history = history->next;
			continue;
		}
		command_fail(history->command, CODE_CANCELLED, NULL, "who asked is gone");
		history_close(history);
		history = env_of(session)->histories;
	}
}

void history_end(struct session *session)
{
	history_leave(session, UINT64_MAX);
	history_forget_ack(session);
	free(session->past);
	session->past = NULL;
}

const struct action action_get_history = { .name = "GetHistory",
					   .type = MESSAGE_GET_HISTORY,
					   .group = GROUP_OBSERVE,
					   .timeout_s = 300 /* reading the log takes as long as the log is large */,
					   .run = run_get_history };
