/* SPDX-License-Identifier: MIT */
/*
 * Each command is one short conversation: open, greet, send, wait. The time limit of a command is the one its agent gets
 * too; the agent's own deadline is a little earlier, so that its answer (a time-out included) arrives within it.
 */
#include "commands.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "tools/infinihost/request.h"
#include "tools/infinihost/summary.h"
#include "tools/show/show.h"

#define DEFAULT_TIMEOUT_S 30.0

static void json_putp(struct json_object **object)
{
	json_object_put(*object);
}

static void talk_closep(struct talk *talk)
{
	talk_close(talk);
}

int command_seconds(const char *text, double *ret_s)
{
	char *end;
	double s = strtod(text, &end);

	if (end == text || *end || !isfinite(s) || s < 0 || s > 1e6)
		return -EINVAL;
	*ret_s = s;
	return 0;
}

uint64_t command_deadline(double seconds)
{
	return seconds < 0 ? TIME_NEVER : clock_ns(CLOCK_MONOTONIC) + (uint64_t)(seconds * (double)NS_PER_S);
}

int command_usage(const char *text)
{
	show(stderr, "infinihost: %s (infinihost --help lists the commands)\n", text);
	return HOST_USAGE;
}

int command_begin(struct talk *talk, const struct host_options *options, uint64_t deadline_ns, int *ret_exit)
{
	struct err e = { 0 };
	int r = talk_open(talk, options, &e);

	if (r < 0) {
		show(stderr, "infinihost: %s\n", e.text);
		*ret_exit = !options->path || options->secret_file ? HOST_USAGE : HOST_NOT_CONNECTED;
		return r;
	}
	r = talk_greet(talk, deadline_ns);
	if (r < 0)
		*ret_exit = talk_explain(options, r, "agent");
	return r;
}

/* ------------------------------------------------------------------------------------------------------- watch */

static int watch_options(int argc, char **argv, unsigned long *ret_count, bool *ret_types)
{
	static const struct option longs[] = { { "count", required_argument, NULL, 'n' },
					       { "types", no_argument, NULL, 't' },
					       { 0 } };
	int option;
	char *end;

	while ((option = getopt_long(argc, argv, ":n:t", longs, NULL)) != -1) {
		if (option == 'n') {
			*ret_count = strtoul(optarg, &end, 10);
			if (*end || *ret_count == 0)
				return -EINVAL;
		} else if (option == 't') {
			*ret_types = true;
		} else {
			return -EINVAL;
		}
	}
	return optind == argc ? 0 : -EINVAL;
}

static void watch_print(const struct host_options *options, const struct talk_message *message, bool types)
{
	if (types)
		show(stdout, "%s\n", summary_find_text(message->json, "type"));
	else if (options->json)
		show_json_line(stdout, message->text, message->len);
	else
		summary_print(stdout, message->json);
	fflush(stdout);
}

int command_watch(const struct host_options *options, int argc, char **argv)
{
	_cleanup_(talk_closep) struct talk talk = { .link = { .fd = -1, .listen_fd = -1 } };
	uint64_t deadline_ns = command_deadline(options->timeout_s);
	unsigned long count = 0, seen = 0;
	bool types = false;
	int r, status;

	if (watch_options(argc, argv, &count, &types) < 0)
		return command_usage("usage: watch [--count N] [--types]");
	r = command_begin(&talk, options, deadline_ns, &status);
	if (r < 0)
		return r == -EINTR ? HOST_OK : status;
	while (count == 0 || seen < count) {
		struct talk_message message;

		r = talk_next(&talk, -1, deadline_ns, &message);
		if (r == -ENOTCONN && options->listening) /* an agent that was restarted comes again */
			r = talk_greet(&talk, deadline_ns);
		else if (r == LINK_LINE) {
			watch_print(options, &message, types);
			talk_message_done(&message);
			seen++;
		}
		if (r < 0) /* told to stop, or watched as long as asked: that is what a watch is for */
			return r == -EINTR || (r == -ETIMEDOUT && count == 0) ? HOST_OK : talk_explain(options, r, "message");
	}
	return HOST_OK;
}

