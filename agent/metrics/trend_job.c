/* SPDX-License-Identifier: MIT */
/* The helper that reads the log for trend.h: it sends one struct trend and ends. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ev.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/moment.h>

#include "agent/base/helper.h"
#include "agent/log/reader.h"
#include "agent/metrics/trend.h"

struct trend_job {
	struct ev_loop *loop;
	ev_io io;
	ev_child child;
	int fd;
	pid_t pid; /* 0 once it has been reaped */
	void (*done)(void *data, const struct trend *trend);
	void *data;
};

/* ------------------------------------------------------------------------------------------------- in the helper */

static void read_log(struct reader *reader, const struct trend_request *request, struct trend *trend)
{
	uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + request->limit_ms * NS_PER_MS;
	int64_t next_ms = INT64_MIN;
	struct reader_line line;

	reader_range(reader, request->begin_ms, request->end_ms);
	for (uint64_t lines = 0; reader_next(reader, &line) > 0; lines++) {
		if (lines % 64 == 63 && clock_ns(CLOCK_MONOTONIC) >= end_ns) {
			trend->partial = true;
			return;
		}
		if (line.wall_ms < next_ms)
			continue;
		if (trend_add(trend, line.text, line.len, line.wall_ms))
			next_ms = line.wall_ms + TREND_STRIDE_MS;
		else
			trend->bad_lines++;
	}
}

static int helper(int fd, void *data)
{
	const struct trend_request *request = data;
	struct trend *trend = calloc(1, sizeof(*trend));
	struct reader *reader = NULL;
	int r = trend ? reader_open_dir(request->dir, &reader, NULL) : -ENOMEM;

	if (r == 0)
		read_log(reader, request, trend);
	reader_free(reader);
	if (trend) {
		trend->error = r;
		r = send(fd, trend, sizeof(*trend), MSG_NOSIGNAL) == (ssize_t)sizeof(*trend) ? 0 : -EIO;
	}
	free(trend);
	return r < 0;
}

/* -------------------------------------------------------------------------------------------------- in the agent */

struct trend_job *trend_cancel(struct trend_job *job)
{
	if (!job)
		return NULL;
	ev_io_stop(job->loop, &job->io);
	ev_child_stop(job->loop, &job->child);
	if (job->pid)
		kill(job->pid, SIGKILL);
	close_fd(&job->fd);
	free(job);
	return NULL;
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
	struct trend_job *job = io->data;
	void (*done)(void *data, const struct trend *trend) = job->done;
	void *data = job->data;
	struct trend *trend = calloc(1, sizeof(*trend));
	ssize_t got = trend ? recv(job->fd, trend, sizeof(*trend), MSG_DONTWAIT) : 0;

	(void)loop;
	(void)events;
	if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
		free(trend);
		return;
	}
	trend_cancel(job);
	done(data, got == (ssize_t)sizeof(*trend) ? trend : NULL);
	free(trend);
}

static void on_reaped(struct ev_loop *loop, ev_child *child, int events)
{
	struct trend_job *job = child->data;

	(void)events;
	ev_child_stop(loop, child);
	job->pid = 0; /* the end of its socket does the rest */
}

int trend_start(struct ev_loop *loop, const struct trend_request *request,
		void (*done)(void *data, const struct trend *trend), void *data, struct trend_job **ret)
{
	struct trend_job *job = calloc(1, sizeof(*job));
	struct trend_request copy = *request;
	int r;

	if (!job)
		return -ENOMEM;
	*job = (struct trend_job){ .loop = loop, .fd = -1, .done = done, .data = data };
	r = helper_fork("infini-trend", helper, &copy, SOCK_SEQPACKET, &job->fd, &job->pid);
	if (r < 0) {
		free(job);
		return r;
	}
	ev_io_init(&job->io, on_readable, job->fd, EV_READ);
	job->io.data = job;
	ev_io_start(loop, &job->io);
	ev_child_init(&job->child, on_reaped, job->pid, 0);
	job->child.data = job;
	ev_child_start(loop, &job->child);
	*ret = job;
	return 0;
}
