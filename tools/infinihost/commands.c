/* SPDX-License-Identifier: MIT */
/* Each command is one short session: open, handshake, send, wait. */
#include "commands.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "tools/infinihost/actions.h"
#include "tools/infinihost/ask.h"
#include "tools/infinihost/request.h"
#include "tools/infinihost/summary.h"
#include "tools/show/show.h"

#define DEFAULT_TIMEOUT_S 30.0
/* The agent accepts time limits up to a day, a small part of which is its reserve. */
#define TIMEOUT_MAX_S 86390.0
/* An agent sends its handshake at once; then it may be silent between two samples, 30 s by default. */
#define SILENCE_FIRST_S 10.0
#define SILENCE_S	90.0
/* Time in which a pipe has to bring its first byte. */
#define INPUT_WAIT_MS 100

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

static int begin_open(struct talk *talk, const struct host_options *options, int *ret_exit)
{
	struct err e = { 0 };
	int r = talk_open(talk, options, ret_exit, &e);

	if (r < 0)
		show(stderr, "infinihost: %s\n", e.text);
	return r;
}

int talk_begin(struct talk *talk, const struct host_options *options, uint64_t deadline_ns, int *ret_exit)
{
	int r = begin_open(talk, options, ret_exit);

	if (r < 0)
		return r;
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

/* The time at which silence is reported, and its length by then. */
struct silence {
	uint64_t since_ns, say_ns;
	double limit_s;
};

static void silence_begin(struct silence *silence, double limit_s)
{
	silence->since_ns = clock_ns(CLOCK_MONOTONIC);
	silence->limit_s = limit_s;
	silence->say_ns = command_deadline(limit_s);
}

static void silence_say(struct silence *silence, const struct host_options *options, const struct talk *talk)
{
	double quiet_s = (double)(clock_ns(CLOCK_MONOTONIC) - silence->since_ns) / (double)NS_PER_S;

	if (talk->link.fd < 0)
		show(stderr, "infinihost: %s: no agent has connected for %.0f s\n", talk_peer(options), quiet_s);
	else
		show(stderr, "infinihost: %s: no message for %.0f s: is an agent running behind it?%s\n",
		     talk_peer(options), quiet_s, options->listening ? "" : " (a chardev serves one client at a time)");
	silence->limit_s *= 2;
	silence->say_ns = command_deadline(silence->limit_s);
}

/*
 * Waits for the next message, or for an agent to connect (0). -ETIMEDOUT only at the deadline: silence before it is
 * reported.
 */
static int watch_next(struct talk *talk, const struct host_options *options, struct silence *silence,
		      uint64_t deadline_ns, struct talk_message *ret)
{
	for (;;) {
		uint64_t until_ns = silence->say_ns < deadline_ns ? silence->say_ns : deadline_ns;
		int r = talk->greeted && talk->link.fd >= 0 ? talk_next(talk, -1, until_ns, ret)
							    : talk_greet(talk, until_ns);

		if (r == -ENOTCONN && options->listening)
			continue; /* an agent that was restarted comes again */
		if (r != -ETIMEDOUT || until_ns == deadline_ns)
			return r;
		silence_say(silence, options, talk);
	}
}

int command_watch(const struct host_options *options, int argc, char **argv)
{
	_cleanup_(talk_closep) struct talk talk = { .link = { .fd = -1, .listen_fd = -1 } };
	uint64_t deadline_ns = command_deadline(options->timeout_s);
	unsigned long count = 0, seen = 0;
	struct silence silence;
	bool types = false;
	int r, status;

	if (watch_options(argc, argv, &count, &types) < 0)
		return command_usage("usage: watch [--count N] [--types]");
	if (begin_open(&talk, options, &status) < 0)
		return status;
	silence_begin(&silence, SILENCE_FIRST_S);
	while (count == 0 || seen < count) {
		struct talk_message message;

		r = watch_next(&talk, options, &silence, deadline_ns, &message);
		if (r == LINK_LINE) {
			watch_print(options, &message, types);
			talk_message_done(&message);
			silence_begin(&silence, SILENCE_S);
			seen++;
		}
		if (r < 0) /* stopped by a signal, or the requested time is over: success */
			return r == -EINTR || (r == -ETIMEDOUT && count == 0) ? HOST_OK
									      : talk_explain(options, r, "message");
	}
	return HOST_OK;
}

/* ------------------------------------------------------------------------------------------------- run and exec */

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
}