/* ------------------------------------------------------------------------------------------------- run and exec */

/* Sends and waits for the answer. LINK_LINE, or a negative errno with the exit code said. */
static int ask(const struct host_options *options, struct json_object *message, double timeout_s,
	       struct talk_message *ret, struct talk *talk, int *ret_exit)
{
	uint64_t deadline_ns = command_deadline(timeout_s);
	int r = command_begin(talk, options, deadline_ns, ret_exit);

	if (r < 0)
		return r;
	/* What waiting for the agent took is not the command's: it has its whole time from here. */
	deadline_ns = command_deadline(timeout_s < 1 ? 1 : timeout_s);
	r = talk_send(talk, message, deadline_ns);
	if (r >= 0)
		r = talk_answer(talk, summary_find_text(message, "id"), deadline_ns, ret);
	if (r < 0)
		*ret_exit = talk_explain(options, r, "answer");
	return r;
}

/* Says a failed answer on stderr; the exit code for it. */
static int explain_failure(struct json_object *answer)
{
	bool is_response = !strcmp(summary_find_text(answer, "type"), "response");
	const char *code = summary_find_text(answer, is_response ? "error_code" : "details.code");

	show(stderr, "infinihost: ");
	if (*code)
		show(stderr, "%s: ", code);
	show_cut(stderr, summary_find_text(answer, "error"), 2000);
	show(stderr, "\n");
	return !strcmp(code, "COMMAND_TIMEOUT") ? HOST_TIMEOUT : HOST_AGENT_ERROR;
}

