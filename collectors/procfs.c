/* SPDX-License-Identifier: MIT */
/*
 * Reading /proc and /sys without allocation in the steady state. A text is read in as many preads as it needs:
 * seq_file (fs/seq_file.c) hands out a page or so at a time and goes on where the last read ended.
 */
#include "procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#define BUFFER_FIRST 2048 /* most texts fit, and several share a page */

/* Errors of an open fd whose file has gone or was replaced. */
static bool fd_died(int error)
{
	return error == -ESTALE || error == -ENOENT || error == -ENODEV || error == -ESRCH || error == -ENXIO;
}

static int buffer_grow(struct procfs_buffer *buffer)
{
	size_t max = buffer->max ? buffer->max : PROCFS_BUFFER_MAX;
	size_t size = buffer->size ? 2 * buffer->size : BUFFER_FIRST;
	char *text;

	if (size > max)
		size = max;
	if (size <= buffer->size)
		return -EFBIG;
	text = realloc(buffer->text, size);
	if (!text)
		return -ENOMEM;
	buffer->text = text;
	buffer->size = size;
	return 0;
}

/* The text goes on after the last byte that fits: keep whole lines only. */
static void buffer_cut(struct procfs_buffer *buffer)
{
	const char *newline = memrchr(buffer->text, '\n', buffer->len);

	buffer->truncated = true;
	buffer->len = newline ? (size_t)(newline + 1 - buffer->text) : 0;
}

static ssize_t pread_retry(int fd, char *text, size_t size, size_t offset)
{
	ssize_t n;

	do
		n = pread(fd, text, size, (off_t)offset);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static bool was_last(const struct procfs_file *file, size_t n, size_t room)
{
	return file->short_records && n < room && n + PROCFS_RECORD_MAX <= PROCFS_PAGE_MIN;
}

static int read_all(const struct procfs_file *file, struct procfs_buffer *buffer)
{
	buffer->len = 0;
	buffer->truncated = false;
	for (;;) {
		size_t room = buffer->size - buffer->len;
		ssize_t n;

		if (room == 0) {
			int r = buffer_grow(buffer);

			if (r == -EFBIG)
				return buffer_cut(buffer), 0;
			if (r < 0)
				return r;
			continue;
		}
		n = pread_retry(file->fd, buffer->text + buffer->len, room, buffer->len);
		if (n < 0)
			return (int)n;
		buffer->len += (size_t)n;
		if (n == 0 || (file->single && (size_t)n < room) || was_last(file, (size_t)n, room))
			return 0;
	}
}

int procfs_read(struct procfs_file *file, int dir_fd, const char *path, struct procfs_buffer *buffer)
{
	bool kept = file->fd >= 0;
	int r;

	for (;;) {
		if (file->fd < 0)
			file->fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		r = file->fd < 0 ? -errno : read_all(file, buffer);
		if (r == 0)
			return 0;
		procfs_close(file);
		if (!kept || !fd_died(r))
			break;
		kept = false;
	}
	buffer->len = 0;
	return r;
}

ssize_t procfs_read_once(int dir_fd, const char *path, char *text, size_t size)
{
	_cleanup_(closep) int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	size_t len = 0;

	if (fd < 0)
		return -errno;
	while (len < size) {
		ssize_t n = pread_retry(fd, text + len, size - len, len);

		if (n < 0)
			return n;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

void procfs_close(struct procfs_file *file)
{
	close_fd(&file->fd);
}

void procfs_buffer_free(struct procfs_buffer *buffer)
{
	free(buffer->text);
	*buffer = (struct procfs_buffer){ .max = buffer->max };
}

bool scan_i64(struct scan *line, int64_t *ret)
{
	struct scan at = *line;
	uint64_t magnitude;
	bool negative;

	scan_blanks(&at);
	negative = scan_byte(&at, '-');
	if (at.at < at.end && (*at.at == ' ' || *at.at == '\t'))
		return false;
	if (!scan_u64(&at, &magnitude) || magnitude > (uint64_t)INT64_MAX + negative)
		return false;
	*ret = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
	*line = at;
	return true;
}

bool scan_decimal(struct scan *line, double *ret)
{
	struct scan at = *line;
	uint64_t whole, fraction = 0;
	double divisor = 1;

	scan_blanks(&at);
	if (!scan_digits(&at, &whole))
		return false;
	if (scan_byte(&at, '.')) {
		const char *start = at.at;

		if (!scan_digits(&at, &fraction))
			return false;
		for (; start < at.at; start++)
			divisor *= 10;
	}
	if (at.at < at.end && *at.at != ' ' && *at.at != '\t')
		return false;
	*ret = (double)whole + (double)fraction / divisor;
	*line = at;
	return true;
}