/* Reports missing output; it has a status of its own if all else went well. */
static int tell_cut(struct json_object *answer, int status)
{
	if (!json_object_get_boolean(summary_find(answer, "truncated")))
		return status;
	show(stderr, summary_find(answer, "stdout_bytes")
			     ? "infinihost: the output was cut (commands.max_output_bytes of the guest)\n"
			     : "infinihost: there is more than what is listed in data\n");
	return status == HOST_OK ? HOST_INCOMPLETE : status;
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
	if (timeout_s > TIMEOUT_MAX_S)
		return command_usage("--timeout: at most 86390 s for a command");
	actions_judge(argc - 1, argv + 1);
	talk_id(id);
	message = request_action(id, timeout_s, argc - 1, argv + 1);
	if (!message)
		return HOST_USAGE;
	if (ask(options, message, timeout_s, &answer, &talk, &status) < 0)
		return status;
	status = succeeded(answer.json) ? HOST_OK : ask_explain_failure(answer.json);
	status = tell_cut(answer.json, status);
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

int command_actions(const struct host_options *options, int argc, char **argv)
{
	(void)options;
	if (argc > 2 || (argc == 2 && argv[1][0] == '-'))
		return command_usage("usage: actions [ACTION]");
	if (actions_print(argc == 2 ? argv[1] : NULL) == 0)
		return HOST_OK;
	show(stderr, "infinihost: %s: no such action (infinihost actions lists them)\n", argv[1]);
	return HOST_FAILED;
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

/* The exit code of a program that exited by itself; else the code of infinihost for the kind of failure. */
static int exec_status(struct json_object *answer)
{
	struct json_object *code = summary_find(answer, "exit_code");
	const char *error_code = summary_find_text(answer, "error_code"), *reason = summary_find_text(answer, "reason");

	/* With a reason it is the agent's code, not a program's. */
	if (json_object_is_type(code, json_type_int) &&
	    (!*error_code || (!strcmp(error_code, "COMMAND_FAILED") && !*reason)))
		return json_object_get_int(code) & 0xff;
	return succeeded(answer) ? HOST_OK : ask_explain_failure(answer);
}

/* True if stdin has input for the command: bytes in a pipe or socket, or the rest of a file. */
static bool input_waits(int wait_ms)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	struct stat st;
	int bytes = 0;

	if (fstat(STDIN_FILENO, &st) < 0 || S_ISCHR(st.st_mode))
		return false;
	if (S_ISREG(st.st_mode))
		return lseek(STDIN_FILENO, 0, SEEK_CUR) < st.st_size;
	poll(&input, 1, wait_ms);
	return ioctl(STDIN_FILENO, FIONREAD, &bytes) == 0 && bytes > 0;
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
	if (how.timeout_s > TIMEOUT_MAX_S)
		return command_usage("--timeout: at most 86390 s for a command");
	if (input_waits(INPUT_WAIT_MS))
		return command_usage(
			"exec: the standard input is not passed to the guest; redirect it, exec ... </dev/null");
	talk_id(id);
	line = request_shell_line(argc - optind, argv + optind);
	message = request_new("UnsafeCommand", id, how.timeout_s);
	if (!line || !message || request_add_text(message, "raw_command", line) ||
	    request_add_text(message, "shell", how.shell) || request_add_text(message, "working_dir", how.working_dir))
		return HOST_FAILED;
	if (ask(options, message, how.timeout_s, &answer, &talk, &status) < 0)
		return status;
	if (options->json)
		show_json_line(stdout, answer.text, answer.len);
	else
		print_streams(answer.json);
	status = tell_cut(answer.json, exec_status(answer.json));
	if (input_waits(0)) {
		show(stderr, "infinihost: the standard input was not passed to the guest\n");
		status = status == HOST_OK ? HOST_INCOMPLETE : status;
	}
	talk_message_done(&answer);
	return status;
}

/* --------------------------------------------------------------------------------------------------------- ping */

/* Sends the request and waits for its keep_alive or its refusal. LINK_LINE, or as talk_next. */
static int ping_once(struct talk *talk, uint64_t deadline_ns, struct talk_message *ret, bool *ret_refused)
{
	const int64_t number = (int64_t)getpid();
	char stamp[RFC3339_SIZE], request[160];
	int r;

	rfc3339_format(moment_now().wall_ms, stamp);
	snprintf(request, sizeof(request),
		 "{\"type\":\"keep_alive_request\",\"sequence_number\":%lld,\"timestamp\":\"%s\"}", (long long)number,
		 stamp);
	r = talk_send_text(talk, request, deadline_ns);
	while (r >= 0 && (r = talk_next(talk, -1, deadline_ns, ret)) == LINK_LINE) {
		*ret_refused = talk_refused(talk, ret->json, NULL);
		if (*ret_refused || (!strcmp(summary_find_text(ret->json, "type"), "keep_alive") &&
				     json_object_get_int64(summary_find(ret->json, "sequence_number")) == number))
			break;
		talk_message_done(ret);
	}
	return r;
}

int command_ping(const struct host_options *options, int argc, char **argv)
{
	double timeout_s = options->timeout_s < 0 ? DEFAULT_TIMEOUT_S : options->timeout_s, took_ms;
	_cleanup_(talk_closep) struct talk talk = { .link = { .fd = -1, .listen_fd = -1 } };
	uint64_t deadline_ns = command_deadline(timeout_s), sent_ns;
	struct talk_message message;
	bool refused = false;
	int r, status;

	(void)argv;
	if (argc != 1)
		return command_usage("usage: ping");
	r = talk_begin(&talk, options, deadline_ns, &status);
	if (r < 0)
		return status;
	sent_ns = clock_ns(CLOCK_MONOTONIC);
	r = ping_once(&talk, deadline_ns, &message, &refused);
	if (r < 0)
		return talk_explain(options, r, "keep_alive");
	took_ms = (double)(clock_ns(CLOCK_MONOTONIC) - sent_ns) / (double)NS_PER_MS;
	if (options->json && refused)
		show_json_line(stdout, message.text, message.len);
	else if (options->json)
		show(stdout, "{\"type\":\"ping\",\"round_trip_ms\":%.2f}\n", took_ms);
	else if (!refused)
		show(stdout, "keep_alive in %.2f ms\n", took_ms);
	status = refused ? ask_explain_failure(message.json) : HOST_OK;
	talk_message_done(&message);
	return status;
}
