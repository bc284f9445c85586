/* SPDX-License-Identifier: MIT */
/*
 * Every append first checks that the open segment is still its file (not deleted, truncated or replaced, nor its
 * directory), which costs three stats, and begins a new segment otherwise. So calls are independent: after a failure
 * the next call begins anew, from the real state of the directory.
 */
#include "agent/log/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/log/repair.h"

/* Most files of a log, even if small. */
#define FILES_MAX    65536
#define CREATE_TRIES 100
#define HEADER_MAX   256

void writer_init(struct writer *writer, const struct writer_config *config)
{
	memset(writer, 0, sizeof(*writer));
	writer->config = *config;
	for (size_t len = strlen(writer->config.dir); len > 1 && writer->config.dir[len - 1] == '/'; len--)
		writer->config.dir[len - 1] = '\0';
	writer->dir_fd = -1;
	writer->fd = -1;
	writer->last_wall_ms = -1;
}

/* ---------------------------------------------------------------------------------------------------- directory */

static bool owner_ok(const struct stat *st)
{
	return st->st_uid == 0 || st->st_uid == geteuid();
}

/*
 * Whether only root, this user or (in a sticky directory) the owner of an entry can replace an entry of the directory.
 */
static bool parent_ok(const struct stat *st)
{
	return owner_ok(st) && (!(st->st_mode & (S_IWGRP | S_IWOTH)) || (st->st_mode & S_ISVTX));
}

