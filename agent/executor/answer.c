/* SPDX-License-Identifier: MIT */
/* What the executor says, to the agent and to the journal, and what any of its parts may ask of it. */
#include "agent/executor/executor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>

#include <infiniservice/moment.h>

#include "agent/base/passwd.h"

#define AGENT_USER "infiniservice"

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

static void reply_send(struct executor *executor, struct msghdr *message)
{
	if (executor->peer_fd < 0 || sendmsg(executor->peer_fd, message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return;
	/* There are at most two replies per request, so a full socket means that the agent has stopped reading. */
	executor_log(LOG_WARNING, "the agent does not take its answers: %s", strerror(errno));
	shutdown(executor->peer_fd, SHUT_RDWR);
}

void executor_reply(struct executor *executor, struct runner_answer *answer, const char *words)
{
	struct iovec iov = { .iov_base = answer };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	iov.iov_len = runner_answer_fill(answer, words);
	reply_send(executor, &message);
}

void executor_reply_fds(struct executor *executor, struct runner_answer *answer, const int fds[2])
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
	iov.iov_len = runner_answer_fill(answer, "");
	reply_send(executor, &message);
}

void executor_refuse(struct executor *executor, uint64_t id, int error, int stage, const char *words)
{
	struct runner_answer answer = { .reply = { .op = RUNNER_REFUSED, .id = id, .error = error, .stage = stage } };

	executor_reply(executor, &answer, words);
}

void executor_deny(struct executor *executor, uint64_t id, int stage, const char *what, const char *words)
{
	executor_log(LOG_WARNING, "refused to the agent: %.300s: %s", what ? what : "(no action)", words);
	executor_refuse(executor, id, EACCES, stage, words);
}

bool executor_welcomes(struct executor *executor, int fd)
{
	struct ucred peer = { .uid = (uid_t)-1 };
	uid_t uid = 0;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return false;
	executor->peer_uid = peer.uid;
	/* The file itself: the name service may ask a network, and everything that runs would wait. */
	if (peer.uid == 0 ||
	    (passwd_uid_of("/etc/passwd", executor->options.user ? executor->options.user : AGENT_USER, &uid) == 0 &&
	     peer.uid == uid))
		return true;
	executor_log(LOG_WARNING, "uid %u is not the agent's: refused", (unsigned)peer.uid);
	return false;
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
