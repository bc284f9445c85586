/* SPDX-License-Identifier: MIT */
/*
 * The peers of tests that play all of the agent but its commands: a host and local clients whose lines go through real
 * sessions to real commands (agent/command), with the lines that each was sent. commands_fixture.h and
 * actions_fixture.h build on it.
 */
#ifndef TESTS_PLAYED_PEERS_H
#define TESTS_PLAYED_PEERS_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <infiniservice/cleanup.h>

#include "agent/command/command.h"
#include "agent/peer/session.h"
#include "tests/fake_loop.h"

#define FIXTURE_LINES_MAX 512
#define FIXTURE_USERS_MAX 32

static struct loop loop;
static struct config config;
static struct secret no_secret;
static struct peers peers;
static struct audit audit;
static struct journal journal;
static struct commands commands;
static struct json_writer writer;
static char writer_text[256 << 10];

/* A peer, and the lines it was sent. */
struct peer {
	struct session session;
	char *lines[FIXTURE_LINES_MAX];
	unsigned count;
	bool refuses;	/* takes no line */
	size_t backlog; /* bytes it has not read yet */
};
static struct peer host, users[FIXTURE_USERS_MAX];

__attribute__((format(printf, 3, 4))) static inline void append(char *text, size_t size, const char *format, ...)
{
	size_t len = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + len, size - len, format, args);
	va_end(args);
}

static inline void on_message(void *data, struct session *session, struct message *message)
{
	(void)data;
	commands_submit(&commands, session, message);
}

static inline void on_gone(void *data, struct session *session, uint64_t before_ns)
{
	(void)data;
	commands_orphan_before(&commands, session, before_ns);
}

static inline void on_drained(void *data, struct session *session)
{
	(void)data;
	(void)session;
}

static inline void on_nonces(void *data, int error)
{
	(void)data;
	(void)error;
}

static inline int take_line(struct session *session, struct line *line)
{
	struct peer *peer = container_of(session, struct peer, session);

	if (peer->refuses)
		return -ENOBUFS;
	assert_true(peer->count < FIXTURE_LINES_MAX);
	peer->lines[peer->count++] = strndup(line->text, line->len);
	return 0;
}

static inline size_t backlog(const struct session *session)
{
	return ((const struct peer *)(const void *)((const char *)session - offsetof(struct peer, session)))->backlog;
}

static inline void peer_begin(struct peer *peer, enum session_kind kind, uid_t uid)
{
	session_init(&peer->session, &peers, kind, take_line);
	peer->session.uid = uid;
	peer->session.backlog = backlog;
	peer->session.backlog_max = 1000;
	snprintf(peer->session.name, sizeof(peer->session.name), kind == SESSION_PORT ? "host" : "uid %u",
		 (unsigned)uid);
}

/* It is gone; its lines stay to be looked at. */
static inline void peer_gone(struct peer *peer)
{
	session_done(&peer->session);
	memset(&peer->session, 0, sizeof(peer->session));
}

static inline void peer_done(struct peer *peer)
{
	session_done(&peer->session);
	for (unsigned i = 0; i < peer->count; i++)
		free(peer->lines[i]);
}

/* The one client of this user. */
static inline struct peer *user(uid_t uid)
{
	struct peer *peer = users;

	while (peer->session.peers && peer->session.uid != uid)
		peer++;
	assert_true(peer < users + FIXTURE_USERS_MAX);
	if (!peer->session.peers)
		peer_begin(peer, SESSION_LOCAL, uid);
	return peer;
}

__attribute__((format(printf, 2, 3))) static inline void say(struct peer *peer, const char *format, ...)
{
	char line[8192];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	assert_true(len > 0 && len < (int)sizeof(line) - 1);
	strcpy(line + len, "\n");
	session_receive(&peer->session, line, (size_t)len + 1);
}

static inline void cancel(struct peer *peer, const char *id, const char *target)
{
	say(peer, "{\"type\":\"CancelCommand\",\"id\":\"%s\",\"target_id\":\"%s\"}", id, target);
}

/* Of the ids in a line the first is its own. */
static inline bool line_is(const char *line, const char *type, const char *id)
{
	char type_text[64], id_text[160];
	const char *own = strstr(line, "\"id\":");

	snprintf(type_text, sizeof(type_text), "\"type\":\"%s\"", type);
	snprintf(id_text, sizeof(id_text), "\"id\":\"%s\"", id);
	return own && strstr(line, type_text) && strncmp(own, id_text, strlen(id_text)) == 0;
}

static inline unsigned lines_with(const struct peer *peer, const char *type, const char *id, const char **ret)
{
	unsigned count = 0;

	for (unsigned i = 0; i < peer->count; i++) {
		if (!line_is(peer->lines[i], type, id))
			continue;
		*ret = peer->lines[i];
		count++;
	}
	return count;
}

/* How many responses there have been to the id. */
static inline unsigned answers(const struct peer *peer, const char *id)
{
	const char *text;

	return lines_with(peer, "response", id, &text);
}

/* The one response to the id says so. */
static inline void answered(const struct peer *peer, const char *id, const char *part)
{
	const char *text = "";
	unsigned count = lines_with(peer, "response", id, &text);

	if (count != 1)
		fail_msg("%u responses to %s: %s", count, id, text);
	if (!strstr(text, part))
		fail_msg("'%s' is not in: %s", part, text);
}

/* ---------------------------------------------------------------------------------- the commands, and their time */

/* What is under way by this id; of several, the first. */
static inline struct command *find(const char *id)
{
	struct command *command = commands.first;

	while (command && (strcmp(command->message.id, id) != 0 || command->state == COMMAND_OVER))
		command = command->next;
	return command;
}

/* The rest of this turn of the loop. */
static inline void turn(void)
{
	pass_time(&loop, 0);
}

static inline void later(uint64_t ns)
{
	pass_time(&loop, ns);
}

static inline void set(const char *assignment)
{
	struct err e = { 0 };

	if (config_set(&config, assignment, &e) < 0)
		fail_msg("%s: %s", assignment, e.text);
}

#endif
