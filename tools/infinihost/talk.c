/* SPDX-License-Identifier: MIT */
#include "talk.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "tools/hub/parse.h"
#include "tools/hub/vm.h"
#include "tools/infinihost/dial.h"
#include "tools/infinihost/summary.h"
#include "tools/show/show.h"
#include "transport/envelope.h"
#include "transport/json_write.h"

#define SECRET_MAX    4096
#define PIPE_WAIT_MS  3000
#define CLOCK_WAIT_NS NS_PER_S
#define NONCE_SIZE    33

/*
 * The secret is the file's text without trailing white space, used verbatim as the key. A pipe, as a shell makes it of
 * a command, is waited for, but not for ever: a FIFO may have nobody at its other end.
 */
static int read_secret(const char *path, char **ret, struct err *e)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct pollfd wanted = { .fd = fd, .events = POLLIN };
	char text[SECRET_MAX];
	ssize_t len = -1;

	if (fd >= 0 && poll(&wanted, 1, PIPE_WAIT_MS) == 0)
		return err_set(e, -ETIMEDOUT, "%s: nobody has written a secret to this pipe", path);
	if (fd >= 0)
		len = read(fd, text, sizeof(text) - 1);
	if (len < 0)
		return err_set(e, -errno, "%s: %s", path,
			       errno == ENXIO ? "it is a socket, not a file" : strerror(errno));
	while (len > 0 && strchr(" \t\r\n", text[len - 1]))
		len--;
	text[len] = '\0';
	if (len == 0 || strlen(text) != (size_t)len)
		return err_set(e, -EINVAL, "%s: holds no secret", path);
	*ret = strdup(text);
	explicit_bzero(text, sizeof(text));
	return *ret ? 0 : err_set(e, -ENOMEM, "out of memory");
}

int talk_open(struct talk *talk, const struct host_options *options, int *ret_exit, struct err *e)
{
	int r;

	*talk = (struct talk){ .link = { .fd = -1, .listen_fd = -1 } };
	*ret_exit = HOST_USAGE;
	if (!options->vm && (!options->path || !*options->path))
		return err_set(e, -EINVAL, "say where the agent's port is: --vm NAME, --connect PATH or --listen PATH");
	r = options->secret_file ? read_secret(options->secret_file, &talk->secret, e) : 0;
	if (r < 0)
		return r;
	*ret_exit = HOST_NOT_CONNECTED;
	r = options->listening ? link_listen(&talk->link, options->path, e) : dial(&talk->link, options, e);
	if (r < 0) {
		talk_close(talk);
		return r;
	}
	if (r > 0 && talk->secret) { /* the hub signs, with the secret that it has */
		explicit_bzero(talk->secret, strlen(talk->secret));
		free(talk->secret);
		talk->secret = NULL;
	}
	return 0;
}

void talk_close(struct talk *talk)
{
	link_close(&talk->link);
	if (talk->secret)
		explicit_bzero(talk->secret, strlen(talk->secret));
	free(talk->secret);
	talk->secret = NULL;
}

static int64_t wall_ms(void)
{
	return (int64_t)(clock_ns(CLOCK_REALTIME) / NS_PER_MS);
}

/* The guest's clock, from the timestamp every message carries ("2026-01-02T03:04:05.678Z"). */
static void learn_clock(struct talk *talk, struct json_object *message)
{
	int64_t ms;

	if (rfc3339_parse(summary_find_text(message, "timestamp"), &ms) < 0)
		return;
	talk->clock_offset_ms = ms - wall_ms();
	talk->clock_known = true;
}

int talk_greet(struct talk *talk, uint64_t deadline_ns)
{
	uint64_t clock_until_ns = clock_ns(CLOCK_MONOTONIC) + CLOCK_WAIT_NS;
	int r = link_accept(&talk->link, deadline_ns);

	talk->greeted = false;
	if (r < 0)
		return r;
	r = link_send(&talk->link, "\n", 1, deadline_ns);
	talk->greeted = r >= 0;
	while (r >= 0 && talk->secret && !talk->clock_known) {
		struct talk_message first;

		r = talk_next(talk, -1, clock_until_ns < deadline_ns ? clock_until_ns : deadline_ns, &first);
		if (r == LINK_LINE)
			talk_message_done(&first);
		else if (r == -ETIMEDOUT) /* a quiet guest: our own clock has to do */
			return 0;
	}
	return r < 0 ? r : 0;
}

void talk_id(char out[TALK_ID_SIZE])
{
	vm_random_hex(out, TALK_ID_SIZE);
}

