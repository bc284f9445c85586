/* SPDX-License-Identifier: MIT */
/*
 * The replay window over a restart of the agent: without the stored nonces a signed message overheard a minute ago
 * could be replayed to the new agent process. A small append-only file in runtime_dir (memory, by default; no message
 * waits for a disk), and at a clean stop a copy in state_dir, which also survives a reboot. The files hold digests
 * only, nothing secret.
 */
#include "agent/peer/session.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

/* At this many records the file is rewritten with the nonces still in the window. */
#define RECORDS_MAX (2 * ENVELOPE_NONCES_MAX)

static int path_of(char path[PATH_MAX], const char *dir, const char *suffix)
{
	int len = snprintf(path, PATH_MAX, "%s/" NONCES_NAME "%s", dir, suffix);

	return len > 0 && len < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* A torn record at the end belongs to a message that was never answered, and is skipped. */
static void restore(const char *dir, struct envelope_guard *guard, int64_t now_ms)
{
	_cleanup_(closep) int fd = -1;
	struct envelope_nonce records[64];
	unsigned most = RECORDS_MAX;
	char path[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (path_of(path, dir, "") < 0)
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	while (most > 0 && (n = read(fd, records, sizeof(records))) > 0)
		for (size_t i = 0; i < (size_t)n / sizeof(*records) && most > 0; i++, most--)
			envelope_guard_restore(guard, &records[i], now_ms);
}

/* Writes a new file with all nonces of the window. Returns its fd for appending, or -errno. */
static int write_anew(const char *dir, const struct envelope_guard *guard, unsigned *ret_records)
{
	_cleanup_(closep) int fd = -1;
	char path[PATH_MAX], temporary[PATH_MAX];
	unsigned records = 0;

	if (path_of(path, dir, "") < 0 || path_of(temporary, dir, ".new") < 0)
		return -ENAMETOOLONG;
	unlink(temporary);
	fd = open(temporary, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	for (size_t i = 0; i < guard->size; i++) {
		const struct envelope_nonce *nonce = &guard->slots[i];

		if (nonce->expires_ms == 0)
			continue;
		if (write(fd, nonce, sizeof(*nonce)) != (ssize_t)sizeof(*nonce))
			return -EIO;
		records++;
	}
	if (rename(temporary, path) < 0)
		return -errno;
	*ret_records = records;
	return TAKE_FD(fd);
}

void nonces_open(struct nonces *nonces, const char *runtime_dir, const char *state_dir, struct envelope_guard *guard,
		 int64_t now_ms)
{
	*nonces = (struct nonces){ .open = true, .fd = -1 };
	restore(state_dir, guard, now_ms);
	restore(runtime_dir, guard, now_ms);
}

int nonces_add(struct nonces *nonces, const char *runtime_dir, const struct envelope_guard *guard)
{
	ssize_t n;

	if (nonces->fd >= 0 && nonces->records >= RECORDS_MAX)
		close_fd(&nonces->fd);
	if (nonces->fd < 0) {
		nonces->fd = write_anew(runtime_dir, guard, &nonces->records);
		return nonces->fd < 0 ? nonces->fd : 0;
	}
	n = write(nonces->fd, &guard->last, sizeof(guard->last));
	if (n == (ssize_t)sizeof(guard->last)) {
		nonces->records++;
		return 0;
	}
	close_fd(&nonces->fd); /* half a record was written: the next nonce starts a new file */
	return n < 0 ? -errno : -EIO;
}

void nonces_close(struct nonces *nonces, const char *state_dir, const struct envelope_guard *guard)
{
	unsigned records;
	int fd;

	if (!nonces->open)
		return;
	close_fd(&nonces->fd);
	nonces->open = false;
	if (guard->used == 0)
		return;
	fd = write_anew(state_dir, guard, &records);
	close_fd(&fd);
}
