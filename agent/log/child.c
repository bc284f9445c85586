/* SPDX-License-Identifier: MIT */
/*
 * Reads a message, executes it, acknowledges it; every call may block. The clock is read here, once a message, because
 * the writer takes time as an argument.
 */
#include "agent/log/child.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/log/latest.h"

/* A larger payload buffer is freed after use. */
#define BUFFER_KEPT 65536u

struct child {
	int fd;
	const struct log_child_config *config;
	struct writer writer;
	uint64_t written, dropped, duplicates;
	bool latest_is_ours;
	char *buffer;
	size_t size;
};

/* Reads `len` bytes. 1: all were read, 0: end of file (a dead agent may leave a partial message), or -errno. */
static int read_whole(int fd, void *to, size_t len)
{
	char *at = to;

	while (len > 0) {
		ssize_t got = read(fd, at, len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? -errno : 0;
		at += got;
		len -= (size_t)got;
	}
	return 1;
}

static int send_whole(int fd, const void *from, size_t len)
{
	const char *at = from;

	while (len > 0) {
		ssize_t sent = send(fd, at, len, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -errno;
		at += sent;
		len -= (size_t)sent;
	}
	return 0;
}

static int buffer_reserve(struct child *c, size_t len)
{
	char *more;

	if (len <= c->size && (c->size <= BUFFER_KEPT || len > BUFFER_KEPT))
		return 0;
	len = len > BUFFER_KEPT ? len : BUFFER_KEPT;
	more = realloc(c->buffer, len);
	if (!more)
		return -ENOMEM;
	c->buffer = more;
	c->size = len;
	return 0;
}

static int line_append(struct child *c, const struct log_message *m, struct log_ack *ack)
{
	struct moment now = moment_now();
	int rc;

	now.wall_ms = m->wall_ms;
	if (m->type == LOG_LINE_AGAIN && m->seq) {
		rc = writer_open(&c->writer); /* last_seq is unknown before */
		if (!rc && m->seq <= c->writer.last_seq) {
			c->duplicates++;
			c->written++;
			return 0;
		}
	}
	rc = writer_append(&c->writer, c->buffer, m->len, m->seq, now);
	if (rc < 0) {
		c->dropped++;
		return rc;
	}
	c->written++;
	ack->sync_error = -rc;
	return 0;
}

static int message_do(struct child *c, const struct log_message *m, struct log_ack *ack)
{
	switch (m->type) {
	case LOG_LINE:
	case LOG_LINE_AGAIN:
		return line_append(c, m, ack);
	case LOG_LATEST:
		/*
		 * A FIFO or socket of that name belongs to another program. From the first sample on the name is the
		 * agent's own file.
		 */
		if (!c->latest_is_ours && !latest_is_free(c->config->runtime_dir))
			return -EEXIST;
		c->latest_is_ours = true;
		return latest_write(c->config->runtime_dir, &c->config->latest_readers, c->buffer, m->len);
	case LOG_SYNC:
		return writer_sync(&c->writer, moment_now());
	case LOG_STOP:
		return writer_close(&c->writer, moment_now());
	}
	return -EINVAL;
}

static int ack_send(const struct child *c, struct log_ack *ack)
{
	ack->last_seq = c->writer.last_seq;
	ack->written = c->written;
	ack->dropped = c->dropped;
	ack->duplicates = c->duplicates;
	ack->segments = c->writer.stats.segments;
	ack->removed = c->writer.stats.removed;
	ack->abandoned = c->writer.stats.abandoned;
	ack->repaired_bytes = c->writer.stats.repaired_bytes;
	return send_whole(c->fd, ack, sizeof(*ack));
}

/* Handles one message. 1: go on, 0: end of file or LOG_STOP, or -errno. */
static int turn(struct child *c)
{
	struct log_message m;
	struct log_ack ack = { 0 };
	int rc = read_whole(c->fd, &m, sizeof(m));

	if (rc <= 0)
		return rc;
	if (m.len > LOG_PAYLOAD_MAX)
		return -EMSGSIZE;
	rc = buffer_reserve(c, m.len);
	if (rc)
		return rc;
	rc = read_whole(c->fd, c->buffer, m.len);
	if (rc <= 0)
		return rc;
	ack.id = m.id;
	ack.type = m.type;
	ack.error = message_do(c, &m, &ack);
	rc = ack_send(c, &ack);
	/* An agent that has died does not read the acknowledgement; its remaining messages are still written. */
	if (rc && rc != -EPIPE && rc != -ECONNRESET)
		return rc;
	return m.type != LOG_STOP;
}

static void signals_ignore(void)
{
	static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ };

	for (unsigned i = 0; i < ARRAY_SIZE(ignored); i++)
		signal(ignored[i], SIG_IGN);
}

int log_child_main(int fd, const struct log_child_config *config)
{
	/* static because it is large; there is one such child per process */
	static struct child child;
	struct log_ack hello = { 0 };
	int rc;

	signals_ignore();
	child = (struct child){ .fd = fd, .config = config };
	writer_init(&child.writer, &config->writer);
	hello.error = config->writer.dir[0] ? writer_open(&child.writer) : 0;
	rc = ack_send(&child, &hello);
	if (rc == 0 || rc == -EPIPE)
		while ((rc = turn(&child)) > 0)
			;
	writer_close(&child.writer, moment_now());
	free(child.buffer);
	return rc == 0 || rc == -ECONNRESET ? 0 : 1;
}
