/* SPDX-License-Identifier: MIT */
/* Finds and stores the shared secret. Every buffer that held it is wiped before it is freed. */
#include "agent/config/secret.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/config/safe_file.h"

static size_t trimmed_length(const char *text, size_t len)
{
	while (len > 0 && strchr(" \t\r\n\v\f", text[len - 1]) && text[len - 1])
		len--;
	return len;
}

static int secret_take(const char *from, const char *text, size_t len, struct secret *ret, struct err *err)
{
	len = trimmed_length(text, len);
	if (len == 0)
		return err_set(err, -EINVAL, "%s: the secret is empty", from);
	if (len > SECRET_MAX)
		return err_set(err, -EFBIG, "%s: longer than %d bytes", from, SECRET_MAX);
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->bytes, text, len);
	ret->len = len;
	return 0;
}

/* Only the host may sign; users with permission to view metrics must not read the secret. */
static void warn_of_readers(const char *path, const struct stat *st, struct err *warning)
{
	const char *who = st->st_mode & S_IROTH ? "everybody" : "its group";

	if (st->st_mode & (S_IRGRP | S_IROTH))
		err_set(warning, -EPERM,
			"%s: can be read by %s (mode %04o), who may then sign as the host; cure: chown %u '%s' && "
			"chmod 0600 '%s'",
			path, who, (unsigned)(st->st_mode & 07777), (unsigned)geteuid(), path, path);
}

int secret_load(const char *path, struct secret *ret, struct err *warning, struct err *err)
{
	char *text = NULL;
	size_t len = 0;
	struct stat st;
	/* Trailing white space does not count, so the file may be a little longer than the secret. */
	int rc = safe_file_read_stat(path, SECRET_MAX + 256, &text, &len, &st, err);

	if (warning)
		*warning = (struct err){ 0 };
	if (rc == -EACCES)
		return err_set(err, rc, "%s: cannot be read by the agent; cure: chown %u '%s' && chmod 0600 '%s'", path,
			       (unsigned)geteuid(), path, path);
	if (rc)
		return rc;
	warn_of_readers(path, &st, warning);
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
