/* SPDX-License-Identifier: MIT */
#include "agent/executor/executor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/executor/freeze.h"
#include "agent/executor/operation.h"
#include "agent/executor/unit.h"
#include "agent/base/users.h"
#include "agent/rules/policy.h"

#define AGENT_USER "infiniservice"
#define SEALING	   "PrepareGoldenImage"
/*
 * How long after PrepareGoldenImage has begun the host may still switch the guest off: the preparation takes up to half
 * an hour.
 */
#define SEALING_NS (45 * 60 * NS_PER_S)

/* -------------------------------------------------------------------------------------------------------- requests */

/* Reads the configuration again if it has changed. NULL: it is usable, else the error. */
static const char *configuration(struct executor *executor)
{
	if (policy_file_refresh(&executor->policy) && !executor->policy.usable)
		executor_log(LOG_ERR, "nothing is allowed: %s", executor->policy.err.text);
	return executor->policy.usable ? NULL : executor->policy.err.text;
}

static int request_run(struct executor *executor, size_t len, const int files[PACKET_FDS])
{
	static struct runner_command command;
	struct rules_verdict verdict = { .refusal = configuration(executor) };
	int error = runner_run_parse(executor->message, len, &command);

	if (error == -EBADMSG || error == -EPROTO)
		return error;
	/*
	 * A detached run writes to files that the agent opened. A descriptor confers the rights of its opener: each has
	 * to be a regular file of the agent's user, opened for appending only, or root would write where the agent may
	 * not.
	 */
	for (int i = 0; error == 0 && command.unit && i < PACKET_FDS; i++) {
		int flags = files[i] < 0 ? -1 : fcntl(files[i], F_GETFL);
		struct stat st;

		if (flags < 0 || (flags & O_ACCMODE) != O_WRONLY || !(flags & O_APPEND) || fstat(files[i], &st) < 0 ||
		    !S_ISREG(st.st_mode) || st.st_uid != executor->peer_uid)
			return -EBADMSG;
	}
	if (error == 0 && (command.run.flags & RUNNER_RUN_INPUT)) {
		ssize_t input = input_check(files[0]);

		if (input < 0)
			return -EBADMSG;
		error = input > EXECUTOR_INPUT_MAX ? -E2BIG : 0;
	}
	if (error < 0) {
		executor_refuse(executor, command.run.head.id, -error, RUNNER_STAGE_EXEC, "");
		return 0;
	}
	if (!verdict.refusal)
		verdict = rules_judge_run(&command, &executor->policy.config);
	if (verdict.refusal)
		executor_deny(executor, command.run.head.id, RUNNER_STAGE_POLICY, command.action, verdict.refusal);
	else {
		if (strcmp(command.action, SEALING) == 0)
			executor->sealing_ns = moment_now().mono_ns;
		unit_start(executor, &command, &verdict, files);
	}
	return 0;
}

static int request_operation(struct executor *executor, size_t len, const int files[PACKET_FDS])
{
	struct rules_verdict verdict = { .refusal = configuration(executor), .stage = RUNNER_STAGE_POLICY };
	struct runner_call call;
	int error = runner_operation_parse(executor->message, len, &call);

	if (error < 0)
		return error;
	if (!verdict.refusal)
		verdict = rules_judge_operation(&call, &executor->policy.config);
	/*
	 * Making a golden image removes the host's permissions from the configuration, those of group power too.
	 * Switching off ends that action, so the permission that began it covers it.
	 */
	if (verdict.stage == RUNNER_STAGE_POLICY && call.operation.operation == RUNNER_OPERATION_POWER_OFF &&
	    call.operation.group == GROUP_POWER && executor->sealing_ns &&
	    (strcmp(call.action, SEALING) == 0 || strcmp(call.action, "ShutdownSystem") == 0) &&
	    moment_now().mono_ns - executor->sealing_ns < SEALING_NS)
		verdict = (struct rules_verdict){ .refusal = NULL };
	if (verdict.refusal)
		executor_deny(executor, call.operation.head.id, verdict.stage,
			      *call.argument ? call.argument : call.action, verdict.refusal);
	else if (call.operation.operation == RUNNER_OPERATION_FREEZE)
		return freeze_start(executor, &call, files[0]);
	else
		operation_start(executor, &call);
	return 0;
}

