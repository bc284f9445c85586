/* SPDX-License-Identifier: MIT */
/*
 * `raw`: sends lines to the agent as given, and shows its lines as they come. It ends when every line that asks for an
 * answer has got one (a response, an error or a keep_alive), or when the time for the last one is over.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "tools/infinihost/commands.h"
#include "tools/infinihost/summary.h"
#include "tools/show/show.h"

#define ANSWER_TIMEOUT_S 2.0
#define INPUT_MAX	 (16U << 20)
#define INPUT_STEP	 65536

struct input {
	int fd; /* -1 at its end */
	char *bytes;
	size_t len, size;
};

struct tally {
	unsigned long expected, answered;
};

static void input_done(struct input *input)
{
	free(input->bytes);
}

static void talk_closep(struct talk *talk)
{
	talk_close(talk);
}

/* Message types that get no answer of their own. */
static bool expects_answer(const char *line)
{
	static const char *const silent[] = { "Metrics", "keep_alive_response", "pending_scripts_response", "Ack" };
	struct json_object *message = json_tokener_parse(line);
	bool expects = true;

	for (size_t i = 0; i < ARRAY_SIZE(silent); i++)
		if (!strcmp(summary_find_text(message, "type"), silent[i]))
			expects = false;
	json_object_put(message);
	return expects;
}

static int send_line(struct talk *talk, const char *line, struct tally *tally, uint64_t *deadline_ns, double timeout_s)
{
	if (!*line)
		return 0;
	tally->expected += expects_answer(line);
	*deadline_ns = command_deadline(timeout_s);
	return talk_send_text(talk, line, *deadline_ns);
}

/* Reads more input; the end of it sets fd to -1. */
static int input_read(struct input *input)
{
	ssize_t n;

	if (input->size - input->len < INPUT_STEP) {
		size_t size = input->size + INPUT_STEP + input->size / 2;
		char *bytes = size > INPUT_MAX ? NULL : realloc(input->bytes, size);

		if (!bytes)
			return size > INPUT_MAX ? -E2BIG : -ENOMEM;
		input->bytes = bytes;
		input->size = size;
	}
	n = read(input->fd, input->bytes + input->len, input->size - input->len - 1);
	if (n < 0 && errno == EINTR)
		return 0;
	if (n > 0)
		input->len += (size_t)n;
	else if (input->len > 0)
		input->bytes[input->len++] = '\n';
	if (n <= 0)
		input->fd = -1;
	return 0;
}

static int send_input(struct talk *talk, struct input *input, struct tally *tally, uint64_t *deadline_ns,
		      double timeout_s)
{
	size_t sent = 0;
	char *end;
	int r = input_read(input);

	while (r == 0 && sent < input->len && (end = memchr(input->bytes + sent, '\n', input->len - sent))) {
		*end = '\0';
		r = send_line(talk, input->bytes + sent, tally, deadline_ns, timeout_s);
		sent = (size_t)(end - input->bytes) + 1;
	}
	if (sent > 0)
		memmove(input->bytes, input->bytes + sent, input->len - sent);
	input->len -= sent;
	return r;
}

static void print_message(struct talk_message *message, struct tally *tally)
{
	const char *type = summary_find_text(message->json, "type");

	tally->answered += !strcmp(type, "response") || !strcmp(type, "error") || !strcmp(type, "keep_alive");
	show_json_line(stdout, message->text, message->len);
	fflush(stdout);
	talk_message_done(message);
}

int command_raw(const struct host_options *options, int argc, char **argv)
{
	double timeout_s = options->timeout_s < 0 ? ANSWER_TIMEOUT_S : options->timeout_s;
	_cleanup_(talk_closep) struct talk talk = { .link = { .fd = -1, .listen_fd = -1 } };
	_cleanup_(input_done) struct input input = { .fd = argc == 1 ? STDIN_FILENO : -1 };
	uint64_t deadline_ns = command_deadline(timeout_s);
	struct tally tally = { 0 };
	struct talk_message message;
	int r, status;

	if (argc > 2)
		return command_usage("usage: raw [LINE]");
	r = talk_begin(&talk, options, deadline_ns, &status);
	if (r < 0)
		return status;
	if (argc == 2)
		r = send_line(&talk, argv[1], &tally, &deadline_ns, timeout_s);
	while (r >= 0) {
		if (input.fd < 0 && tally.expected > 0 && tally.answered >= tally.expected)
			return HOST_OK;
		r = talk_next(&talk, input.fd, input.fd < 0 ? deadline_ns : TIME_NEVER, &message);
		if (r == LINK_OTHER)
			r = send_input(&talk, &input, &tally, &deadline_ns, timeout_s);
		else if (r == LINK_LINE)
			print_message(&message, &tally);
	}
	if (r == -EINTR && tally.answered < tally.expected)
		show(stderr, "infinihost: interrupted: what was sent may still run in the guest\n");
	if (r == -ETIMEDOUT && tally.answered >= tally.expected)
		return HOST_OK;
	return talk_explain(options, r, "answer");
}
