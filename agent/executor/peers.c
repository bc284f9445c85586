/* SPDX-License-Identifier: MIT */
/*
 * The executor's peers: PID 1, whose connection is opened on demand, and again after PID 1 has re-executed itself; the
 * agent and its answers; the journal. See executor.h.
 */
#include "agent/executor/executor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>

#include <infiniservice/moment.h>

#include "agent/executor/freeze.h"
#include "agent/executor/operation.h"
#include "agent/executor/unit.h"

#define RECONNECT_MS   50
#define RECONNECTS_MAX 200 /* PID 1 is unreachable for a second or two while it re-executes itself */

/* ------------------------------------------------------------------------------------------- the agent, the journal */

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

void executor_rest(struct executor *executor)
{
	uint64_t idle_ms = executor->options.idle_ms ? executor->options.idle_ms : EXECUTOR_IDLE_MS;

	if (executor->unit_count || executor->operation_count || executor->freezing) {
		sd_event_source_set_enabled(executor->idle, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time_relative(executor->idle, idle_ms * NS_PER_MS / NS_PER_US);
	sd_event_source_set_enabled(executor->idle, SD_EVENT_ONESHOT);
}

/* ----------------------------------------------------------------------------------------------------------- PID 1 */

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

int executor_reconnect_soon(struct executor *executor)
{
	sd_event_source_set_time_relative(executor->reconnect, RECONNECT_MS * NS_PER_MS / NS_PER_US);
	return sd_event_source_set_enabled(executor->reconnect, SD_EVENT_ONESHOT);
}

int executor_reconnect(sd_event_source *source, uint64_t usec, void *data)
{
	struct executor *executor = data;

	(void)source;
	(void)usec;
	if (executor->unit_count == 0)
		return 0;
	if (executor_manager(executor) >= 0) {
		unit_query_all(executor);
		return 0;
	}
	if (++executor->reconnects > RECONNECTS_MAX) {
		executor_log(LOG_ERR, "the service manager cannot be reached any more");
		return sd_event_exit(executor->event, EXIT_FAILURE);
	}
	return executor_reconnect_soon(executor);
}

void executor_manager_close(struct executor *executor)
{
	executor->lost_slot = sd_bus_slot_unref(executor->lost_slot);
	if (!executor->manager)
		return;
	sd_bus_detach_event(executor->manager);
	executor->manager = sd_bus_close_unref(executor->manager);
}

static int on_disconnected(sd_bus_message *message, void *data, sd_bus_error *error)
{
	struct executor *executor = data;

	(void)message;
	(void)error;
	executor_manager_close(executor);
	operation_forget_all(executor, true);
	freeze_manager_lost(executor);
	return executor_reconnect_soon(executor);
}

/* On a direct connection PID 1 sends its signals without a subscription. */
int executor_manager(struct executor *executor)
{
	const char *address =
		executor->options.manager_address ? executor->options.manager_address : EXECUTOR_MANAGER_ADDRESS;
	sd_bus *bus = NULL;
	int r;

	if (executor->manager)
		return 0;
	r = sd_bus_new(&bus);
	if (r >= 0)
		r = sd_bus_set_address(bus, address);
	if (r >= 0)
		r = sd_bus_negotiate_fds(bus, true);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r >= 0)
		r = sd_bus_match_signal(bus, &executor->lost_slot, NULL, NULL, "org.freedesktop.DBus.Local",
					"Disconnected", on_disconnected, executor);
	if (r >= 0)
		r = sd_bus_match_signal(bus, NULL, NULL, MANAGER_PATH, MANAGER_INTERFACE, "JobRemoved",
					operation_job_removed, executor);
	if (r >= 0)
		r = sd_bus_match_signal(bus, NULL, NULL, MANAGER_PATH, MANAGER_INTERFACE, "UnitRemoved", unit_removed,
					executor);
	if (r >= 0)
		r = sd_bus_attach_event(bus, executor->event, SD_EVENT_PRIORITY_NORMAL);
	if (r < 0) {
		executor->lost_slot = sd_bus_slot_unref(executor->lost_slot);
		sd_bus_close_unref(bus);
		return r;
	}
	executor->manager = bus;
	executor->generation++;
	executor->reconnects = 0;
	return 0;
}
