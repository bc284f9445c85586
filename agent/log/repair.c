/* SPDX-License-Identifier: MIT */
/*
 * Reads the newest segment backwards from its end: everything after the last newline is cut off, and so is a last line
 * that cannot be whole (a power cut may leave zeros where bytes never reached the disk). The last seq is searched the
 * same way.
 */
#include "agent/log/repair.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/log/scan.h"

#define BLOCK 65536u
/* A longer "line" is malformed. */
#define LINE_MAX_BYTES (8u << 20)

/* The end of a file, grown towards its beginning on demand; text[0] is at `offset`. */
struct tail {
	int fd;
	char *text;
	size_t len;
	uint64_t offset;
};

static int pread_whole(int fd, char *to, size_t len, uint64_t offset)
{
	while (len > 0) {
		ssize_t got = pread(fd, to, len, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? -errno : -EIO;
		to += got;
		len -= (size_t)got;
		offset += (uint64_t)got;
	}
	return 0;
}

/* Reads more bytes in front. 0, 1 at the beginning of the file, or -errno. */
static int tail_grow(struct tail *t)
{
	size_t more = t->len < BLOCK ? BLOCK : t->len;
	char *text;
	int rc;

	if (t->offset == 0)
		return 1;
	if (t->len > LINE_MAX_BYTES)
		return -EFBIG;
	if (more > t->offset)
		more = (size_t)t->offset;
	text = malloc(more + t->len);
	if (!text)
		return -ENOMEM;
	rc = pread_whole(t->fd, text, more, t->offset - more);
	if (rc) {
		free(text);
		return rc;
	}
	if (t->len)
		memcpy(text + more, t->text, t->len);
	free(t->text);
	t->text = text;
	t->len += more;
	t->offset -= more;
	return 0;
}

static void tail_done(struct tail *t)
{
	free(t->text);
}

/* Drops the bytes from `len` on. */
static void tail_cut(struct tail *t, size_t len)
{
	t->len = len;
}

/*
 * Finds the last line in the tail, which grows as needed: 1 and its place (without the newline), 0 if there is none, or
 * -errno. Bytes after the last newline are dropped first.
 */
static int tail_last_line(struct tail *t, size_t *ret_start, size_t *ret_len)
{
	for (;;) {
		const char *newline = t->len ? memrchr(t->text, '\n', t->len) : NULL, *before;
		int rc;

		if (newline) {
			tail_cut(t, (size_t)(newline - t->text) + 1);
			before = t->len > 1 ? memrchr(t->text, '\n', t->len - 1) : NULL;
			if (before || t->offset == 0) {
				*ret_start = before ? (size_t)(before - t->text) + 1 : 0;
				*ret_len = t->len - 1 - *ret_start;
				return 1;
			}
		} else if (t->len > BLOCK) {
			tail_cut(t, 0); /* no newline in the whole stretch: no line ends in it */
		}
		rc = tail_grow(t);
		if (rc == -EFBIG) {
			tail_cut(t, t->len - 1); /* too long for a line: drop its newline and search on */
			rc = 0;
		}
		if (rc == 1) {
			tail_cut(t, 0);
			return 0;
		}
		if (rc)
			return rc;
	}
}

/* Finds the end of the last whole line; `ret_scan` has its facts (type "" if there is none). */
static int find_end(int fd, uint64_t size, uint64_t *ret_end, struct scan *ret_scan)
{
	_cleanup_(tail_done) struct tail t = { .fd = fd, .offset = size };
	size_t start, len;
	int rc;

	for (;;) {
		rc = tail_last_line(&t, &start, &len);
		if (rc < 0)
			return rc;
		if (rc == 0) {
			memset(ret_scan, 0, sizeof(*ret_scan));
			*ret_end = 0;
			return 0;
		}
		if (scan_line(t.text + start, len, ret_scan)) {
			*ret_end = t.offset + start + len + 1;
			return 0;
		}
		tail_cut(&t, start);
	}
}

/* Finds the seq of the last line that has one; 0 if none. */
static int find_seq(int fd, uint64_t end, uint64_t *ret_seq)
{
	_cleanup_(tail_done) struct tail t = { .fd = fd, .offset = end };
	struct scan scan;
	size_t start, len;
	int rc;

	*ret_seq = 0;
	while ((rc = tail_last_line(&t, &start, &len)) > 0) {
		if (scan_line(t.text + start, len, &scan) && scan.seq) {
			*ret_seq = scan.seq;
			return 0;
		}
		tail_cut(&t, start);
	}
	return rc;
}

/* Opens a segment that is safe to write: a regular file with one name, of root or this user, writable by no other. */
static int open_segment(int dir_fd, const struct segment_name *name, int flags, uint64_t *ret_size)
{
	char file[NAMES_SIZE];
	struct stat st;
	int fd;

	names_format(name, file);
	fd = openat(dir_fd, file, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1 || (st.st_mode & (S_IWGRP | S_IWOTH)) ||
	    (st.st_uid != 0 && st.st_uid != geteuid())) {
		close(fd);
		return -EPERM;
	}
	*ret_size = (uint64_t)st.st_size;
	return fd;
}

/* A segment with nothing but its header: the last seq is the header's first_seq minus one. */
static uint64_t header_seq(int fd)
{
	char text[1024];
	ssize_t len = pread(fd, text, sizeof(text) - 1, 0);
	const char *at;

	if (len <= 0)
		return 0;
	text[len] = '\0';
	at = strstr(text, "\"first_seq\":");
	at = at ? at + strlen("\"first_seq\":") : "0";
	return strtoull(at, NULL, 10) > 0 ? strtoull(at, NULL, 10) - 1 : 0;
}

static int repair_file(int dir_fd, int fd, uint64_t size, struct repair *out)
{
	char file[NAMES_SIZE];
	struct scan scan;
	uint64_t end;
	int rc = find_end(fd, size, &end, &scan);

	if (rc)
		return rc;
	if (end < size && ftruncate(fd, (off_t)end) < 0)
		return -errno;
	out->cut_bytes = size - end;
	out->size = end;
	if (end == 0) {
		names_format(&out->newest, file);
		out->removed = unlinkat(dir_fd, file, 0) == 0;
		return out->removed ? 0 : -errno;
	}
	out->lines = strcmp(scan.type, "log_header") != 0;
	out->last_wall_ms = scan.wall_ms;
	rc = find_seq(fd, end, &out->last_seq);
	if (!rc && !out->last_seq)
		out->last_seq = header_seq(fd);
	return rc;
}

/* Repairs the newest segment. `out` starts empty. */
static int repair_newest(int dir_fd, struct repair *out)
{
	struct names_scan scan;
	int rc = names_scan_dir(dir_fd, &scan);

	if (rc)
		return rc;
	out->any = scan.files > 0;
	out->newest = scan.newest;
	if (!out->any || scan.newest.compressed)
		return 0;
	out->fd = open_segment(dir_fd, &scan.newest, O_RDWR | O_APPEND, &out->size);
	if (out->fd < 0) {
		out->fd = -1;
		return 0;
	}
	rc = repair_file(dir_fd, out->fd, out->size, out);
	if (rc || out->removed)
		close_fd(&out->fd);
	return rc;
}

int repair_run(int dir_fd, struct repair *ret)
{
	uint64_t cut = 0;
	bool removed = false;

	/*
	 * Normally one pass: only when the newest segment was cut off inside its header and removed, the one before it
	 * follows.
	 */
	for (;;) {
		struct repair out = { .fd = -1, .last_wall_ms = -1 };
		int rc = repair_newest(dir_fd, &out);

		if (rc)
			return rc;
		cut += out.cut_bytes;
		if (out.removed) {
			removed = true;
			continue;
		}
		out.cut_bytes = cut;
		out.removed = removed;
		*ret = out;
		return 0;
	}
}

int repair_last_seq(const char *dir, uint64_t *ret_seq)
{
	_cleanup_(closep) int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closep) int fd = -1;
	struct names_scan names;
	struct scan scan;
	uint64_t size, end, seq = 0;
	int rc;

	if (dir_fd < 0 && errno != ENOENT)
		return -errno;
	rc = dir_fd < 0 ? 0 : names_scan_dir(dir_fd, &names);
	if (rc)
		return rc;
	if (dir_fd >= 0 && names.files && !names.newest.compressed)
		fd = open_segment(dir_fd, &names.newest, O_RDONLY, &size);
	if (fd >= 0) {
		rc = find_end(fd, size, &end, &scan);
		if (!rc)
			rc = find_seq(fd, end, &seq);
		if (!rc && !seq)
			seq = header_seq(fd);
	}
	if (!rc)
		*ret_seq = seq;
	return rc;
}
