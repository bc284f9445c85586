/* SPDX-License-Identifier: MIT */
/* See history_reader.h. The child is slowed down by not reading from it. */
#include "agent/metrics/history_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <infiniservice/cleanup.h>

#include "agent/base/helper.h"
#include "transport/addition.h"

#define READ_BYTES     65536
#define LINE_BYTES_MAX (ADDITION_SAMPLE_MAX + HISTORY_SEQ_DIGITS + 2)

struct bytes {
	char *at;
	size_t len, cap;
};

struct history_reader {
	struct history_reader_config config;
	struct history_wanted wanted;
	int fd;
	ev_io io;
	struct deadline wait; /* set while a batch is incomplete */
	struct deadline pace; /* set while nothing is read */
	struct bytes in, batch;
	struct bytes filled; /* the next sample, if it is the first of a batch; empty: as it is */
	unsigned items;	     /* in the batch */
	struct history_read read;
};

static bool bytes_reserve(struct bytes *bytes, size_t more)
{
	size_t cap = bytes->cap ? bytes->cap : READ_BYTES;
	char *at;

	while (cap < bytes->len + more)
		cap *= 2;
	if (cap == bytes->cap)
		return true;
	at = realloc(bytes->at, cap);
	if (!at)
		return false;
	bytes->at = at;
	bytes->cap = cap;
	return true;
}

static void stop(struct history_reader *reader)
{
	ev_io_stop(reader->config.loop->ev, &reader->io);
	deadline_stop(&reader->wait);
	deadline_stop(&reader->pace);
}

/* The reader may have been freed afterwards. */
static void end(struct history_reader *reader, bool more, const char *error)
{
	stop(reader);
	reader->config.ended(reader->config.data, more, error);
}

static bool crowded(const struct history_reader *reader)
{
	return reader->config.crowded(reader->config.data);
}

bool history_reader_flush(struct history_reader *reader, bool last)
{
	bool taken;

	deadline_stop(&reader->wait);
	taken = reader->config.batch(reader->config.data, reader->batch.at, reader->batch.len, last);
	if (taken && reader->items)
		reader->read.delivered_seq = reader->read.last_seq;
	reader->batch.len = 0;
	reader->items = 0;
	return taken;
}

/* ------------------------------------------------------------------------------------------ the lines of the child */

enum taken { TAKEN, TAKEN_LATER, TAKEN_END };

/* Takes one line of the child. TAKEN_LATER: the batch has to be handed out first; TAKEN_END: the reading has ended. */
static enum taken take_line(struct history_reader *reader, char *line, size_t len)
{
	struct bytes *batch = &reader->batch;
	char *json;
	uint64_t seq;

	if (*line == '=') {
		if (!bytes_reserve(&reader->filled, len)) {
			end(reader, false, strerror(ENOMEM));
			return TAKEN_END;
		}
		memcpy(reader->filled.at, line + 1, len - 1);
		reader->filled.len = len - 1;
		return TAKEN;
	}
	line[len] = '\0';
	if (*line == '.' || *line == '+' || *line == '!') {
		end(reader, *line == '+', *line == '!' ? line + 1 : NULL);
		return TAKEN_END;
	}
	seq = strtoull(line, &json, 10);
	if (*json != ' ') {
		end(reader, false, "its reader talks nonsense");
		return TAKEN_END;
	}
	json++;
	len -= (size_t)(json - line);
	if (reader->items == HISTORY_BATCH_ITEMS ||
	    (reader->items && batch->len + len + 1 > reader->config.batch_bytes)) {
		json[len] = '\n';
		return TAKEN_LATER;
	}
	if (reader->items == 0 && reader->filled.len) {
		json = reader->filled.at;
		len = reader->filled.len;
	}
	if (!bytes_reserve(batch, len + 1)) {
		end(reader, false, strerror(ENOMEM));
		return TAKEN_END;
	}
	if (reader->items++)
		batch->at[batch->len++] = ',';
	else
		deadline_after(&reader->wait, HISTORY_BATCH_WAIT_NS);
	memcpy(batch->at + batch->len, json, len);
	batch->len += len;
	reader->filled.len = 0;
	if (reader->read.count++ == 0)
		reader->read.first_seq = seq;
	reader->read.last_seq = seq;
	return TAKEN;
}

/* Processes the bytes received. The reader may have been freed afterwards. */
static void pump(struct history_reader *reader)
{
	char *at = reader->in.at, *newline;

	while (reader->in.len && (newline = memchr(at, '\n', reader->in.len))) {
		size_t len = (size_t)(newline - at);
		bool full = crowded(reader);
		enum taken taken = full ? TAKEN_LATER : take_line(reader, at, len);

		if (taken == TAKEN_END)
			return;
		if (taken == TAKEN_LATER && !full && !history_reader_flush(reader, false)) {
			end(reader, false, HISTORY_NOT_TAKEN);
			return;
		}
		if (taken == TAKEN_LATER) {
			ev_io_stop(reader->config.loop->ev, &reader->io);
			deadline_after(&reader->pace, full ? HISTORY_CROWDED_NS : HISTORY_PACE_NS);
			break;
		}
		at += len + 1;
		reader->in.len -= len + 1;
	}
	if (reader->in.len)
		memmove(reader->in.at, at, reader->in.len);
	if (!deadline_is_set(&reader->pace))
		ev_io_start(reader->config.loop->ev, &reader->io);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
	struct history_reader *reader = container_of(io, struct history_reader, io);
	ssize_t n;

	loop_work(loop, "history", NULL);
	(void)events;
	if (reader->in.len > LINE_BYTES_MAX || !bytes_reserve(&reader->in, READ_BYTES + 1)) {
		end(reader, false, strerror(ENOMEM));
		return;
	}
	n = recv(reader->fd, reader->in.at + reader->in.len, READ_BYTES, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		end(reader, false, "its reader died");
		return;
	}
	reader->in.len += (size_t)n;
	pump(reader);
}

static void on_pace(void *data)
{
	loop_work(((struct history_reader *)data)->config.loop->ev, "history", NULL);
	pump(data);
}

static void on_wait(void *data)
{
	struct history_reader *reader = data;

	if (!crowded(reader) && !history_reader_flush(reader, false))
		end(reader, false, HISTORY_NOT_TAKEN);
}

/* ------------------------------------------------------------------------------------------------------------ life */

int history_reader_new(const struct history_reader_config *config, const struct history_wanted *wanted,
		       struct history_reader **ret)
{
	struct history_reader *reader = calloc(1, sizeof(*reader));
	pid_t pid;
	int r;

	if (!reader)
		return -ENOMEM;
	reader->config = *config;
	reader->wanted = *wanted;
	r = helper_fork("infini-history", history_child, &reader->wanted, SOCK_STREAM, &reader->fd, &pid);
	if (r < 0) {
		free(reader);
		return r;
	}
	ev_io_init(&reader->io, on_readable, reader->fd, EV_READ);
	deadline_init(&reader->wait, config->loop, on_wait, reader);
	deadline_init(&reader->pace, config->loop, on_pace, reader);
	ev_io_start(config->loop->ev, &reader->io);
	*ret = reader;
	return 0;
}

struct history_reader *history_reader_free(struct history_reader *reader)
{
	if (!reader)
		return NULL;
	stop(reader);
	close_fd(&reader->fd);
	free(reader->in.at);
	free(reader->batch.at);
	free(reader->filled.at);
	free(reader);
	return NULL;
}

struct history_read history_reader_read(const struct history_reader *reader)
{
	return reader->read;
}
