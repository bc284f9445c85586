/* SPDX-License-Identifier: MIT */
#include "tools/infinictl/top_live.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/log/reader.h"
#include "agent/log/scan.h"
#include "tools/infinictl/ask.h"
#include "tools/infinictl/text.h"

/* Of one line of the agent, in bytes; a longer one ends the connection. */
#define LINE_MAX_BYTES	 (8u << 20)
#define CONNECT_EVERY_NS (2 * NS_PER_S)
#define SOURCE_SIZE	 600

struct live {
	const char *socket, *dir; /* borrowed */
	int64_t interval_ms;
	int fd; /* -1: the log */
	char *buffer;
	size_t len;
	struct reader *reader;	     /* of the log; NULL: it cannot be read, or the agent is connected */
	uint64_t connect_ns, ask_ns; /* when that is due */
	bool refused;		     /* the agent does not let us see samples: the log it is */
	char source[SOURCE_SIZE];
};

static void say(struct live *live, const char *what, const char *why)
{
	snprintf(live->source, sizeof(live->source), "%s%s", what, why);
}

static bool send_line(struct live *live, const char *line)
{
	size_t len = strlen(line);

	return send(live->fd, line, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len;
}

static void hang_up(struct live *live)
{
	if (live->fd >= 0)
		close(live->fd);
	live->fd = -1;
	live->len = 0;
}

/* From the newest line on. 0, or -errno with words. */
static int open_log(struct live *live, struct err *err)
{
	int64_t first, last;
	int rc;

	if (live->reader)
		return 0;
	rc = reader_open_dir(live->dir, &live->reader, err);
	if (rc)
		return rc;
	if (reader_times(live->reader, &first, &last))
		reader_range(live->reader, last, INT64_MAX);
	return 0;
}

static int connect_agent(struct live *live, struct err *err)
{
	live->fd = ask_connect(live->socket, err);
	if (live->fd < 0) {
		int rc = live->fd;

		live->fd = -1;
		return rc;
	}
	if (!send_line(live, "\n{\"type\":\"Subscribe\",\"id\":\"infinictl-top\",\"topics\":[\"metrics\"]}\n")) {
		hang_up(live);
		return err_set(err, -EPIPE, "%s: it takes nothing", live->socket);
	}
	live->reader = reader_free(live->reader);
	live->ask_ns = 0;
	say(live, "live", "");
	return 0;
}

int live_open(const char *socket, const char *dir, int64_t interval_ms, struct live **ret, struct err *err)
{
	struct live *live = calloc(1, sizeof(*live));
	struct err no_agent = { 0 }, no_log = { 0 };
	int rc;

	if (!live)
		return err_set(err, -ENOMEM, "out of memory");
	*live = (struct live){ .socket = socket, .dir = dir, .interval_ms = interval_ms, .fd = -1 };
	live->buffer = malloc(LINE_MAX_BYTES);
	if (!live->buffer) {
		live_free(live);
		return err_set(err, -ENOMEM, "out of memory");
	}
	if (!socket || connect_agent(live, &no_agent)) {
		rc = open_log(live, &no_log);
		if (rc) {
			live_free(live);
			return err_set(err, rc, "%.240s%s%.240s", no_agent.text, socket ? "; " : "", no_log.text);
		}
		say(live, socket ? "no agent, the log: " : "the log: ", dir);
	}
	*ret = live;
	return 0;
}

struct live *live_free(struct live *live)
{
	if (!live)
		return NULL;
	hang_up(live);
	reader_free(live->reader);
	free(live->buffer);
	free(live);
	return NULL;
}

int live_fd(const struct live *live)
{
	return live->fd;
}

const char *live_source(const struct live *live)
{
	return live->source;
}

/* ------------------------------------------------------------------------------------------------------- the agent */

/* Keeps a sample in *ret; takes note of a refusal. */
static void take_message(struct live *live, const char *line, size_t len, struct json_object **ret, int64_t *ret_ms)
{
	_cleanup_(text_putp) struct json_object *message = text_parse(line, len);
	const char *type = text_string(message, "type"), *stamp = text_string(message, "timestamp");
	int64_t wall_ms;

	if (!strcmp(type, "metrics") && stamp_parse(stamp, strlen(stamp), &wall_ms)) {
		json_object_put(*ret);
		*ret = TAKE_PTR(message);
		*ret_ms = wall_ms;
	} else if (!strcmp(type, "response") && !json_object_get_boolean(text_member(message, "success", NULL))) {
		live->refused = true;
		say(live, "the agent refuses: ", text_string(message, "error"));
	}
}

static void take_lines(struct live *live, struct json_object **ret, int64_t *ret_ms)
{
	char *at = live->buffer, *end = at + live->len, *newline;

	while ((newline = memchr(at, '\n', (size_t)(end - at)))) {
		take_message(live, at, (size_t)(newline - at), ret, ret_ms);
		at = newline + 1;
	}
	live->len = (size_t)(end - at);
	memmove(live->buffer, at, live->len);
}

/* False: the connection is over. */
static bool receive(struct live *live, struct json_object **ret, int64_t *ret_ms)
{
	for (;;) {
		ssize_t got = recv(live->fd, live->buffer + live->len, LINE_MAX_BYTES - live->len, MSG_DONTWAIT);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return true;
		if (got <= 0)
			return false;
		live->len += (size_t)got;
		take_lines(live, ret, ret_ms);
		if (live->len == LINE_MAX_BYTES)
			return false;
	}
}

static void ask_again(struct live *live, uint64_t mono_ns)
{
	if (live->interval_ms == 0 || mono_ns < live->ask_ns)
		return;
	live->ask_ns = mono_ns + (uint64_t)live->interval_ms * NS_PER_MS;
	send_line(live, "{\"type\":\"Metrics\"}\n"); /* what does not fit is asked for the next time */
}

/* --------------------------------------------------------------------------------------------------------- the log */

static void read_log(struct live *live, struct json_object **ret, int64_t *ret_ms)
{
	struct reader_line line;

	while (reader_next(live->reader, &line) == 1) {
		struct json_object *message = text_parse(line.text, line.len);

		if (strcmp(text_string(message, "type"), "metrics") != 0) {
			json_object_put(message);
			continue;
		}
		json_object_put(*ret);
		*ret = message;
		*ret_ms = line.wall_ms;
	}
}

/* Without an agent: the log, and from time to time a try whether there is one again. */
static void take_from_log(struct live *live, uint64_t mono_ns, struct json_object **ret, int64_t *ret_ms)
{
	struct err err = { 0 };

	if (live->socket && !live->refused && mono_ns >= live->connect_ns) {
		live->connect_ns = mono_ns + CONNECT_EVERY_NS;
		if (connect_agent(live, &err) == 0)
			return;
		if (open_log(live, &err))
			say(live, "no agent; ", err.text);
		else
			say(live, "no agent, the log: ", live->dir);
	} else if (!live->reader && open_log(live, &err)) {
		return;
	}
	if (live->reader)
		read_log(live, ret, ret_ms);
}

int live_take(struct live *live, uint64_t mono_ns, struct json_object **ret, int64_t *ret_ms)
{
	*ret = NULL;
	if (live->fd >= 0 && (!receive(live, ret, ret_ms) || live->refused)) {
		hang_up(live);
		live->connect_ns = mono_ns;
	}
	if (live->fd >= 0)
		ask_again(live, mono_ns);
	else
		take_from_log(live, mono_ns, ret, ret_ms);
	return *ret != NULL;
}
