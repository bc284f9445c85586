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

#include "agent/log/frames.h"
#include "agent/log/io.h"
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

/* Reads more bytes in front. 0, 1 at the beginning of the file, or -errno. */
static int tail_grow(struct tail *t)
{
	size_t more = t->len < BLOCK ? BLOCK : t->len;
	ssize_t got;
	char *text;

	if (t->offset == 0)
		return 1;
	if (t->len > LINE_MAX_BYTES)
		return -EFBIG;
	if (more > t->offset)
		more = (size_t)t->offset;
	text = malloc(more + t->len);
	if (!text)
		return -ENOMEM;
	got = pread_whole(t->fd, text, more, t->offset - more);
	if (got != (ssize_t)more) {
		free(text);
		return got < 0 ? (int)got : -EIO;
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
			t->len = (size_t)(newline - t->text) + 1;
			before = t->len > 1 ? memrchr(t->text, '\n', t->len - 1) : NULL;
			if (before || t->offset == 0) {
				*ret_start = before ? (size_t)(before - t->text) + 1 : 0;
				*ret_len = t->len - 1 - *ret_start;
				return 1;
			}
		} else if (t->len > BLOCK) {
			t->len = 0; /* no newline in the whole stretch: no line ends in it */
		}
		rc = tail_grow(t);
		if (rc == -EFBIG) {
			t->len = t->len - 1; /* too long for a line: drop its newline and search on */
			rc = 0;
		}
		if (rc == 1) {
			t->len = 0;
			return 0;
		}
		if (rc)
			return rc;
	}
}

/*
 * Finds the end of the last whole line and its facts (*ret_end 0: there is none), and the last seq of any line; where
 * no line but the header is left, the last seq is the header's first_seq minus one.
 */
static int find_last(int fd, uint64_t size, uint64_t *ret_end, struct scan *ret_scan, uint64_t *ret_seq)
{
	static const char key[] = "\"first_seq\":";
	_cleanup_(tail_done) struct tail t = { .fd = fd, .offset = size };
	struct scan scan;
	size_t start = 0, len = 0;
	char head[1024];
	const char *at;
	ssize_t got;
	int rc;

	*ret_end = *ret_seq = 0;
	while ((rc = tail_last_line(&t, &start, &len)) > 0) {
		if (scan_line(t.text + start, len, &scan)) {
			if (*ret_end == 0) {
				*ret_end = t.offset + start + len + 1;
				*ret_scan = scan;
			}
			*ret_seq = scan.seq;
			if (scan.seq)
				return 0;
		}
		t.len = start;
	}
	got = rc == 0 && *ret_end ? pread(fd, head, sizeof(head) - 1, 0) : 0;
	head[got > 0 ? got : 0] = '\0';
	at = strstr(head, key);
	if (at && strtoull(at + strlen(key), NULL, 10) > 0)
		*ret_seq = strtoull(at + strlen(key), NULL, 10) - 1;
	return rc;
}

/* Opens a segment that is safe to trust, and says how large it is. */
static int open_segment(int dir_fd, const struct segment_name *name, int flags, uint64_t *ret_size)
{
	_cleanup_(closep) int fd = names_open(dir_fd, name, flags);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fd < 0 ? fd : -errno;
	*ret_size = (uint64_t)st.st_size;
	return TAKE_FD(fd);
}

/* The last seq of a compressed segment, by its index; 0 if it has none. */
static uint64_t last_seq_packed(int dir_fd, const struct segment_name *name)
{
	_cleanup_(frames_free) struct frames frames = { 0 };
	_cleanup_(closep) int fd = names_open(dir_fd, name, O_RDONLY);

	return fd >= 0 && frames_read(fd, &frames) > 0 ? frames.rows[frames.count].first_seq : 0;
}

int repair_run(int dir_fd, struct repair *ret)
{
	uint64_t cut = 0, size, end, seq;
	bool removed = false;

	/*
	 * Normally one pass: only when the newest segment was cut off inside its header and removed, the one before it
	 * follows.
	 */
	for (;;) {
		_cleanup_(closep) int fd = -1;
		char file[NAMES_SIZE];
		struct names_scan names;
		struct scan scan;
		int rc = names_scan_dir(dir_fd, &names);

		if (rc)
			return rc;
		if (names.files > 0 && !names.newest.compressed)
			fd = open_segment(dir_fd, &names.newest, O_RDWR | O_APPEND, &size);
		if (fd < 0) {
			*ret = (struct repair){ .any = names.files > 0,
						.newest = names.newest,
						.fd = -1,
						.cut_bytes = cut,
						.removed = removed,
						.last_wall_ms = -1 };
			if (names.files > 0 && names.newest.compressed)
				ret->last_seq = last_seq_packed(dir_fd, &names.newest);
			return 0;
		}
		rc = find_last(fd, size, &end, &scan, &seq);
		if (rc)
			return rc;
		if (end < size && ftruncate(fd, (off_t)end) < 0)
			return -errno;
		cut += size - end;
		if (end > 0) {
			*ret = (struct repair){ .any = true,
						.newest = names.newest,
						.fd = TAKE_FD(fd),
						.size = end,
						.cut_bytes = cut,
						.removed = removed,
						.lines = strcmp(scan.type, "log_header") != 0,
						.last_wall_ms = scan.wall_ms,
						.last_seq = seq };
			return 0;
		}
		names_format(&names.newest, file);
		if (unlinkat(dir_fd, file, 0) < 0)
			return -errno;
		removed = true;
	}
}

int repair_last_seq(const char *dir, uint64_t *ret_seq)
{
	_cleanup_(closep) int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closep) int fd = -1;
	uint64_t size, end, seq = 0;
	struct names_scan names;
	struct scan scan;
	int rc;

	if (dir_fd < 0 && errno != ENOENT)
		return -errno;
	rc = dir_fd < 0 ? 0 : names_scan_dir(dir_fd, &names);
	if (dir_fd >= 0 && !rc && names.files && !names.newest.compressed)
		fd = open_segment(dir_fd, &names.newest, O_RDONLY, &size);
	if (fd >= 0)
		rc = find_last(fd, size, &end, &scan, &seq);
	else if (dir_fd >= 0 && !rc && names.files && names.newest.compressed)
		seq = last_seq_packed(dir_fd, &names.newest);
	if (!rc)
		*ret_seq = seq;
	return rc;
}
