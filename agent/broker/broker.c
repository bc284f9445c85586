/* SPDX-License-Identifier: MIT */
#include "agent/broker/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <systemd/sd-login.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/broker/deed.h"
#include "agent/executor/input.h"
#include "agent/executor/packet.h"
#include "agent/broker/rules.h"
#include "agent/broker/sweep.h"
#include "agent/broker/unit.h"
#include "agent/passwd.h"
#include "agent/policy.h"

#define SEALING "PrepareGoldenImage"
/* From its beginning: it may take half an hour, and the host a while to ask. */
#define SEALING_NS (45 * 60 * NS_PER_S)
#define AGENT_USER "infiniservice"

/* What an agent sends may be in it: a line of its own making would pass for one of ours. */
void broker_log(int priority, const char *format, ...)
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

/* --------------------------------------------------------------------------------------------------------- replies */

static void reply_send(struct broker *broker, struct msghdr *message)
{
	if (broker->peer_fd < 0 || sendmsg(broker->peer_fd, message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return;
	/* It has at most a reply or two for each of its requests to take: one that does not is none. */
	broker_log(LOG_WARNING, "the agent does not take its answers: %s", strerror(errno));
	shutdown(broker->peer_fd, SHUT_RDWR);
}

void broker_reply(struct broker *broker, struct executor_answer *answer, const char *words)
{
	struct iovec iov = { .iov_base = answer };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	iov.iov_len = executor_answer_fill(answer, words);
	reply_send(broker, &message);
}

void broker_reply_fds(struct broker *broker, struct executor_answer *answer, const int fds[2])
{
	union {
		char bytes[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr head;
	} control = { 0 };
	struct iovec iov = { .iov_base = answer };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};

	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(2 * sizeof(int));
	memcpy(CMSG_DATA(&control.head), fds, 2 * sizeof(int));
	iov.iov_len = executor_answer_fill(answer, "");
	reply_send(broker, &message);
}

void broker_refuse(struct broker *broker, uint64_t id, int error, int stage, const char *words)
{
	struct executor_answer answer = { .reply = {
						  .op = EXECUTOR_REFUSED, .id = id, .error = error, .stage = stage } };

	broker_reply(broker, &answer, words);
}

/* -------------------------------------------------------------------------------------------------------- requests */

/* NULL: nothing speaks against the configuration being asked. */
static const char *configuration(struct broker *broker)
{
	if (guard_refresh(&broker->guard) && !broker->guard.usable)
		broker_log(LOG_ERR, "nothing is allowed: %s", broker->guard.err.text);
	return broker->guard.usable ? NULL : broker->guard.err.text;
}

void broker_deny(struct broker *broker, uint64_t id, int stage, const char *what, const char *words)
{
	broker_log(LOG_WARNING, "refused to the agent: %.300s: %s", what ? what : "(no action)", words);
	broker_refuse(broker, id, EACCES, stage, words);
}

/*
 * What is kept writes to files of the agent's own, at their end. A descriptor confers what its opener was allowed: one
 * of another kind, or of somebody else's file, would be a way to have root write there.
 */
static bool are_files_of_agent(const struct broker *broker, const int files[2])
{
	struct stat st;

	for (int i = 0; i < 2; i++) {
		int flags = files[i] < 0 ? -1 : fcntl(files[i], F_GETFL);

		if (flags < 0 || (flags & O_ACCMODE) != O_WRONLY || !(flags & O_APPEND) || fstat(files[i], &st) < 0 ||
		    !S_ISREG(st.st_mode) || st.st_uid != broker->peer_uid)
			return false;
	}
	return true;
}

static int request_run(struct broker *broker, size_t len, const int files[2])
{
	static struct executor_command command;
	struct rules_verdict verdict = { .refusal = configuration(broker) };
	int error = executor_run_parse(broker->message, len, &command);

	if (error == -EBADMSG || error == -EPROTO)
		return error;
	if (error == 0 && command.unit && !are_files_of_agent(broker, files))
		return -EBADMSG;
	if (error == 0 && (command.run.flags & EXECUTOR_RUN_INPUT)) {
		ssize_t input = input_check(files[0]);

		if (input < 0)
			return -EBADMSG;
		error = input > BROKER_INPUT_MAX ? -E2BIG : 0;
	}
	if (error < 0) {
		broker_refuse(broker, command.run.head.id, -error, EXECUTOR_STAGE_EXEC, "");
		return 0;
	}
	if (!verdict.refusal)
		verdict = rules_judge_run(&command, &broker->guard.config);
	if (verdict.refusal)
		broker_deny(broker, command.run.head.id, EXECUTOR_STAGE_POLICY, command.action, verdict.refusal);
	else {
		if (strcmp(command.action, SEALING) == 0)
			broker->sealing_ns = moment_now().mono_ns;
		unit_start(broker, &command, &verdict, files);
	}
	return 0;
}

/*
 * Making a golden image takes the host's rights out of the configuration, the right to switch the guest off too. That
 * ends what the host has asked for, so it is allowed by what allowed the beginning.
 */
static bool ends_sealing(const struct broker *broker, const struct executor_call *call)
{
	return call->deed.deed == EXECUTOR_DEED_POWER_OFF && call->deed.group == GROUP_POWER && broker->sealing_ns &&
	       (strcmp(call->action, SEALING) == 0 || strcmp(call->action, "ShutdownSystem") == 0) &&
	       moment_now().mono_ns - broker->sealing_ns < SEALING_NS;
}

static int request_deed(struct broker *broker, size_t len)
{
	struct rules_verdict verdict = { .refusal = configuration(broker), .stage = EXECUTOR_STAGE_POLICY };
	struct executor_call call;
	int error = executor_deed_parse(broker->message, len, &call);

	if (error < 0)
		return error;
	if (!verdict.refusal)
		verdict = rules_judge_deed(&call, &broker->guard.config);
	if (verdict.refusal && verdict.stage == EXECUTOR_STAGE_POLICY && ends_sealing(broker, &call))
		verdict = (struct rules_verdict){ .refusal = NULL };
	if (verdict.refusal)
		broker_deny(broker, call.deed.head.id, verdict.stage, *call.argument ? call.argument : call.action,
			    verdict.refusal);
	else
		deed_start(broker, &call);
	return 0;
}

/* No policy is asked: it was when the unit was started. */
static int request_unit(struct broker *broker, size_t len)
{
	struct executor_unit_request request;
	const char *unit;
	int error = executor_unit_parse(broker->message, len, &request, &unit);

	if (error < 0)
		return error;
	if (request.head.op == EXECUTOR_ATTACH)
		unit_attach(broker, &request.head, unit);
	else
		sweep_release(broker, unit);
	return 0;
}

/* Negative: whoever is there does not keep to the protocol, or says that it leaves. */
static int request_take(struct broker *broker, size_t len, const int files[2])
{
	struct executor_request head;
	int error = executor_request_parse(broker->message, len, &head);

	if (error < 0)
		return error;
	switch (head.op) {
	case EXECUTOR_RUN:
		return request_run(broker, len, files);
	case EXECUTOR_ATTACH:
	case EXECUTOR_RELEASE:
		return request_unit(broker, len);
	case EXECUTOR_DEED:
		return request_deed(broker, len);
	case EXECUTOR_CANCEL:
		unit_cancel(broker, head.id, head.kill_ns);
		return 0;
	default:
		return -ESHUTDOWN;
	}
}

/* ----------------------------------------------------------------------------------------------------------- agents */

static void peer_end(struct broker *broker)
{
	broker->peer_source = sd_event_source_disable_unref(broker->peer_source);
	close_fd(&broker->peer_fd);
	deed_forget_all(broker, false);
	unit_orphan_all(broker);
	sweep_forget(broker);
	sd_event_source_set_enabled(broker->sweep, SD_EVENT_OFF);
	sd_event_source_set_enabled(broker->listener, SD_EVENT_ON);
	broker_rest(broker);
}

static int on_peer(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct broker *broker = data;
	int error, files[PACKET_FDS];
	ssize_t len = packet_receive(fd, broker->message, sizeof(broker->message), MSG_TRUNC, files);

	(void)source;
	(void)events;
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	error = len <= 0 ? -ESHUTDOWN : request_take(broker, (size_t)len, files);
	packet_close(files);
	if (error == -EBADMSG || error == -EPROTO)
		broker_log(LOG_WARNING, "the agent does not keep to the protocol (%s): it is cut off",
			   strerror(-error));
	if (error < 0)
		peer_end(broker);
	/*
	 * One of another version: after an upgrade it is we who are old. Our socket starts the program that is there
	 * now.
	 */
	return error == -EPROTO ? sd_event_exit(broker->event, EXIT_SUCCESS) : 0;
}

static bool peer_welcome(struct broker *broker, int fd)
{
	struct ucred peer = { .uid = (uid_t)-1 };
	uid_t uid = 0;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return false;
	broker->peer_uid = peer.uid;
	/* The file itself: the name service may ask a network, and everything that runs would wait. */
	if (peer.uid == 0 ||
	    (passwd_uid_of("/etc/passwd", broker->options.user ? broker->options.user : AGENT_USER, &uid) == 0 &&
	     peer.uid == uid))
		return true;
	broker_log(LOG_WARNING, "uid %u is not the agent's: refused", (unsigned)peer.uid);
	return false;
}

/* One at a time: whoever comes while there is one waits in the socket's queue. */
static int on_connection(sd_event_source *source, int listen_fd, uint32_t events, void *data)
{
	struct broker *broker = data;
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)source;
	(void)events;
	if (fd < 0)
		return 0;
	if (!peer_welcome(broker, fd) ||
	    sd_event_add_io(broker->event, &broker->peer_source, fd, EPOLLIN, on_peer, broker) < 0) {
		close(fd);
		return 0;
	}
	broker->peer_fd = fd;
	sd_event_source_set_enabled(broker->listener, SD_EVENT_OFF);
	sd_event_source_set_time_relative(broker->sweep, SWEEP_KEPT_MS * NS_PER_MS / NS_PER_US);
	sd_event_source_set_enabled(broker->sweep, SD_EVENT_ONESHOT);
	broker_rest(broker);
	return 0;
}

/* ------------------------------------------------------------------------------------------------------------- life */

void broker_ready(struct broker *broker)
{
	sd_event_source_set_enabled(broker->listener, SD_EVENT_ON);
}

void broker_rest(struct broker *broker)
{
	uint64_t idle_ms = broker->options.idle_ms ? broker->options.idle_ms : BROKER_IDLE_MS;

	if (broker->unit_count || broker->deed_count) {
		sd_event_source_set_enabled(broker->idle, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time_relative(broker->idle, idle_ms * NS_PER_MS / NS_PER_US);
	sd_event_source_set_enabled(broker->idle, SD_EVENT_ONESHOT);
}

/* The connection to PID 1 would wake us at every change of any unit. */
static int on_idle(sd_event_source *source, uint64_t usec, void *data)
{
	struct broker *broker = data;

	(void)source;
	(void)usec;
	if (broker->unit_count || broker->deed_count)
		return 0;
	broker_manager_close(broker);
	if (broker->system) {
		sd_bus_detach_event(broker->system);
		broker->system = sd_bus_close_unref(broker->system);
	}
	return broker->peer_fd >= 0 ? 0 : sd_event_exit(broker->event, EXIT_SUCCESS);
}

/* It opens the connection to PID 1 anew, which is to be closed again when nothing needs it. */
static int on_sweep(sd_event_source *source, uint64_t usec, void *data)
{
	(void)source;
	(void)usec;
	sweep_kept(data);
	broker_rest(data);
	return 0;
}

static void own_unit_find(struct broker *broker)
{
	char *unit = NULL;

	if (sd_pid_get_unit(0, &unit) >= 0 && strlen(unit) > 8 && strcmp(unit + strlen(unit) - 8, ".service") == 0)
		snprintf(broker->own_unit, sizeof(broker->own_unit), "%s", unit);
	free(unit);
}

static int broker_open(struct broker *broker)
{
	int r = sd_event_new(&broker->event);

	if (r >= 0)
		r = sd_event_add_io(broker->event, &broker->listener, broker->options.listen_fd, EPOLLIN, on_connection,
				    broker);
	if (r >= 0)
		r = sd_event_source_set_enabled(broker->listener, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_time(broker->event, &broker->idle, CLOCK_MONOTONIC, UINT64_MAX, 0, on_idle, broker);
	if (r >= 0)
		r = sd_event_add_time(broker->event, &broker->reconnect, CLOCK_MONOTONIC, UINT64_MAX, 0,
				      broker_reconnect, broker);
	if (r >= 0)
		r = sd_event_add_time(broker->event, &broker->sweep, CLOCK_MONOTONIC, UINT64_MAX, 0, on_sweep, broker);
	if (r >= 0)
		r = sd_event_source_set_enabled(broker->reconnect, SD_EVENT_OFF);
	return r;
}

static void broker_close(struct broker *broker)
{
	deed_forget_all(broker, false);
	unit_free_all(broker);
	broker_manager_close(broker);
	sd_bus_close_unref(broker->system);
	close_fd(&broker->peer_fd);
	sd_event_source_unref(broker->peer_source);
	sd_event_source_unref(broker->listener);
	sd_event_source_unref(broker->idle);
	sd_event_source_unref(broker->reconnect);
	sd_event_source_unref(broker->sweep);
	sd_event_unref(broker->event);
	guard_done(&broker->guard);
}

int broker_serve(const struct broker_options *options)
{
	static struct broker broker;
	int r;

	broker = (struct broker){ .options = *options,
				  .peer_fd = -1,
				  .next_number = clock_ns(CLOCK_BOOTTIME) / NS_PER_MS };
	guard_init(&broker.guard, options->config_dir);
	own_unit_find(&broker);
	fcntl(options->listen_fd, F_SETFL, O_NONBLOCK);
	signal(SIGPIPE, SIG_IGN);
	r = broker_open(&broker);
	if (r >= 0) {
		configuration(&broker);
		sweep_begin(&broker);
		broker_rest(&broker);
		r = sd_event_loop(broker.event);
	}
	if (r < 0)
		broker_log(LOG_ERR, "the executor cannot go on: %s", strerror(-r));
	broker_close(&broker);
	return r < 0 ? EXIT_FAILURE : r;
}
