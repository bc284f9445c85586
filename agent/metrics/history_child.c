/* SPDX-License-Identifier: MIT */
/*
 * Picks samples out of the log; see history_reader.h. Every sample is parsed before it is sent: a damaged file must not
 * damage a message. A batch may begin with any of them, and its reader may have none before it: so each goes out as it
 * is and filled in from the whole sample before it, which is looked for before the span where there is none at its
 * begin.
 */
#include "agent/metrics/history_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <json-c/json.h>

#include <infiniservice/cleanup.h>

#include "agent/log/reader.h"
#include "agent/metrics/fill.h"
#include "transport/addition.h"
#include "transport/json_write.h"

#define DEPTH_MAX 32
#define HEAD_MAX  512 /* of a line, in which it says that it is whole */
#define HOUR_MS	  (60 * 60 * INT64_C(1000))
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

/* A line as the agent writes samples: ASCII, one object, of type metrics. Else NULL. */
static struct json_object *parse_sample(struct json_tokener *tokener, const char *text, size_t len)
{
	struct json_object *root, *type = NULL;

	if (len == 0 || len > ADDITION_SAMPLE_MAX)
		return NULL;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || (unsigned char)text[i] > 0x7e)
			return NULL;
	json_tokener_reset(tokener);
	root = json_tokener_parse_ex(tokener, text, (int)len);
	if (json_object_is_type(root, json_type_object) && json_object_object_get_ex(root, "type", &type) &&
	    json_object_is_type(type, json_type_string) && strcmp(json_object_get_string(type), "metrics") == 0 &&
	    json_tokener_get_parse_end(tokener) == len)
		return root;
	json_object_put(root);
	return NULL;
}

/* ---------------------------------------------------------------------------------------------------- whole samples */

struct past {
	const struct history_wanted *wanted;
	struct json_tokener *tokener;
	struct json_object *whole; /* the last whole sample; NULL: none, or text has it */
	char *text;		   /* its line, not parsed yet */
	bool looked;		   /* before the span */
	char *filled;		   /* room for a line */
};

static void past_done(struct past *past)
{
	json_object_put(past->whole);
	free(past->text);
	free(past->filled);
}

/* Remembers a line that says that it is whole. */
static void past_see(struct past *past, const struct reader_line *line)
{
	static const char key[] = "\"whole\":true";
	char *text;

	if (!memmem(line->text, line->len < HEAD_MAX ? line->len : HEAD_MAX, key, sizeof(key) - 1))
		return;
	text = strdup(line->text);
	if (!text)
		return;
	free(past->text);
	past->text = text;
}

/* The last whole sample before the span is not far, if the samples were not far apart. */
static void past_look_back(struct past *past, int64_t before_ms)
{
	past->looked = true;
	for (int64_t hours = 2; hours <= 200 && !past->text; hours *= 10) {
		struct reader *reader = NULL;
		struct reader_line line;

		if (reader_open_dir(past->wanted->dir, &reader, NULL) < 0)
			return;
		reader_range(reader, before_ms - hours * HOUR_MS, before_ms);
		while (reader_next(reader, &line) > 0)
			past_see(past, &line);
		reader_free(reader);
	}
}

/* Fills the sample in and writes it anew. False when there is nothing to fill it from, or no memory. */
static bool past_fill(struct past *past, struct json_object *sample, int64_t wall_ms, const char **ret_text,
		      size_t *ret_len)
{
	struct json_writer writer;

	if (!past->whole && !past->text && !past->looked)
		past_look_back(past, wall_ms);
	if (past->text) {
		json_object_put(past->whole);
		past->whole = parse_sample(past->tokener, past->text, strlen(past->text));
		free(past->text);
		past->text = NULL;
	}
	if (!past->filled)
		past->filled = malloc(ADDITION_SAMPLE_MAX);
	if (!past->whole || !past->filled || fill_sample(sample, past->whole) < 0)
		return false;
	json_writer_init(&writer, past->filled, ADDITION_SAMPLE_MAX);
	json_write_object(&writer.sink, NULL, sample);
	if (json_writer_finish(&writer, ret_text, ret_len) < 0)
		return false;
	--*ret_len; /* without the '\n' */
	return true;
}

/* ------------------------------------------------------------------------------------------------------------- lines
 */

/* `first`: what the line begins with. */
static int put_line(int fd, const char *first, const char *text, size_t len)
{
	return write_all(fd, first, strlen(first)) < 0 || write_all(fd, text, len) < 0 || write_all(fd, "\n", 1) < 0
		       ? -1
		       : 0;
}

/* 1: written, 0: no sample, -1: nobody reads any more. */
static int put_sample(int fd, struct past *past, const struct reader_line *line)
{
	struct json_object *sample = parse_sample(past->tokener, line->text, line->len);
	char seq[HISTORY_SEQ_DIGITS + 2];
	const char *text;
	size_t len;
	int r = 0;

	if (!sample)
		return 0;
	snprintf(seq, sizeof(seq), "%" PRIu64 " ", line->seq);
	if (!fill_is_whole(sample) && past_fill(past, sample, line->wall_ms, &text, &len))
		r = put_line(fd, "=", text, len);
	json_object_put(sample);
	if (r == 0)
		r = put_line(fd, seq, line->text, line->len);
	return r < 0 ? -1 : 1;
}

static int pick(int fd, struct reader *reader, struct past *past)
{
	const struct history_wanted *wanted = past->wanted;
	struct pollfd agent = { .fd = fd, .events = POLLRDHUP };
	uint64_t picked = 0, looked = 0;
	int64_t due_ms = INT64_MIN;
	struct reader_line line;

	while (reader_next(reader, &line) > 0) {
		int r;

		if (++looked % LOOK_EVERY == 0 && poll(&agent, 1, 0) == 1)
			return 0;
		past_see(past, &line);
		if (line.seq < wanted->from_seq || line.seq > wanted->to_seq || line.wall_ms < due_ms)
			continue;
		if (picked == wanted->limit) {
			struct json_object *further = parse_sample(past->tokener, line.text, line.len);

			if (!further)
				continue;
			json_object_put(further);
			return say(fd, '+', "");
		}
		r = put_sample(fd, past, &line);
		if (r < 0)
			return 0;
		picked += r > 0;
		if (r > 0 && wanted->interval_ms)
			due_ms = line.wall_ms + (int64_t)(wanted->interval_ms - wanted->interval_ms / 8);
	}
	return say(fd, '.', "");
}

int history_child(int fd, void *data)
{
	const struct history_wanted *wanted = data;
	struct json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
	struct past past = { .wanted = wanted, .tokener = tokener };
	struct reader *reader = NULL;
	struct err e = { 0 };
	int r = tokener ? reader_open_dir(wanted->dir, &reader, &e) : -ENOMEM;

	if (r == 0) {
		json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
		reader_range(reader, wanted->begin_ms, wanted->end_ms);
		r = pick(fd, reader, &past);
	} else {
		say(fd, '!', *e.text ? e.text : strerror(-r));
	}
	reader_free(reader);
	past_done(&past);
	if (tokener)
		json_tokener_free(tokener);
	return r < 0;
}
