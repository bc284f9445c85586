/* SPDX-License-Identifier: MIT */
/*
 * Picks samples out of the log; see history_reader.h. Every sample is parsed before it is sent: a damaged file must not
 * damage a message.
 */
#include "agent/metrics/history_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <json-c/json.h>

#include "agent/log/reader.h"
#include "transport/addition.h"

#define DEPTH_MAX 32
/* Lines skipped between two checks whether the agent still wants samples. */
#define LOOK_EVERY 256

static int write_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

static int say(int fd, char sign, const char *words)
{
	char line[600];
	int len = snprintf(line, sizeof(line), "%c%.500s", sign, words);

	for (int i = 1; i < len; i++)
		if ((unsigned char)line[i] < 0x20)
			line[i] = ' ';
	line[len++] = '\n';
	return write_all(fd, line, (size_t)len);
}

/* True if the line is a sample as the agent writes them: ASCII, one object, of type metrics. */
static bool is_sample(struct json_tokener *tokener, const struct reader_line *line)
{
	struct json_object *root, *type = NULL;
	bool good;

	if (line->len == 0 || line->len > ADDITION_SAMPLE_MAX)
		return false;
	for (size_t i = 0; i < line->len; i++)
		if ((unsigned char)line->text[i] < 0x20 || (unsigned char)line->text[i] > 0x7e)
			return false;
	json_tokener_reset(tokener);
	root = json_tokener_parse_ex(tokener, line->text, (int)line->len);
	good = json_object_is_type(root, json_type_object) && json_object_object_get_ex(root, "type", &type) &&
	       json_object_is_type(type, json_type_string) && strcmp(json_object_get_string(type), "metrics") == 0 &&
	       json_tokener_get_parse_end(tokener) == line->len;
	json_object_put(root);
	return good;
}

static int pick(int fd, struct reader *reader, struct json_tokener *tokener, const struct history_wanted *wanted)
{
	int64_t due_ms = INT64_MIN;
	uint64_t picked = 0, looked = 0;
	struct pollfd agent = { .fd = fd, .events = POLLRDHUP };
	char head[HISTORY_SEQ_DIGITS + 2];
	struct reader_line line;
	int head_len;

	while (reader_next(reader, &line) > 0) {
		if (++looked % LOOK_EVERY == 0 && poll(&agent, 1, 0) == 1)
			return 0;
		if (line.seq < wanted->from_seq || line.seq > wanted->to_seq || line.wall_ms < due_ms ||
		    !is_sample(tokener, &line))
			continue;
		if (picked == wanted->limit)
			return say(fd, '+', "");
		head_len = snprintf(head, sizeof(head), "%" PRIu64 " ", line.seq);
		if (write_all(fd, head, (size_t)head_len) < 0 || write_all(fd, line.text, line.len) < 0 ||
		    write_all(fd, "\n", 1) < 0)
			return 0;
		picked++;
		if (wanted->interval_ms)
			due_ms = line.wall_ms + (int64_t)(wanted->interval_ms - wanted->interval_ms / 8);
	}
	return say(fd, '.', "");
}

int history_child(int fd, void *data)
{
	const struct history_wanted *wanted = data;
	struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
	struct reader *reader = NULL;
	struct err e = { 0 };
	int r = tokener ? reader_open_dir(wanted->dir, &reader, &e) : -ENOMEM;

	if (r == 0) {
		json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
		reader_range(reader, wanted->begin_ms, wanted->end_ms);
		r = pick(fd, reader, tokener, wanted);
	} else {
		say(fd, '!', *e.text ? e.text : strerror(-r));
	}
	reader_free(reader);
	if (tokener)
		json_tokener_free(tokener);
	return r < 0;
}
