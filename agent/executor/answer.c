/* SPDX-License-Identifier: MIT */
/* What the executor says, to the agent, to PID 1 and to the journal, and what any of its parts may ask of it. */
#include "agent/executor/executor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>

#include <infiniservice/moment.h>

/* The text may contain bytes from the agent: control characters are escaped, so that no line can be forged. */
void executor_log(int priority, const char *format, ...)
{
	char text[1024], line[4 * sizeof(text)];
	size_t len = 0;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (const unsigned char *c = (const unsigned char *)text; *c; c++)
		len += (size_t)snprintf(line + len, sizeof(line) - len, *c >= ' ' && *c < 0x7f ? "%c" : "\\x%02x", *c);
	fprintf(stderr, "<%d>%.*s\n", priority, (int)len, line);
}

void executor_reply(struct executor *executor, struct runner_answer *answer, const char *words, const int pipes[2])
{
	size_t len = runner_answer_fill(answer, words);

	if (executor->peer_fd < 0 || packet_send(executor->peer_fd, answer, len, pipes, pipes ? 2 : 0) >= 0)
		return;
	/* There are at most two replies per request, so a full socket means that the agent has stopped reading. */
	executor_log(LOG_WARNING, "the agent does not take its answers: %s", strerror(errno));
	shutdown(executor->peer_fd, SHUT_RDWR);
}

void executor_refuse(struct executor *executor, uint64_t id, int error, int stage, const char *words)
{
	struct runner_answer answer = { .reply = { .op = RUNNER_REFUSED, .id = id, .error = error, .stage = stage } };

	executor_reply(executor, &answer, words, NULL);
}

void executor_deny(struct executor *executor, uint64_t id, int stage, const char *what, const char *words)
{
	executor_log(LOG_WARNING, "refused to the agent: %.300s: %s", what ? what : "(no action)", words);
	executor_refuse(executor, id, EACCES, stage, words);
}

int manager_call(struct executor *executor, sd_bus_slot **slot, sd_bus_message_handler_t done, void *data,
		 const char *member, const char *types, ...)
{
	sd_bus_message *message = NULL;
	va_list args;
	int r;

	if (!executor->manager)
		return -ENOTCONN;
	va_start(args, types);
	r = sd_bus_message_new_method_call(executor->manager, &message, MANAGER_NAME, MANAGER_PATH, MANAGER_INTERFACE,
					   member);
	if (r >= 0 && types)
		r = sd_bus_message_appendv(message, types, args);
	va_end(args);
	if (r >= 0 && done)
		r = sd_bus_call_async(executor->manager, slot, message, done, data, UINT64_MAX);
	else if (r >= 0 && (r = sd_bus_message_set_expect_reply(message, 0)) >= 0)
		r = sd_bus_send(executor->manager, message, NULL);
	sd_bus_message_unref(message);
	return r;
}

void executor_rest(struct executor *executor)
{
	uint64_t idle_ms = executor->options.idle_ms ? executor->options.idle_ms : EXECUTOR_IDLE_MS;

	if (executor->unit_count || executor->operation_count) {
		sd_event_source_set_enabled(executor->idle, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time_relative(executor->idle, idle_ms * NS_PER_MS / NS_PER_US);
	sd_event_source_set_enabled(executor->idle, SD_EVENT_ONESHOT);
}