static void print_data(struct json_object *data)
{
	show_json(stdout,
		  json_object_to_json_string_ext(data, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	show(stdout, "\n");
}

static bool succeeded(struct json_object *answer)
{
	return json_object_get_boolean(summary_find(answer, "success"));
}

static void print_stream(FILE *out, struct json_object *text)
{
	if (json_object_is_type(text, json_type_string))
		show_stream(out, json_object_get_string(text), (size_t)json_object_get_string_len(text));
	fflush(out);
}

/* The streams of a command as the command wrote them. */
static void print_streams(struct json_object *answer)
{
	print_stream(stdout, summary_find(answer, "stdout"));
	print_stream(stderr, summary_find(answer, "stderr"));
	if (json_object_get_boolean(summary_find(answer, "truncated")))
		show(stderr, "infinihost: the output was cut\n");
}

int command_run(const struct host_options *options, int argc, char **argv)
{
	double timeout_s = options->timeout_s < 0 ? DEFAULT_TIMEOUT_S : options->timeout_s;
	_cleanup_(talk_closep) struct talk talk = { .link = { .fd = -1, .listen_fd = -1 } };
	_cleanup_(json_putp) struct json_object *message = NULL;
	struct talk_message answer;
	struct json_object *data;
	char id[TALK_ID_SIZE];
	int status;

	if (argc < 2 || argv[1][0] == '-')
		return command_usage("usage: run ACTION [key=value...]");
	talk_id(id);
	message = request_action(id, timeout_s, argc - 1, argv + 1);
	if (!message)
		return HOST_USAGE;
	if (ask(options, message, timeout_s, &answer, &talk, &status) < 0)
		return status;
	status = succeeded(answer.json) ? HOST_OK : explain_failure(answer.json);
	if (options->json) {
		show_json_line(stdout, answer.text, answer.len);
	} else {
		print_streams(answer.json);
		data = summary_find(answer.json, "data");
		if (data)
			print_data(data);
	}
	talk_message_done(&answer);
	return status;
}

struct exec_options {
	const char *shell, *working_dir;
	double timeout_s;
};

static int exec_options_parse(int argc, char **argv, struct exec_options *out)
{
	static const struct option longs[] = { { "shell", required_argument, NULL, 's' },
					       { "timeout", required_argument, NULL, 't' },
					       { "cwd", required_argument, NULL, 'C' },
					       { 0 } };
	int option;

	while ((option = getopt_long(argc, argv, "+:s:t:C:", longs, NULL)) != -1) {
		if (option == 's')
			out->shell = optarg;
		else if (option == 'C')
			out->working_dir = optarg;
		else if (option != 't' || command_seconds(optarg, &out->timeout_s) < 0)
			return -EINVAL;
	}
	return optind < argc ? 0 : -EINVAL;
}

/* The exit code of a command that ended by itself, however it went; else whose fault it was. */
static int exec_status(struct json_object *answer)
{
	struct json_object *code = summary_find(answer, "exit_code");
	const char *error_code = summary_find_text(answer, "error_code"), *reason = summary_find_text(answer, "reason");

	/* With a reason it is the agent's code, not a program's. */
	if (json_object_is_type(code, json_type_int) && (!*error_code || (!strcmp(error_code, "COMMAND_FAILED") && !*reason)))
		return json_object_get_int(code) & 0xff;
	return succeeded(answer) ? HOST_OK : explain_failure(answer);
}

int command_exec(const struct host_options *options, int argc, char **argv)
{
	struct exec_options how = { .timeout_s = options->timeout_s < 0 ? DEFAULT_TIMEOUT_S : options->timeout_s };
	_cleanup_(talk_closep) struct talk talk = { .link = { .fd = -1, .listen_fd = -1 } };
	_cleanup_(json_putp) struct json_object *message = NULL;
	_cleanup_(freep) char *line = NULL;
	struct talk_message answer;
	char id[TALK_ID_SIZE];
	int status;

	if (exec_options_parse(argc, argv, &how) < 0)
		return command_usage("usage: exec [--shell S] [--timeout S] [--cwd DIR] -- COMMAND...");
	talk_id(id);
	line = request_shell_line(argc - optind, argv + optind);
	message = request_new("UnsafeCommand", id, how.timeout_s);
	if (!line || !message || request_add_text(message, "raw_command", line) || request_add_text(message, "shell", how.shell) ||
	    request_add_text(message, "working_dir", how.working_dir))
		return HOST_FAILED;
	if (ask(options, message, how.timeout_s, &answer, &talk, &status) < 0)
		return status;
	if (options->json)
		show_json_line(stdout, answer.text, answer.len);
	else
		print_streams(answer.json);
	status = exec_status(answer.json);
	talk_message_done(&answer);
	return status;
}

/* --------------------------------------------------------------------------------------------------------- ping */

int command_ping(const struct host_options *options, int argc, char **argv)
{
	double timeout_s = options->timeout_s < 0 ? DEFAULT_TIMEOUT_S : options->timeout_s;
	_cleanup_(talk_closep) struct talk talk = { .link = { .fd = -1, .listen_fd = -1 } };
	uint64_t deadline_ns = command_deadline(timeout_s), sent_ns;
	struct talk_message message;
	const int64_t number = (int64_t)getpid();
	char stamp[RFC3339_SIZE], request[160];
	bool answered = false;
	int r, status;

	(void)argv;
	if (argc != 1)
		return command_usage("usage: ping");
	r = command_begin(&talk, options, deadline_ns, &status);
	if (r < 0)
		return status;
	rfc3339_format(moment_now().wall_ms, stamp);
	snprintf(request, sizeof(request), "{\"type\":\"keep_alive_request\",\"sequence_number\":%lld,\"timestamp\":\"%s\"}",
		 (long long)number, stamp);
	sent_ns = clock_ns(CLOCK_MONOTONIC);
	r = talk_send_text(&talk, request, deadline_ns);
	while (r >= 0 && !answered) {
		r = talk_next(&talk, -1, deadline_ns, &message);
		if (r != LINK_LINE)
			break;
		answered = !strcmp(summary_find_text(message.json, "type"), "keep_alive") &&
			   json_object_get_int64(summary_find(message.json, "sequence_number")) == number;
		talk_message_done(&message);
	}
	if (r < 0)
		return talk_explain(options, r, "keep_alive");
	show(stdout, "keep_alive in %.2f ms\n", (double)(clock_ns(CLOCK_MONOTONIC) - sent_ns) / (double)NS_PER_MS);
	return HOST_OK;
}
