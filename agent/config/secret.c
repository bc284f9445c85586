/* SPDX-License-Identifier: MIT */
/*
 * Every buffer that held the secret is wiped before it is freed. A file is opened first, the descriptor checked, then
 * read: the file that was checked is the file that is read.
 */
#include "agent/config/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

static int judge(const char *path, const struct stat *st, struct err *err)
{
	if (!S_ISREG(st->st_mode))
		return err_set(err, -EMEDIUMTYPE, "%s: not a regular file", path);
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return err_set(err, -EPERM, "%s: belongs to uid %u, which may change it; cure: chown root '%s'", path,
			       (unsigned)st->st_uid, path);
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return err_set(err, -EPERM, "%s: can be written by others (mode %04o); cure: chmod go-w '%s'", path,
			       (unsigned)(st->st_mode & 07777), path);
	return 0;
}

static int read_all(int fd, size_t max, char **ret_text, size_t *ret_len)
{
	_cleanup_(freep) char *text = NULL;
	size_t len = 0, room = 0;
	/*
	 * A small file is read into one buffer: a growing one would leave a copy, maybe of a secret, in freed memory.
	 */
	const size_t first = max < 8192 ? max + 1 : 4096;

	for (;;) {
		ssize_t got;

		if (len == room) {
			char *more = realloc(text, (room = room ? 2 * room : first) + 1);

			if (!more)
				return -ENOMEM;
			text = more;
		}
		got = read(fd, text + len, room - len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		len += (size_t)got;
		if (len > max)
			return -EFBIG;
	}
	text[len] = '\0';
	*ret_text = TAKE_PTR(text);
	*ret_len = len;
	return 0;
}

int safe_file_read(const char *path, size_t max, char **ret_text, size_t *ret_len, struct stat *ret_st, struct err *err)
{
	/* O_NONBLOCK: opening a FIFO in its place must not block before the check. */
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	int rc;

	if (fd < 0 && errno == ENXIO) /* ENXIO: a socket */
		return err_set(err, -EMEDIUMTYPE, "%s: not a regular file", path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (ret_st)
		*ret_st = st;
	rc = judge(path, &st, err);
	if (rc)
		return rc;
	rc = read_all(fd, max, ret_text, ret_len);
	if (rc == -EFBIG)
		return err_set(err, rc, "%s: longer than %zu bytes", path, max);
	return rc ? err_set(err, rc, "%s: %s", path, strerror(-rc)) : 0;
}

static int secret_take(const char *from, const char *text, size_t len, struct secret *ret, struct err *err)
{
	while (len > 0 && strchr(" \t\r\n\v\f", text[len - 1]) && text[len - 1])
		len--;
	if (len == 0)
		return err_set(err, -EINVAL, "%s: the secret is empty", from);
	if (len > SECRET_MAX)
		return err_set(err, -EFBIG, "%s: longer than %d bytes", from, SECRET_MAX);
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->bytes, text, len);
	ret->len = len;
	return 0;
}

int secret_load(const char *path, struct secret *ret, struct err *warning, struct err *err)
{
	char *text = NULL;
	size_t len = 0;
	struct stat st;
	/* Trailing white space does not count, so the file may be a little longer than the secret. */
	int rc = safe_file_read(path, SECRET_MAX + 256, &text, &len, &st, err);

	if (warning)
		*warning = (struct err){ 0 };
	if (rc == -EACCES)
		return err_set(err, rc, "%s: cannot be read by the agent; cure: chown %u '%s' && chmod 0600 '%s'", path,
			       (unsigned)geteuid(), path, path);
	if (rc)
		return rc;
	/* Only the host may sign; users with permission to view metrics must not read the secret. */
	if (st.st_mode & (S_IRGRP | S_IROTH))
		err_set(warning, -EPERM,
			"%s: can be read by %s (mode %04o), who may then sign as the host; cure: chown %u '%s' && "
			"chmod 0600 '%s'",
			path, st.st_mode & S_IROTH ? "everybody" : "its group", (unsigned)(st.st_mode & 07777),
			(unsigned)geteuid(), path, path);
	rc = secret_take(path, text, len, ret, err);
	explicit_bzero(text, len);
	free(text);
	return rc;
}

/* 0: found, 1: no such file, or -errno. */
static int secret_try(const char *path, struct secret *ret, struct err *warning, struct err *err)
{
	int rc = secret_load(path, ret, warning, err);

	return rc == -ENOENT || rc == -ENOTDIR ? 1 : rc;
}

int secret_find(const char *path, struct secret *ret, struct err *warning, struct err *err)
{
	const char *credentials = getenv("CREDENTIALS_DIRECTORY"), *text = getenv(SECRET_ENVIRONMENT);
	char file[PATH_MAX];
	int rc = 1;

	if (warning)
		*warning = (struct err){ 0 };
	if (path[0])
		return secret_load(path, ret, warning, err);
	if (credentials && credentials[0] == '/' &&
	    snprintf(file, sizeof(file), "%s/secret", credentials) < (int)sizeof(file))
		/*
		 * No warning about readers: the group bits that the service manager shows there are the mask of an
		 * access list.
		 */
		rc = secret_try(file, ret, NULL, err);
	if (rc == 1)
		rc = secret_try(SYSCONFDIR "/infiniservice/secret", ret, warning, err);
	if (rc < 1)
		return rc;
	if (text && text[0])
		return secret_take("$" SECRET_ENVIRONMENT, text, strlen(text), ret, err);
	memset(ret, 0, sizeof(*ret));
	return 0;
}

void secret_forget_environment(void)
{
	char *text = getenv(SECRET_ENVIRONMENT);

	if (text)
		explicit_bzero(text, strlen(text));
	unsetenv(SECRET_ENVIRONMENT);
}

struct secret *secret_new(void)
{
	void *pages = mmap(NULL, sizeof(struct secret), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		return NULL;
	/* Without support by the kernel the secret is no worse protected than other memory. */
	madvise(pages, sizeof(struct secret), MADV_WIPEONFORK);
	madvise(pages, sizeof(struct secret), MADV_DONTDUMP);
	return pages;
}

struct secret *secret_free(struct secret *secret)
{
	if (secret) {
		secret_wipe(secret);
		munmap(secret, sizeof(*secret));
	}
	return NULL;
}

void secret_wipe(struct secret *secret)
{
	explicit_bzero(secret, sizeof(*secret));
}
