/* SPDX-License-Identifier: MIT */
/*
 * Reads a message, executes it, acknowledges it; every call may block. The clock is read here, once a message, because
 * the writer takes time as an argument.
 */
#include "agent/log/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/magic.h>

#include <infiniservice/cleanup.h>

#include "agent/log/io.h"
#include "agent/log/tiers.h"

/* A larger payload buffer is freed after use. */
#define BUFFER_KEPT 65536u

struct child {
	const struct log_child_config *config;
	struct writer writer;
	struct tiers *tiers; /* NULL: none are kept */
	bool latest_is_ours;
	char *buffer; /* the payload of the present message */
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

/* ------------------------------------------------------------------------------------------------------ latest.json */

static const char temporary[] = ".latest.json.new";

static int temporary_make(int dir_fd)
{
	int fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

int latest_write(const char *dir, const struct log_readers *readers, const char *text, size_t len)
{
	_cleanup_(closep) int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closep) int fd = -1;
	int rc;

	if (dir_fd < 0)
		return -errno;
	fd = temporary_make(dir_fd);
	/* A leftover of a writer that died, or another user's file: never opened, but replaced by a new one. */
	if (fd == -EEXIST)
		fd = unlinkat(dir_fd, temporary, 0) < 0 ? -errno : temporary_make(dir_fd);
	if (fd < 0)
		return fd;
	rc = log_readers_give(readers, fd, 0640);
	if (!rc)
		rc = write_whole(fd, text, len);
	if (!rc && renameat(dir_fd, temporary, dir_fd, LATEST_NAME) < 0)
		rc = -errno;
	if (rc)
		unlinkat(dir_fd, temporary, 0);
	return rc;
}

bool latest_is_free(const char *dir)
{
	_cleanup_(closep) int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	return dir_fd < 0 || fstatat(dir_fd, LATEST_NAME, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISREG(st.st_mode);
}

bool latest_in_memory(const char *dir)
{
	struct statfs fs;

	return statfs(dir, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

/* ------------------------------------------------------------------------------------------------------- the child */

/* Does what a message says. 0 or -errno. */
static int message_do(struct child *c, const struct log_message *m, struct log_ack *ack)
{
	struct moment now = moment_now();
	int rc;

	switch (m->type) {
	case LOG_LINE_AGAIN:
		/* The last seq is unknown before the log is open. */
		if (m->seq && writer_open(&c->writer) == 0 && m->seq <= c->writer.last_seq)
			return 0;
		/* fall through */
	case LOG_LINE:
		now.wall_ms = m->wall_ms;
		rc = writer_append(&c->writer, c->buffer, m->len, m->seq, now);
		ack->sync_error = rc > 0 ? -rc : 0;
		if (rc >= 0 && c->tiers) {
			int summary = tiers_add(c->tiers, c->buffer, m->len - 1, m->seq, now);

			ack->sync_error = ack->sync_error ? ack->sync_error : -abs(summary);
		}
		ack->wants_whole = rc >= 0 && writer_wants_whole(&c->writer);
		return rc < 0 ? rc : 0;
	case LOG_LATEST:
		/*
		 * A FIFO or socket of that name belongs to another program. From the first sample on the name is the
		 * agent's own file.
		 */
		if (!c->latest_is_ours && !latest_is_free(c->config->runtime_dir))
			return -EEXIST;
		c->latest_is_ours = true;
		return latest_write(c->config->runtime_dir, &c->config->latest_readers, c->buffer, m->len);
	case LOG_STOP:
		ack->sync_error = c->tiers ? tiers_close(c->tiers, now) : 0;
		return writer_close(&c->writer, now);
	}
	return -EINVAL;
}

/* Reads the next message and its payload. 1, 0: end of file, or -errno. */
static int message_read(struct child *c, int fd, struct log_message *m)
{
	int rc = read_whole(fd, m, sizeof(*m));

	if (rc <= 0)
		return rc;
	if (m->len > LOG_PAYLOAD_MAX)
		return -EMSGSIZE;
	if (m->len > c->size || (c->size > BUFFER_KEPT && m->len <= BUFFER_KEPT)) {
		size_t size = m->len > BUFFER_KEPT ? m->len : BUFFER_KEPT;
		char *buffer = realloc(c->buffer, size);

		if (!buffer)
			return -ENOMEM;
		c->buffer = buffer;
		c->size = size;
	}
	return read_whole(fd, c->buffer, m->len);
}

/* Does what is not urgent, a piece at a time, until a message comes. */
static void work(struct child *c, int fd)
{
	struct pollfd message = { .fd = fd, .events = POLLIN };

	while (poll(&message, 1, 0) == 0 && (writer_work(&c->writer) || (c->tiers && tiers_work(c->tiers))))
		;
}

/* Opens the log and takes up the work of an earlier writer. */
static void child_open(struct child *c, struct log_ack *ack)
{
	const struct writer_config *whole = &c->config->writer;
	struct writer_config samples = *whole, minutes, hours;

	if (c->config->tiers && *whole->dir && tiers_new(&c->writer, whole, &c->tiers) == 0)
		tiers_share(whole, &samples, &minutes, &hours);
	writer_init(&c->writer, &samples);
	if (!*whole->dir)
		return;
	ack->error = writer_open(&c->writer);
	if (ack->error == 0 && c->tiers)
		ack->error = tiers_open(c->tiers, moment_now());
}

int log_child_main(int fd, void *config)
{
	static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGXFSZ };
	/* static because it is large; there is one such child per process */
	static struct child child;
	struct log_message m = { 0 };
	struct log_ack ack = { 0 };
	int rc;

	for (unsigned i = 0; i < ARRAY_SIZE(ignored); i++)
		signal(ignored[i], SIG_IGN);
	child = (struct child){ .config = config };
	child_open(&child, &ack);
	for (;;) {
		ack.last_seq = child.writer.last_seq;
		rc = write_whole(fd, &ack, sizeof(ack));
		/* An agent that has died does not read it; its remaining messages are still written. */
		if ((rc && rc != -EPIPE && rc != -ECONNRESET) || m.type == LOG_STOP)
			break;
		work(&child, fd);
		rc = message_read(&child, fd, &m);
		if (rc <= 0)
			break;
		ack = (struct log_ack){ .id = m.id };
		ack.error = message_do(&child, &m, &ack);
	}
	writer_close(&child.writer, moment_now());
	tiers_free(child.tiers);
	free(child.buffer);
	return rc == 0 || rc == -EPIPE || rc == -ECONNRESET ? 0 : 1;
}
