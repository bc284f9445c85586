/* SPDX-License-Identifier: MIT */
#include "agent/run/detached_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#define NOTE_MAX (8u << 20)
#define CUT_STEP 65536 /* bytes by which a hole has to grow to be worth a call */

#define NOTE DETACHED_FILES

static const char *const endings[] = {
	[DETACHED_OUT] = "out", [DETACHED_ERR] = "err", [DETACHED_END] = "end", [NOTE] = "note"
};

static void name_of(char out[64], const char *unit, int ending)
{
	snprintf(out, 64, DETACHED_FILES_PREFIX "%s.%s", unit, endings[ending]);
}

/*
 * Opens one of the run's files. Only the agent's user and root can create files in the directory; a symbolic link is
 * not followed.
 */
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

int detached_files_open(struct detached_files *files, int dir_fd, const char *unit)
{
	*files = DETACHED_FILES_NONE;
	for (int i = 0; i < DETACHED_FILES; i++) {
		files->files[i] = open_file(dir_fd, unit, i, i == DETACHED_END ? O_RDONLY : O_RDWR);
		if (files->files[i] < 0) {
			int error = files->files[i];

			detached_files_close(files);
			return error;
		}
	}
	files->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	for (int i = 0; i < DETACHED_FILES && files->watch >= 0; i++) {
		uint32_t events = i == DETACHED_END ? IN_MODIFY | IN_CLOSE_WRITE : IN_MODIFY;
		char path[64];

		snprintf(path, sizeof(path), "/proc/self/fd/%d", files->files[i]);
		if (inotify_add_watch(files->watch, path, events) < 0)
			close_fd(&files->watch);
	}
	return 0;
}

int detached_files_create(struct detached_files *files, int dir_fd, const char *unit)
{
	int writers[DETACHED_FILES] = { -1, -1, -1 }, r = 0;

	for (int i = 0; i < DETACHED_FILES && r >= 0; i++)
		r = writers[i] = open_file(dir_fd, unit, i, O_WRONLY | O_APPEND | O_CREAT | O_EXCL);
	if (r >= 0 && flock(writers[DETACHED_END], LOCK_EX | LOCK_NB) < 0)
		r = -errno;
	if (r >= 0)
		r = detached_files_open(files, dir_fd, unit);
	if (r >= 0) {
		memcpy(files->writers, writers, sizeof(writers));
		return 0;
	}
	for (int i = 0; i < DETACHED_FILES; i++)
		close_fd(&writers[i]);
	detached_files_remove(dir_fd, unit);
	*files = DETACHED_FILES_NONE;
	return r;
}

void detached_files_close_writers(struct detached_files *files)
{
	for (int i = 0; i < DETACHED_FILES; i++)
		close_fd(&files->writers[i]);
}

void detached_files_close(struct detached_files *files)
{
	detached_files_close_writers(files);
	for (int i = 0; i < DETACHED_FILES; i++)
		close_fd(&files->files[i]);
	close_fd(&files->watch);
}

ssize_t detached_files_read(const struct detached_files *files, int stream, void *out, size_t size, uint64_t at)
{
	ssize_t len = pread(files->files[stream], out, size, (off_t)at); /* of a file: never interrupted */

	return len < 0 ? -errno : len;
}

uint64_t detached_files_size(const struct detached_files *files, int stream)
{
	struct stat st;

	return files->files[stream] < 0 || fstat(files->files[stream], &st) < 0 ? 0 : (uint64_t)st.st_size;
}

/*
 * The file's size stays the same, so the offsets of writer and reader stay valid. On a file system without holes
 * nothing is freed.
 */
void detached_files_cut(struct detached_files *files, int stream, uint64_t from, uint64_t to)
{
	if (files->cut[stream] < from)
		files->cut[stream] = from;
	if (to < files->cut[stream] + CUT_STEP)
		return;
	(void)fallocate(files->files[stream], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)files->cut[stream],
			(off_t)(to - files->cut[stream]));
	files->cut[stream] = to;
}

bool detached_files_woken(const struct detached_files *files)
{
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool closed = false;
	ssize_t len;

	while ((len = read(files->watch, events, sizeof(events))) > 0)
		for (ssize_t at = 0; at < len;) {
			const struct inotify_event *event = (const void *)(events + at);

			closed = closed || event->mask & IN_CLOSE_WRITE;
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	return closed;
}

enum detached_state detached_files_state(const struct detached_files *files, struct end_record *ret)
{
	int fd = files->files[DETACHED_END];
	char text[END_RECORD_MAX];
	bool held;
	ssize_t len;

	if (fd < 0)
		return DETACHED_LOST;
	/* The lock is read first: the launcher writes the record before it releases the lock. */
	held = flock(fd, LOCK_SH | LOCK_NB) < 0;
	if (!held)
		flock(fd, LOCK_UN);
	len = pread(fd, text, sizeof(text), 0);
	if (len > 0 && end_record_parse(text, (size_t)len, ret) == 0)
		return DETACHED_ENDED;
	return held ? DETACHED_RUNNING : DETACHED_LOST;
}

void detached_files_remove(int dir_fd, const char *unit)
{
	char name[64];

	for (int i = 0; i < (int)ARRAY_SIZE(endings); i++) {
		name_of(name, unit, i);
		unlinkat(dir_fd, name, 0);
	}
}

void detached_files_clean(int dir_fd, bool (*wanted)(void *data, const char *unit), void *data)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	size_t prefix = strlen(DETACHED_FILES_PREFIX);
	struct dirent *entry;

	if (!dir && fd >= 0)
		close(fd);
	while (dir && (entry = readdir(dir))) {
		char unit[RUNNER_UNIT_SIZE];
		size_t len = strncmp(entry->d_name, DETACHED_FILES_PREFIX, prefix) == 0
				     ? strcspn(entry->d_name + prefix, ".")
				     : sizeof(unit);

		if (len >= sizeof(unit))
			continue; /* no file of a detached run */
		snprintf(unit, sizeof(unit), "%.*s", (int)len, entry->d_name + prefix);
		if (runner_unit_valid(unit) && !wanted(data, unit))
			unlinkat(dir_fd, entry->d_name, 0);
	}
	if (dir)
		closedir(dir);
}

int detached_files_note_write(int dir_fd, const char *unit, const char *text, size_t len)
{
	_cleanup_(closep) int fd = open_file(dir_fd, unit, NOTE, O_WRONLY | O_CREAT | O_EXCL);

	if (fd < 0)
		return fd;
	return write(fd, text, len) == (ssize_t)len ? 0 : -EIO;
}

int detached_files_note_read(int dir_fd, const char *unit, char **ret, size_t *ret_len)
{
	_cleanup_(closep) int fd = open_file(dir_fd, unit, NOTE, O_RDONLY);
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