/* Opens the directory above `path`; *ret_name is the last component. */
static int parent_open(const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char parent[PATH_MAX];
	int fd;

	if (!slash || !slash[1])
		return -EINVAL;
	snprintf(parent, sizeof(parent), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_name = slash + 1;
	return fd;
}

static int directory_make(const struct log_readers *readers, int parent_fd, const char *name)
{
	struct stat st;
	int fd;

	if (fstat(parent_fd, &st) < 0)
		return -errno;
	if (!parent_ok(&st))
		return -EPERM;
	if (mkdirat(parent_fd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && log_readers_give(readers, fd, 0750) < 0) /* independent of the umask */
		close_fd(&fd);
	return fd < 0 ? -errno : fd;
}

/* O_NOFOLLOW: the configured directory itself must not be a link. */
static int directory_open(const struct log_readers *readers, const char *path)
{
	const char *name;
	_cleanup_(closep) int parent_fd = parent_open(path, &name);
	int fd;

	if (parent_fd < 0)
		return parent_fd;
	fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 || errno != ENOENT)
		return fd >= 0 ? fd : -errno;
	return directory_make(readers, parent_fd, name);
}

static void directory_forget(struct writer *w)
{
	close_fd(&w->fd);
	close_fd(&w->dir_fd);
}

static bool directory_is_ours(const struct writer *w)
{
	struct stat st;

	return lstat(w->config.dir, &st) == 0 && S_ISDIR(st.st_mode) && st.st_dev == w->dir_dev &&
	       st.st_ino == w->dir_ino;
}

/* ------------------------------------------------------------------------------------------------------ segments */

static bool name_is_ours(const struct writer *w, struct stat *st)
{
	return fstatat(w->dir_fd, w->file, st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st->st_mode) &&
	       st->st_ino == w->ino && st->st_nlink == 1;
}

/* Closes the segment for good. Without any line it is removed. */
static void segment_abandon(struct writer *w)
{
	struct stat st;

	if (w->fd < 0)
		return;
	if (w->lines == 0 && name_is_ours(w, &st))
		unlinkat(w->dir_fd, w->file, 0);
	close_fd(&w->fd);
	w->dirty = false;
	w->stats.abandoned++;
}

static int segment_fsync(struct writer *w)
{
	int rc;

	do
		rc = fdatasync(w->fd);
	while (rc < 0 && errno == EINTR);
	if (rc == 0) {
		w->stats.syncs++;
		return 0;
	}
	rc = -errno;
	/* After a failed fsync the kernel may have marked lost pages as clean: this file is never written again. */
	segment_abandon(w);
	return rc;
}

int writer_sync(struct writer *w, struct moment now)
{
	if (w->config.sync == LOG_SYNC_NONE || !w->dirty || w->fd < 0)
		return 0;
	w->dirty = false;
	w->synced_ns = now.mono_ns;
	return segment_fsync(w);
}

/* Whether the open file is still the one with its name, with exactly the bytes written here. */
static bool segment_is_ours(const struct writer *w)
{
	struct stat st;

	return name_is_ours(w, &st) && (uint64_t)st.st_size == w->size;
}

/* Writes all bytes or cuts off those written; a file that cannot be cut is abandoned. */
static int segment_write(struct writer *w, const char *text, size_t len)
{
	size_t done = 0;
	int error = 0;

	while (done < len && !error) {
		ssize_t wrote = write(w->fd, text + done, len - done);

		if (wrote > 0)
			done += (size_t)wrote;
		else if (wrote == 0)
			error = -EIO;
		else if (errno != EINTR)
			error = -errno;
	}
	if (!error) {
		w->size += len;
		w->dirty = true;
		return 0;
	}
	if (done > 0 && ftruncate(w->fd, (off_t)w->size) < 0)
		segment_abandon(w);
	return error;
}

/* Removes the oldest segments until `room` more bytes fit under the bound. */
static int make_room(struct writer *w, uint64_t room)
{
	char file[NAMES_SIZE];
	struct names_scan scan;

	for (;;) {
		uint64_t before = w->stats.removed;
		int rc = names_scan_dir(w->dir_fd, &scan);

		if (rc)
			return rc;
		for (unsigned i = 0; i < scan.oldest_count; i++) {
			if (scan.bytes + room <= w->config.max_total_bytes && scan.files < FILES_MAX)
				return 0;
			names_format(&scan.oldest[i], file);
			if (unlinkat(w->dir_fd, file, 0) < 0 && errno != ENOENT)
				return -errno;
			scan.bytes -= scan.oldest_bytes[i];
			scan.files--;
			w->stats.removed++;
		}
		if (w->stats.removed == before)
			return 0;
	}
}

/* Creates a file whose name sorts after all earlier ones, even when the clock went back. */
static int segment_create(struct writer *w, int64_t wall_ms)
{
	struct segment_name name = { .wall_ms = wall_ms, .number = w->newest.number };

	if (w->newest.number && w->newest.wall_ms > wall_ms)
		name.wall_ms = w->newest.wall_ms;
	for (int i = 0; i < CREATE_TRIES; i++) {
		name.number++;
		names_format(&name, w->file);
		w->fd = openat(w->dir_fd, w->file, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (w->fd >= 0) {
			w->newest = name;
			return 0;
		}
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

static size_t header_format(const struct writer *w, int64_t wall_ms, uint64_t seq, char *out, size_t size)
{
	char time[RFC3339_SIZE];

	rfc3339_format(wall_ms, time);
	return (size_t)snprintf(out, size,
				"{\"type\":\"log_header\",\"timestamp\":\"%s\",\"schema\":%d,\"boot_id\":\"%s\","
				"%s%s%s\"first_seq\":%" PRIu64 "}\n",
				time, LOG_SCHEMA, w->config.boot_id, *w->generation ? "\"generation\":\"" : "",
				w->generation, *w->generation ? "\"," : "", seq);
}

/* Begins a segment with its header; when the header cannot be written the file is removed again. */
static int segment_begin(struct writer *w, size_t len, uint64_t seq, struct moment now)
{
	char header[HEADER_MAX];
	size_t header_len = header_format(w, now.wall_ms, seq, header, sizeof(header));
	uint64_t room = header_len + len > w->config.segment_bytes ? header_len + len : w->config.segment_bytes;
	struct stat st;
	int rc;

	rc = make_room(w, room);
	if (!rc)
		rc = segment_create(w, now.wall_ms);
	if (rc)
		return rc;
	w->size = 0;
	w->lines = 0;
	rc = log_readers_give(&w->config.readers, w->fd, 0640);
	if (!rc)
		rc = fstat(w->fd, &st) < 0 ? -errno : segment_write(w, header, header_len);
	if (rc) {
		unlinkat(w->dir_fd, w->file, 0);
		close_fd(&w->fd);
		return rc;
	}
	w->ino = st.st_ino;
	w->stats.segments++;
	w->last_wall_ms = -1;
	if (w->config.sync != LOG_SYNC_NONE)
		fsync(w->dir_fd); /* makes the name survive a power cut; the file itself is synced as configured */
	return 0;
}

/* ---------------------------------------------------------------------------------------------------------- open */

/*
 * Continues the segment of the last writer, at the first open. When the directory was replaced meanwhile, only its
 * newest name is taken over.
 */
static int segment_resume(struct writer *w)
{
	struct repair repair;
	struct stat st;
	int rc = repair_run(w->dir_fd, &repair);

	if (rc)
		return rc;
	if (repair.any && (!w->newest.number || names_compare(&repair.newest, &w->newest) > 0))
		w->newest = repair.newest;
	w->stats.repaired_bytes += repair.cut_bytes;
	if (repair.last_seq > w->last_seq)
		w->last_seq = repair.last_seq;
	if (repair.fd < 0)
		return 0;
	if (fstat(repair.fd, &st) < 0 || (uint64_t)st.st_size >= w->config.segment_bytes) {
		close(repair.fd);
		return 0;
	}
	names_format(&repair.newest, w->file);
	w->fd = repair.fd;
	w->ino = st.st_ino;
	w->size = (uint64_t)st.st_size;
	w->lines = repair.lines;
	w->last_wall_ms = repair.last_wall_ms;
	/* The bound may have been lowered. It holds two segments, so the one just opened is never removed. */
	return make_room(w, w->config.segment_bytes - w->size);
}

int writer_open(struct writer *w)
{
	struct stat st;
	int rc;

	if (w->dir_fd >= 0 && directory_is_ours(w))
		return 0;
	if (w->fd >= 0)
		w->stats.abandoned++;
	directory_forget(w);
	w->dir_fd = directory_open(&w->config.readers, w->config.dir);
	if (w->dir_fd < 0) {
		rc = w->dir_fd;
		w->dir_fd = -1;
		return rc;
	}
	rc = fstat(w->dir_fd, &st) < 0 ? -errno : 0;
	if (!rc && (!owner_ok(&st) || (st.st_mode & (S_IWGRP | S_IWOTH))))
		rc = -EPERM;
	w->dir_dev = st.st_dev;
	w->dir_ino = st.st_ino;
	if (!rc)
		rc = segment_resume(w);
	if (rc)
		directory_forget(w);
	return rc;
}

/* -------------------------------------------------------------------------------------------------------- append */

/*
 * Takes the generation of a sample (see PROTOCOL.md), which stands near its beginning. The segment's header contains
 * it, so a change begins a new segment. False when it is unchanged, or there is none.
 */
static bool take_generation(struct writer *w, const char *line, size_t len)
{
	static const char key[] = "\"generation\":\"";
	const char *at = memmem(line, len < HEADER_MAX ? len : HEADER_MAX, key, sizeof(key) - 1);
	const size_t digits = sizeof(w->generation) - 1;
	bool changed;

	if (!at)
		return false;
	at += sizeof(key) - 1;
	if ((size_t)(line + len - at) <= digits || strspn(at, "0123456789abcdef") != digits || at[digits] != '"')
		return false;
	changed = *w->generation && memcmp(w->generation, at, digits) != 0;
	memcpy(w->generation, at, digits);
	w->generation[digits] = '\0';
	return changed;
}

static bool must_rotate(const struct writer *w, size_t len, int64_t wall_ms)
{
	if (w->lines && w->size + len > w->config.segment_bytes)
		return true;
	return w->last_wall_ms >= 0 && wall_ms < w->last_wall_ms - LOG_BACKWARDS_MS;
}

/* Opens a segment in which the line fits. *ret_sync: errno of the sync of the previous one. */
static int segment_ready(struct writer *w, size_t len, uint64_t seq, bool apart, struct moment now, int *ret_sync)
{
	int rc = writer_open(w);

	if (rc)
		return rc;
	if (w->fd >= 0 && !segment_is_ours(w))
		segment_abandon(w);
	if (w->fd >= 0 && ((apart && w->lines) || must_rotate(w, len, now.wall_ms))) {
		*ret_sync = -writer_sync(w, now);
		close_fd(&w->fd);
	}
	return w->fd >= 0 ? 0 : segment_begin(w, len, seq, now);
}

static int append_once(struct writer *w, const char *line, size_t len, uint64_t seq, struct moment now, int *ret_sync)
{
	bool apart = take_generation(w, line, len);
	int rc = segment_ready(w, len, seq, apart, now, ret_sync);
	uint64_t before = w->size;

	if (!rc)
		rc = segment_write(w, line, len);
	if (rc || w->config.sync != LOG_SYNC_ALWAYS)
		return rc;
	w->dirty = false;
	/*
	 * The line may not be on the disk: it is cut off, if that is possible, so that it can be written to another
	 * file.
	 */
	if (fdatasync(w->fd) == 0) {
		w->stats.syncs++;
		return 0;
	}
	rc = -errno;
	if (ftruncate(w->fd, (off_t)before) == 0)
		w->size = before;
	segment_abandon(w);
	return rc;
}

int writer_append(struct writer *w, const char *line, size_t len, uint64_t seq, struct moment now)
{
	int sync_error = 0, rc;

	if (len < 2 || line[len - 1] != '\n')
		return -EINVAL;
	if (len + HEADER_MAX > w->config.max_total_bytes)
		return -EFBIG;
	rc = append_once(w, line, len, seq, now, &sync_error);
	/* The file may be the cause, then a new one helps; a file without any line is new already. */
	if (w->lines > 0 && (rc == -EIO || rc == -EFBIG)) {
		segment_abandon(w);
		rc = append_once(w, line, len, seq, now, &sync_error);
	}
	if (rc)
		return rc;
	w->lines++;
	w->stats.lines++;
	w->stats.bytes += len;
	w->last_wall_ms = now.wall_ms > w->last_wall_ms ? now.wall_ms : w->last_wall_ms;
	if (seq > w->last_seq)
		w->last_seq = seq;
	if (w->config.sync == LOG_SYNC_INTERVAL && now.mono_ns - w->synced_ns >= LOG_SYNC_INTERVAL_NS)
		sync_error = -writer_sync(w, now);
	return sync_error;
}

int writer_close(struct writer *w, struct moment now)
{
	int rc = writer_sync(w, now);

	directory_forget(w);
	return rc;
}
