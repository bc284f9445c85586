/* SPDX-License-Identifier: MIT */
#include "agent/run/exec_keep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/runner/protocol.h"

#define NOTE_MAX (8u << 20)
#define CUT_STEP 65536 /* a hole is worth a call when it has grown by this much */

static const char *const endings[] = { "out", "err", "note" };

static void name_of(char out[64], const char *unit, int ending)
{
	snprintf(out, 64, EXEC_KEEP_PREFIX "%s.%s", unit, endings[ending]);
}

/* Only what we or root have put there; a link planted in its place leads nowhere. */
static int open_file(int dir_fd, const char *unit, int ending, int flags)
{
	char name[64];
	struct stat st;
	int fd;

	name_of(name, unit, ending);
	fd = openat(dir_fd, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return -EPERM;
	}
	return fd;
}

static void watch(struct exec_keep *keep)
{
	char path[64];

	keep->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	for (int i = 0; i < 2 && keep->watch >= 0; i++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", keep->files[i]);
		if (inotify_add_watch(keep->watch, path, IN_MODIFY) < 0)
			close_fd(&keep->watch);
	}
}

int exec_keep_open(struct exec_keep *keep, int dir_fd, const char *unit)
{
	*keep = EXEC_KEEP_NONE;
	for (int i = 0; i < 2; i++) {
		keep->files[i] = open_file(dir_fd, unit, i, O_RDWR);
		if (keep->files[i] < 0) {
			int error = keep->files[i];

			exec_keep_close(keep);
			return error;
		}
	}
	watch(keep);
	return 0;
}

int exec_keep_create(struct exec_keep *keep, int dir_fd, const char *unit)
{
	int writers[2] = { -1, -1 }, r = 0;

	for (int i = 0; i < 2 && r >= 0; i++)
		r = writers[i] = open_file(dir_fd, unit, i, O_WRONLY | O_APPEND | O_CREAT | O_EXCL);
	if (r >= 0)
		r = exec_keep_open(keep, dir_fd, unit);
	if (r >= 0) {
		memcpy(keep->writers, writers, sizeof(writers));
		return 0;
	}
	for (int i = 0; i < 2; i++)
		if (writers[i] >= 0)
			close(writers[i]);
	exec_keep_remove(dir_fd, unit);
	*keep = EXEC_KEEP_NONE;
	return r;
}

void exec_keep_close_writers(struct exec_keep *keep)
{
	for (int i = 0; i < 2; i++)
		close_fd(&keep->writers[i]);
}

void exec_keep_close(struct exec_keep *keep)
{
	exec_keep_close_writers(keep);
	for (int i = 0; i < 2; i++)
		close_fd(&keep->files[i]);
	close_fd(&keep->watch);
}

ssize_t exec_keep_read(const struct exec_keep *keep, int stream, void *out, size_t size, uint64_t at)
{
	ssize_t len;

	do {
		len = pread(keep->files[stream], out, size, (off_t)at);
	} while (len < 0 && errno == EINTR);
	return len < 0 ? -errno : len;
}

uint64_t exec_keep_size(const struct exec_keep *keep, int stream)
{
	struct stat st;

	return keep->files[stream] < 0 || fstat(keep->files[stream], &st) < 0 ? 0 : (uint64_t)st.st_size;
}

/* The size stays: the writer goes on where it was, and so do we. A file system without holes keeps it all. */
void exec_keep_cut(struct exec_keep *keep, int stream, uint64_t from, uint64_t to)
{
	if (keep->cut[stream] < from)
		keep->cut[stream] = from;
	if (to < keep->cut[stream] + CUT_STEP)
		return;
	(void)fallocate(keep->files[stream], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)keep->cut[stream],
			(off_t)(to - keep->cut[stream]));
	keep->cut[stream] = to;
}

void exec_keep_woken(const struct exec_keep *keep)
{
	char events[4096];

	while (read(keep->watch, events, sizeof(events)) > 0)
		;
}

void exec_keep_remove(int dir_fd, const char *unit)
{
	char name[64];

	for (int i = 0; i < (int)ARRAY_SIZE(endings); i++) {
		name_of(name, unit, i);
		unlinkat(dir_fd, name, 0);
	}
}

/* The unit that a file belongs to; false for a file that is none of these. */
static bool unit_of(const char *name, char unit[RUNNER_UNIT_SIZE])
{
	size_t prefix = strlen(EXEC_KEEP_PREFIX), len;

	if (strncmp(name, EXEC_KEEP_PREFIX, prefix) != 0)
		return false;
	len = strcspn(name + prefix, ".");
	if (len >= RUNNER_UNIT_SIZE)
		return false;
	memcpy(unit, name + prefix, len);
	unit[len] = '\0';
	return runner_unit_valid(unit);
}

static void closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

void exec_keep_clean(int dir_fd, bool (*wanted)(void *data, const char *unit), void *data)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closedirp) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	char unit[RUNNER_UNIT_SIZE];
	struct dirent *entry;

	if (!dir && fd >= 0)
		close(fd);
	while (dir && (entry = readdir(dir)))
		if (unit_of(entry->d_name, unit) && !wanted(data, unit))
			unlinkat(dir_fd, entry->d_name, 0);
}

int exec_keep_note_write(int dir_fd, const char *unit, const char *text, size_t len)
{
	_cleanup_(closep) int fd = open_file(dir_fd, unit, 2, O_WRONLY | O_CREAT | O_EXCL);

	if (fd < 0)
		return fd;
	return write(fd, text, len) == (ssize_t)len ? 0 : -EIO;
}

int exec_keep_note_read(int dir_fd, const char *unit, char **ret, size_t *ret_len)
{
	_cleanup_(closep) int fd = open_file(dir_fd, unit, 2, O_RDONLY);
	_cleanup_(freep) char *text = NULL;
	struct stat st;
	ssize_t len;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || st.st_size > NOTE_MAX)
		return -EFBIG;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	len = read(fd, text, (size_t)st.st_size);
	if (len < 0)
		return -errno;
	text[len] = '\0';
	*ret_len = (size_t)len;
	*ret = TAKE_PTR(text);
	return 0;
}