/* 0, or negative: the agent violates the protocol (-EBADMSG, -EPROTO) or closes the connection (-ESHUTDOWN). */
static int request_take(struct executor *executor, size_t len, const int files[PACKET_FDS])
{
	struct runner_detached_cancel cancel;
	struct runner_request head;
	int error = runner_request_parse(executor->message, len, &head);

	if (error < 0)
		return error;
	switch (head.op) {
	case RUNNER_RUN:
		return request_run(executor, len, files);
	case RUNNER_CANCEL_DETACHED:
		/* No policy check: the policy permitted the run when it started, and that includes cancelling it. */
		error = runner_detached_cancel_parse(executor->message, len, &cancel);
		if (error == 0)
			unit_cancel_detached(executor, cancel.unit);
		return error;
	case RUNNER_OPERATION:
		return request_operation(executor, len, files);
	case RUNNER_CANCEL:
		unit_cancel(executor, head.id, head.kill_ns);
		return 0;
	default:
		return -ESHUTDOWN;
	}
}

/* ----------------------------------------------------------------------------------------------------------- agents */

static int on_peer(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct executor *executor = data;
	int error, files[PACKET_FDS];
	ssize_t len = packet_receive(fd, executor->message, sizeof(executor->message), MSG_TRUNC, files);

	(void)source;
	(void)events;
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	error = len <= 0 ? -ESHUTDOWN : request_take(executor, (size_t)len, files);
	packet_close(files);
	if (error == -EBADMSG || error == -EPROTO)
		executor_log(LOG_WARNING, "the agent does not keep to the protocol (%s): it is cut off",
			     strerror(-error));
	if (error < 0) {
		executor->peer_source = sd_event_source_disable_unref(executor->peer_source);
		close_fd(&executor->peer_fd);
		operation_forget_all(executor, false);
		unit_orphan_all(executor);
		freeze_orphan(executor);
		sd_event_source_set_enabled(executor->listener, SD_EVENT_ON);
		executor_rest(executor);
	}
	/*
	 * The agent speaks another version of the protocol: after an upgrade this executor is the old one. It exits,
	 * and the socket starts the program that is installed now.
	 */
	return error == -EPROTO ? sd_event_exit(executor->event, EXIT_SUCCESS) : 0;
}