static int send_signed(struct talk *talk, const char *text, size_t len, uint64_t deadline_ns)
{
	size_t size = 6 * len + 4096; /* each byte of the payload may become \uXXXX */
	_cleanup_(freep) char *buffer = malloc(size);
	struct json_writer writer;
	char nonce[NONCE_SIZE];
	int r;

	if (!buffer)
		return -ENOMEM;
	json_writer_init(&writer, buffer, size);
	vm_random_hex(nonce, sizeof(nonce));
	r = envelope_sign(&writer, talk->secret, strlen(talk->secret), wall_ms() + talk->clock_offset_ms, nonce, text,
			  len);
	return r < 0 ? r : link_send(&talk->link, writer.buf, writer.len, deadline_ns);
}

int talk_send_text(struct talk *talk, const char *text, uint64_t deadline_ns)
{
	size_t len = strlen(text);
	_cleanup_(freep) char *line = NULL;

	if (talk->secret)
		return send_signed(talk, text, len, deadline_ns);
	line = malloc(len + 1);
	if (!line)
		return -ENOMEM;
	memcpy(line, text, len);
	line[len] = '\n';
	return link_send(&talk->link, line, len + 1, deadline_ns);
}

int talk_send(struct talk *talk, struct json_object *message, uint64_t deadline_ns)
{
	const char *text =
		json_object_to_json_string_ext(message, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);

	return text ? talk_send_text(talk, text, deadline_ns) : -ENOMEM;
}

int talk_next(struct talk *talk, int other_fd, uint64_t deadline_ns, struct talk_message *ret)
{
	char *line;
	size_t len;
	int r;

	while ((r = link_next(&talk->link, other_fd, deadline_ns, &line, &len)) == LINK_LINE) {
		struct json_object *object = line_parse(line, len);

		if (*summary_find_text(object, "type")) {
			learn_clock(talk, object);
			*ret = (struct talk_message){ .text = line, .len = len, .json = object };
			return LINK_LINE;
		}
		json_object_put(object);
		show(stderr, "infinihost: left out %zu bytes that are no message: ", len);
		show_cut(stderr, line, 60);
		show(stderr, "\n");
	}
	return r;
}

void talk_message_done(struct talk_message *message)
{
	json_object_put(message->json);
	*message = (struct talk_message){ 0 };
}

/* Codes of errors that concern an envelope: its payload may not have been read, so that they name no id. */
static bool refuses_envelope(const char *code)
{
	static const char *const codes[] = { "UNSIGNED", "BAD_SIGNATURE", "STALE", "REPLAYED" };

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (!strcmp(codes[i], code))
			return true;
	return false;
}

bool talk_refused(const struct talk *talk, struct json_object *message, const char *id)
{
	const char *code = summary_find_text(message, "details.code"),
		   *theirs = summary_find_text(message, "details.id");

	if (strcmp(summary_find_text(message, "type"), "error") != 0)
		return false;
	if (*theirs)
		return id && !strcmp(theirs, id);
	return refuses_envelope(code) || (talk->secret && !strcmp(code, "INVALID_MESSAGE"));
}

static bool answers(const struct talk *talk, struct json_object *message, const char *id)
{
	if (!strcmp(summary_find_text(message, "type"), "response"))
		return !strcmp(summary_find_text(message, "id"), id);
	return talk_refused(talk, message, id);
}

int talk_answer(struct talk *talk, const char *id, uint64_t deadline_ns, struct talk_message *ret)
{
	int r;

	while ((r = talk_next(talk, -1, deadline_ns, ret)) == LINK_LINE) {
		if (answers(talk, ret->json, id))
			break;
		talk_message_done(ret);
	}
	return r;
}

const char *talk_peer(const struct host_options *options)
{
	return options->vm ?: options->path;
}

int talk_explain(const struct host_options *options, int error, const char *waited_for)
{
	switch (error) {
	case -EINTR:
		return HOST_INTERRUPTED;
	case -ETIMEDOUT:
		show(stderr, "infinihost: %s: no %s in time%s\n", talk_peer(options), waited_for,
		     options->listening ? "" : " (a chardev serves one client at a time: is another connected?)");
		return HOST_TIMEOUT;
	case -ENOTCONN:
		show(stderr, "infinihost: %s: the connection was closed before the %s\n", talk_peer(options),
		     waited_for);
		return HOST_NOT_CONNECTED;
	default:
		show(stderr, "infinihost: %s: %s\n", talk_peer(options), strerror(-error));
		return HOST_FAILED;
	}
}
