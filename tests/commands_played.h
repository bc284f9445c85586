/* SPDX-License-Identifier: MIT */
/*
 * What is played around the commands of tests/commands_fixture.h: the actions, the runner, those above the commands
 * (their hooks), and the peers with all that they were sent.
 */
#ifndef TESTS_COMMANDS_PLAYED_H
#define TESTS_COMMANDS_PLAYED_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include <infiniservice/cleanup.h>

#include "agent/base/report.h"
#include "agent/command/batch.h"
#include "agent/command/command.h"
#include "agent/command/queue.h"
#include "agent/command/stream.h"
#include "agent/peer/session.h"
#include "agent/run/exec.h"
#include "tests/fake_loop.h"
#include "transport/addition.h"

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

/* What the hooks answer, and what they were told. */
static struct {
	char folder[32], audit_path[64];
	int audit_fd;
	ev_prepare prepare;
	bool host_is_slow, bus_is_missing;
	char told[16384];     /* "ID STATE;" of each change */
	char recorded[65536]; /* fields of the audit's records, each a line */
	unsigned begun, over; /* runs of actions; commands that were over */
	unsigned work_begun, work_freed;
	unsigned resumed;	   /* answers that went to deliver_resumed */
	unsigned adopted, refused; /* not received as a message; received, and given back to the caller */
	unsigned left;		   /* without an answer */
} seen;

/* ------------------------------------------------------------------------------------------------------ the runner */

struct exec_job {
	bool cancelled;
	uint64_t grace_ns;
};

/* Instead of that of agent/run. */
void exec_cancel(struct exec_job *job, uint64_t grace_ns)
{
	job->cancelled = true;
	job->grace_ns = grace_ns;
}

/* The program of the command is dead; that it ended by itself or not is the caller's story. */
static inline void job_dead(struct command *command)
{
	free(command->job);
	command->job = NULL;
	command->detached = false;
}

/* ----------------------------------------------------------------------------------------------------- the actions */

static inline void work_free(void *work)
{
	seen.work_freed++;
	free(work);
}

static inline void begin_work(struct command *command)
{
	seen.begun++;
	if (command->work)
		return;
	command->work = malloc(1);
	command->work_free = work_free;
	seen.work_begun++;
}

/* Goes on by itself: the test ends it. */
static inline void run_async(struct command *command)
{
	begin_work(command);
}

static inline void run_at_once(struct command *command)
{
	seen.begun++;
	command_succeed(command, NULL, NULL);
}

static inline void run_failing(struct command *command)
{
	begin_work(command);
	command_fail(command, CODE_COMMAND_FAILED, NULL, "exit code 1");
}

static inline void run_waiting(struct command *command)
{
	seen.begun++;
	command_wait(command);
}

static inline void run_program(struct command *command)
{
	begin_work(command);
	deadline_stop(&command->timer);
	stream_begin(command);
	command->job = calloc(1, sizeof(*command->job));
}

static inline void run_cancel(struct command *command)
{
	struct command *target = commands_find(&commands, command->session, command->message.target_id);

	if (!target) {
		command_fail(command, CODE_NOT_FOUND, "not_found", "no such command");
		return;
	}
	command_cancel(target, "cancelled before it was started");
	command_succeed(command, NULL, NULL);
}

static inline void emit_status(struct sink *out, const char *key, const void *arg)
{
	(void)arg;
	sink_object_begin(out, key);
	commands_report(&commands, out);
	sink_object_end(out);
}

static inline void run_status(struct command *command)
{
	command_succeed(command, emit_status, NULL);
}

/* With the parameter `look` it only observes. */
static inline enum policy_group group_of_either(const struct message *message)
{
	return message_param(message, "look") ? GROUP_OBSERVE : GROUP_CONTROL;
}

static const struct action played[] = {
	{ .name = "Ask", .run = run_at_once },
	{ .name = "Wait", .run = run_waiting },
	{ .name = "Call", .run = run_async },
	{ .name = "CallProgram", .run = run_program },
	{ .name = "CallBus", .bus = true, .run = run_async },
	{ .name = "WaitBus", .bus = true, .run = run_waiting },
	{ .name = "Look", .slot = true, .run = run_async },
	{ .name = "Control", .group = GROUP_CONTROL, .slot = true, .run = run_async },
	{ .name = "Bus", .group = GROUP_CONTROL, .slot = true, .bus = true, .run = run_async },
	{ .name = "Fail", .group = GROUP_CONTROL, .slot = true, .run = run_failing },
	{ .name = "Program", .group = GROUP_CONTROL, .slot = true, .timeout_s = 100, .run = run_program },
	{ .name = "LookProgram", .slot = true, .run = run_program },
	{ .name = "Either", .group = GROUP_CONTROL, .group_of = group_of_either, .slot = true, .run = run_async },
	{ .name = "Package", .group = GROUP_PACKAGES, .slot = true, .run = run_async },
	{ .name = "Power", .group = GROUP_POWER, .slot = true, .run = run_async },
	{ .name = "unsafe",
	  .type = MESSAGE_UNSAFE_COMMAND,
	  .group = GROUP_EXEC,
	  .slot = true,
	  .slots = SLOTS_SCRIPTS,
	  .run = run_async },
	{ .name = "CancelCommand", .type = MESSAGE_CANCEL_COMMAND, .always = true, .run = run_cancel },
	{ .name = "Status", .type = MESSAGE_STATUS, .run = run_status },
};
static const char *const foreign[] = { "Windows", NULL };
static const struct action *rows[ARRAY_SIZE(played) + 1] = { &action_command_batch };
static const struct action_table table = { .rows = rows, .count = ARRAY_SIZE(rows), .foreign = foreign };

/* ------------------------------------------------------------------------------------------------------- the hooks */

static inline bool host_reads(void *data)
{
	(void)data;
	return !seen.host_is_slow;
}

static inline bool ready(void *data, const struct action *action)
{
	(void)data;
	return !action->bus || !seen.bus_is_missing;
}

__attribute__((format(printf, 3, 4))) static inline void append(char *text, size_t size, const char *format, ...)
{
	size_t len = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + len, size - len, format, args);
	va_end(args);
}

static inline void on_changed(void *data, const struct addition_command *told)
{
	(void)data;
	append(seen.told, sizeof(seen.told), "%s %s;", told->id, told->state);
}

static inline void deliver_resumed(void *data, struct command *command)
{
	(void)data;
	(void)command;
	seen.resumed++;
}

static inline void on_over(void *data, struct command *command)
{
	(void)data;
	(void)command;
	seen.over++;
}

/* ------------------------------------------------------------------------------------------------------- the peers */

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

/* `more`: further members of the message, each with a comma before it. */
static inline void ask_with(struct peer *peer, const char *action, const char *id, const char *more)
{
	say(peer, "{\"type\":\"SafeCommand\",\"id\":\"%s\",\"command_type\":{\"action\":\"%s\"}%s}", id, action, more);
}

static inline void ask(struct peer *peer, const char *action, const char *id)
{
	ask_with(peer, action, id, "");
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

#endif
