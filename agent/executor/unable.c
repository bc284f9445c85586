/* SPDX-License-Identifier: MIT */
/* The executor without libsystemd: refuses every request with the reason; see executor.h. */
#include "agent/executor/executor.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <syslog.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

static void take_connection(struct executor *executor)
{
	int fd = accept4(executor->options.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0 && executor_welcomes(executor, fd))
		executor->peer_fd = fd;
	else
		closep(&fd);
}

static void take_request(struct executor *executor, const char *words)
{
	struct runner_request head;
	int files[PACKET_FDS];
	ssize_t len = packet_receive(executor->peer_fd, executor->message, sizeof(executor->message), MSG_TRUNC, files);

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	packet_close(files);
	if (len <= 0 || runner_request_parse(executor->message, (size_t)len, &head) < 0)
		close_fd(&executor->peer_fd);
	else if (head.op == RUNNER_RUN || head.op == RUNNER_OPERATION)
		executor_refuse(executor, head.id, ELIBACC, RUNNER_STAGE_EXECUTOR, words);
}

void executor_serve_unable(struct executor *executor, const char *words)
{
	uint64_t unable_ms = executor->options.unable_ms ? executor->options.unable_ms : EXECUTOR_UNABLE_MS;
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC), end_ns = now_ns + unable_ms * NS_PER_MS;

	executor_log(LOG_ERR, "%s", words);
	for (; now_ns < end_ns; now_ns = clock_ns(CLOCK_MONOTONIC)) {
		bool alone = executor->peer_fd < 0;
		struct pollfd watched = { .fd = alone ? executor->options.listen_fd : executor->peer_fd,
					  .events = POLLIN };

		if (poll(&watched, 1, (int)((end_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS)) <= 0)
			continue;
		if (alone)
			take_connection(executor);
		else
			take_request(executor, words);
	}
	close_fd(&executor->peer_fd);
}