/* Accepts a connection if its peer is the agent's user or root. A descriptor, or -1. */
static int agent_accept(struct executor *executor)
{
	_cleanup_(closep) int fd = accept4(executor->options.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	const char *user = executor->options.user ? executor->options.user : AGENT_USER;
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t len = sizeof(peer);
	uid_t uid = 0;

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return -1;
	executor->peer_uid = peer.uid;
	/* The file itself: the name service may ask a network, and everything that runs would wait. */
	if (peer.uid == 0 || (passwd_uid_of("/etc/passwd", user, &uid) == 0 && peer.uid == uid))
		return TAKE_FD(fd);
	executor_log(LOG_WARNING, "uid %u is not the agent's: refused", (unsigned)peer.uid);
	return -1;
}

/* One at a time: another agent waits in the socket's queue. */
static int on_connection(sd_event_source *source, int listen_fd, uint32_t events, void *data)
{
	struct executor *executor = data;
	_cleanup_(closep) int fd = agent_accept(executor);

	(void)source;
	(void)listen_fd;
	(void)events;
	if (fd < 0 || sd_event_add_io(executor->event, &executor->peer_source, fd, EPOLLIN, on_peer, executor) < 0)
		return 0;
	executor->peer_fd = TAKE_FD(fd);
	sd_event_source_set_enabled(executor->listener, SD_EVENT_OFF);
	executor_rest(executor);
	return 0;
}

/* ---------------------------------------------------------------------------------------------------- start and end */

/* The connection to PID 1 would wake us at every change of any unit. */
static int on_idle(sd_event_source *source, uint64_t usec, void *data)
{
	struct executor *executor = data;

	(void)source;
	(void)usec;
	if (executor->unit_count || executor->operation_count || executor->freezing)
		return 0;
	executor_manager_close(executor);
	if (executor->system) {
		sd_bus_detach_event(executor->system);
		executor->system = sd_bus_close_unref(executor->system);
	}
	return executor->peer_fd >= 0 ? 0 : sd_event_exit(executor->event, EXIT_SUCCESS);
}

static int executor_run(struct executor *executor)
{
	int r = sd_event_new(&executor->event);

	if (r >= 0)
		r = sd_event_add_io(executor->event, &executor->listener, executor->options.listen_fd, EPOLLIN,
				    on_connection, executor);
	if (r >= 0)
		r = sd_event_add_time(executor->event, &executor->idle, CLOCK_MONOTONIC, UINT64_MAX, 0, on_idle,
				      executor);
	if (r >= 0)
		r = sd_event_add_time(executor->event, &executor->reconnect, CLOCK_MONOTONIC, UINT64_MAX, 0,
				      executor_reconnect, executor);
	if (r >= 0)
		r = sd_event_source_set_enabled(executor->reconnect, SD_EVENT_OFF);
	if (r >= 0) {
		configuration(executor);
		unit_reap(executor);
		executor_rest(executor);
		r = sd_event_loop(executor->event);
	}
	if (r < 0)
		executor_log(LOG_ERR, "the executor cannot go on: %s", strerror(-r));
	operation_forget_all(executor, false);
	unit_free_all(executor);
	freeze_free(executor);
	executor_manager_close(executor);
	sd_bus_close_unref(executor->system);
	sd_event_source_unref(executor->peer_source);
	sd_event_source_unref(executor->listener);
	sd_event_source_unref(executor->idle);
	sd_event_source_unref(executor->reconnect);
	sd_event_unref(executor->event);
	return r < 0 ? EXIT_FAILURE : r;
}

/* Without libsystemd: refuses every request with `words` for options.unable_ms; then the socket starts it again. */
static int executor_refuse_all(struct executor *executor, const char *words)
{
	uint64_t unable_ms = executor->options.unable_ms ? executor->options.unable_ms : EXECUTOR_UNABLE_MS;
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC), end_ns = now_ns + unable_ms * NS_PER_MS;

	executor_log(LOG_ERR, "%s", words);
	for (; now_ns < end_ns; now_ns = clock_ns(CLOCK_MONOTONIC)) {
		bool alone = executor->peer_fd < 0;
		struct pollfd watched = { .fd = alone ? executor->options.listen_fd : executor->peer_fd,
					  .events = POLLIN };
		struct runner_request head;
		int files[PACKET_FDS];
		ssize_t len;

		if (poll(&watched, 1, (int)((end_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS)) <= 0)
			continue;
		if (alone) {
			executor->peer_fd = agent_accept(executor);
			continue;
		}
		len = packet_receive(executor->peer_fd, executor->message, sizeof(executor->message), MSG_TRUNC, files);
		if (len < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		packet_close(files);
		if (len <= 0 || runner_request_parse(executor->message, (size_t)len, &head) < 0)
			close_fd(&executor->peer_fd);
		else if (head.op == RUNNER_RUN || head.op == RUNNER_OPERATION)
			executor_refuse(executor, head.id, ELIBACC, RUNNER_STAGE_EXECUTOR, words);
	}
	return EXIT_SUCCESS;
}

int executor_serve(const struct executor_options *options)
{
	static struct executor executor;
	_cleanup_(freep) char *own_unit = NULL;
	struct err err;
	int status;

	executor = (struct executor){ .options = *options,
				      .peer_fd = -1,
				      .next_number = clock_ns(CLOCK_BOOTTIME) / NS_PER_MS };
	policy_file_init(&executor.policy, options->config_dir);
	fcntl(options->listen_fd, F_SETFL, O_NONBLOCK);
	signal(SIGPIPE, SIG_IGN);
	if (libsystemd_open(options->library, clock_ns(CLOCK_MONOTONIC), &err) < 0)
		status = executor_refuse_all(&executor, err.text);
	else {
		/* A session's scope is no service. */
		if (sd_pid_get_unit(0, &own_unit) >= 0 && strlen(own_unit) > strlen(".service") &&
		    strcmp(own_unit + strlen(own_unit) - strlen(".service"), ".service") == 0)
			snprintf(executor.own_unit, sizeof(executor.own_unit), "%s", own_unit);
		status = executor_run(&executor);
	}
	close_fd(&executor.peer_fd);
	policy_file_done(&executor.policy);
	return status;
}
