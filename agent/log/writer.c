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
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/log/pack.h"
#include "agent/log/repair.h"

/* Most files of a log, even if small. */
#define FILES_MAX    65536
#define CREATE_TRIES 100
#define HEADER_MAX   256

int log_readers_try(gid_t gid)
{
	_cleanup_(closep) int fd = memfd_create("infiniservice-readers", MFD_CLOEXEC);

	return fd < 0 || fchown(fd, (uid_t)-1, gid) < 0 ? -errno : 0;
}

int log_readers_give(const struct log_readers *readers, int fd, mode_t mode)
{
	bool group = readers->kind == LOG_READERS_OWN;
	struct stat st;

	/* A setgid directory may pass its own group on to the file. */
	if (readers->kind == LOG_READERS_GROUP)
		group = fstat(fd, &st) == 0 && (st.st_gid == readers->gid || fchown(fd, (uid_t)-1, readers->gid) == 0);

	return fchmod(fd, group ? mode : mode & 0700) < 0 ? -errno : 0;
}

void writer_init(struct writer *writer, const struct writer_config *config)
{
	memset(writer, 0, sizeof(*writer));
	writer->config = *config;
	for (size_t len = strlen(writer->config.dir); len > 1 && writer->config.dir[len - 1] == '/'; len--)
		writer->config.dir[len - 1] = '\0';
	if (!writer->config.sync_interval_ns)
		writer->config.sync_interval_ns = LOG_SYNC_INTERVAL_NS;
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
 * Opens the directory, or makes it in a parent that is safe. O_NOFOLLOW: the configured directory itself must not be a
 * link.
 */
static int directory_open(const struct log_readers *readers, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : "";
	_cleanup_(closep) int parent_fd = -1;
	char parent[PATH_MAX];
	struct stat st;
	int fd;

	if (!*name)
		return -EINVAL;
	snprintf(parent, sizeof(parent), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent_fd < 0)
		return -errno;
	fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 || errno != ENOENT)
		return fd >= 0 ? fd : -errno;
	if (fstat(parent_fd, &st) < 0)
		return -errno;
	/* Only root, this user or (in a sticky directory) the owner of an entry may be able to replace an entry of it.
	 */
	if (!owner_ok(&st) || ((st.st_mode & (S_IWGRP | S_IWOTH)) && !(st.st_mode & S_ISVTX)))
		return -EPERM;
	if (mkdirat(parent_fd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && log_readers_give(readers, fd, 0750) < 0) /* independent of the umask */
		close_fd(&fd);
	return fd < 0 ? -errno : fd;
}

static void directory_forget(struct writer *w)
{
	w->pack = pack_free(w->pack);
	close_fd(&w->fd);
	close_fd(&w->dir_fd);
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

int writer_sync(struct writer *w, struct moment now)
{
	int rc;

	if (w->config.sync == LOG_SYNC_NONE || !w->dirty || w->fd < 0)
		return 0;
	w->dirty = false;
	w->synced_ns = now.mono_ns;
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

/*
 * Removes the oldest segments until `room` more bytes fit under the bound, besides what a compression may need, and
 * until `freed` bytes are gone. Neither the open segment nor `keep` (NULL: none) is removed. 0, -ENOSPC when that was
 * not enough, or another -errno.
 */
static int make_room(struct writer *w, uint64_t room, uint64_t freed, const struct segment_name *keep)
{
	char file[NAMES_SIZE];
	struct names_scan scan;
	uint64_t gone = 0;

	if (w->pack)
		room += PACK_WORTH(pack_plain_bytes(w->pack));
	for (;;) {
		uint64_t before = w->stats.removed;
		int rc = names_scan_dir(w->dir_fd, &scan);

		if (rc)
			return rc;
		for (unsigned i = 0; i < scan.oldest_count; i++) {
			if (scan.bytes + room <= w->config.max_total_bytes && scan.files < FILES_MAX && gone >= freed)
				return 0;
			if ((w->fd >= 0 && names_compare(&scan.oldest[i], &w->newest) == 0) ||
			    (keep && names_compare(&scan.oldest[i], keep) == 0))
				return -ENOSPC;
			names_format(&scan.oldest[i], file);
			if (unlinkat(w->dir_fd, file, 0) < 0 && errno != ENOENT)
				return -errno;
			scan.bytes -= scan.oldest_bytes[i];
			gone += scan.oldest_bytes[i];
			scan.files--;
			w->stats.removed++;
		}
		if (w->stats.removed == before)
			return gone >= freed ? 0 : -ENOSPC;
	}
}

/* Bytes of the oldest segments that have to go before a new one, because the file system has no room to give. */
static uint64_t room_to_give_back(const struct writer *w)
{
	struct statvfs fs;
	uint64_t least = w->config.min_free_bytes;

	if (!least || fstatvfs(w->dir_fd, &fs) < 0)
		return 0;
	if (least > (uint64_t)fs.f_blocks * fs.f_frsize / 20)
		least = (uint64_t)fs.f_blocks * fs.f_frsize / 20;
	if ((uint64_t)fs.f_bavail * fs.f_frsize >= least)
		return 0;
	/* What it grows by is what is left of a segment once it is compressed. */
	return w->config.compress ? w->config.segment_bytes / 8 : w->config.segment_bytes;
}

/*
 * Begins a segment with its header; when the header cannot be written the file is removed again. Its name sorts after
 * all earlier ones, even when the clock went back.
 */
static int segment_begin(struct writer *w, size_t len, uint64_t seq, struct moment now)
{
	struct segment_name name = { .wall_ms = now.wall_ms, .number = w->newest.number };
	char header[HEADER_MAX], time[RFC3339_SIZE];
	uint64_t header_len, room;
	struct stat st;
	int rc;

	rfc3339_format(now.wall_ms, time);
	header_len =
		(uint64_t)snprintf(header, sizeof(header),
				   "{\"type\":\"log_header\",\"timestamp\":\"%s\",\"schema\":%d,\"boot_id\":\"%s\","
				   "%s%s%s\"first_seq\":%" PRIu64 "}\n",
				   time, LOG_SCHEMA, w->config.boot_id, *w->generation ? "\"generation\":\"" : "",
				   w->generation, *w->generation ? "\"," : "", seq);
	room = header_len + len > w->config.segment_bytes ? header_len + len : w->config.segment_bytes;
	rc = make_room(w, room, room_to_give_back(w), NULL);
	if (rc)
		return rc;
	if (w->newest.number && w->newest.wall_ms > name.wall_ms)
		name.wall_ms = w->newest.wall_ms;
	for (int i = 0; i < CREATE_TRIES && w->fd < 0; i++) {
		name.number++;
		names_format(&name, w->file);
		w->fd = openat(w->dir_fd, w->file, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (w->fd < 0 && errno != EEXIST)
			return -errno;
	}
	if (w->fd < 0)
		return -EEXIST;
	w->newest = name;
	w->size = 0;
	w->lines = 0;
	w->has_whole = false;
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
	w->pack_due = w->config.compress;
	if (w->pack_again && !w->pack)
		w->pack_after = (struct segment_name){ 0 };
	w->pack_again = w->pack && w->pack_again;
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
	int rc = pack_recover(w->dir_fd);

	if (!rc)
		rc = repair_run(w->dir_fd, &repair);
	if (rc)
		return rc;
	w->pack_due = w->config.compress;
	w->pack_after = (struct segment_name){ 0 };
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
	w->dirty = true; /* the last writer may not have synced it */
	/* The bound may have been lowered. */
	rc = make_room(w, w->config.segment_bytes - w->size, 0, NULL);
	return rc == -ENOSPC ? 0 : rc;
}

int writer_open(struct writer *w)
{
	struct stat st;
	int rc;

	if (w->dir_fd >= 0 && lstat(w->config.dir, &st) == 0 && S_ISDIR(st.st_mode) && st.st_dev == w->dir_dev &&
	    st.st_ino == w->dir_ino)
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

/* True for a whole sample; says so itself, near its beginning (see PROTOCOL.md). */
static bool is_whole(const char *line, size_t len)
{
	static const char key[] = "\"whole\":true";

	return memmem(line, len < HEADER_MAX ? len : HEADER_MAX, key, sizeof(key) - 1);
}

static bool ends_soon(const struct writer *w, size_t len)
{
	return w->size + LOG_LINES_AHEAD * len > w->config.segment_bytes;
}

bool writer_wants_whole(const struct writer *w)
{
	return !w->has_whole || ends_soon(w, w->last_len);
}

/* Opens a segment in which the line fits, and writes it. *ret_sync: errno of the sync of the previous segment. */
static int append_once(struct writer *w, const char *line, size_t len, uint64_t seq, struct moment now, int *ret_sync)
{
	bool apart = take_generation(w, line, len), whole = is_whole(line, len), back;
	int rc = writer_open(w);
	uint64_t before;
	struct stat st;

	if (rc)
		return rc;
	/* The file is no longer the one with its name, or has not exactly the bytes written here. */
	if (w->fd >= 0 && (!name_is_ours(w, &st) || (uint64_t)st.st_size != w->size))
		segment_abandon(w);
	back = w->last_wall_ms >= 0 && now.wall_ms < w->last_wall_ms - LOG_BACKWARDS_MS;
	apart = apart || w->size + len > w->config.segment_bytes || (whole && w->has_whole && ends_soon(w, len));
	if (w->fd >= 0 && (back || (w->lines && apart))) {
		*ret_sync = -writer_sync(w, now);
		close_fd(&w->fd);
	}
	if (w->fd < 0)
		rc = segment_begin(w, len, seq, now);
	before = w->size;
	if (!rc)
		rc = segment_write(w, line, len);
	w->has_whole = w->has_whole || (!rc && whole);
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
	w->last_len = len;
	w->stats.lines++;
	w->stats.bytes += len;
	w->last_wall_ms = now.wall_ms > w->last_wall_ms ? now.wall_ms : w->last_wall_ms;
	if (seq > w->last_seq)
		w->last_seq = seq;
	if (w->config.sync == LOG_SYNC_INTERVAL && now.mono_ns - w->synced_ns >= w->config.sync_interval_ns)
		sync_error = -writer_sync(w, now);
	return sync_error;
}

/* ---------------------------------------------------------------------------------------------------- compression */

/* Begins with the oldest closed segment that is plain. False if there is none, or no room for its twin. */
static bool pack_next(struct writer *w)
{
	uint64_t left = w->fd >= 0 && w->size < w->config.segment_bytes ? w->config.segment_bytes - w->size
									: w->config.segment_bytes;
	struct segment_name name;
	int rc;

	/* The newest one is being written, or will be resumed by the next writer. */
	if (names_next_plain(w->dir_fd, &w->pack_after, &name) <= 0 || names_compare(&name, &w->newest) >= 0) {
		w->pack_due = false;
		return false;
	}
	rc = pack_begin(w->dir_fd, &name, &w->config.readers, &w->pack);
	if (rc == 0)
		rc = make_room(w, left, 0, &name);
	if (rc == 0)
		return true;
	w->pack = pack_free(w->pack);
	w->pack_after = name;
	w->pack_again = true;
	w->stats.pack_errors += rc != -ENOSPC;
	return true;
}

bool writer_work(struct writer *w)
{
	int rc;

	if (w->dir_fd < 0 || !w->pack_due)
		return false;
	if (!w->pack)
		return pack_next(w);
	rc = pack_step(w->pack);
	if (rc > 0)
		return true;
	w->pack_after = *pack_name(w->pack);
	w->pack = pack_free(w->pack);
	w->stats.packed += rc == 0;
	/* -EFBIG: not worth it; -ESTALE: removed meanwhile to keep the bound. */
	w->pack_again |= rc < 0 && rc != -EFBIG && rc != -ESTALE;
	w->stats.pack_errors += rc < 0 && rc != -EFBIG && rc != -ESTALE;
	return true;
}

int writer_close(struct writer *w, struct moment now)
{
	int rc = writer_sync(w, now);

	directory_forget(w);
	return rc;
}
