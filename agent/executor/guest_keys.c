/* SPDX-License-Identifier: MIT */
/*
 * The verb `keys`, see guest_verbs.h. All work on files is done with the rights of the user alone, and beneath the
 * descriptor of the home: a link in it, which its user can set at any time, leads nowhere.
 */
#include "agent/executor/guest_verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/libc.h>

#include "agent/runner/protocol.h"

#define SYSTEM_UID_MAX 999
#define NOBODY_UID     65534
#define FILE_MAX       (1 << 20)
#define KEYS_MAX       1024
#define KEYS_FILE      "authorized_keys"
#define KEYS_FILE_NEW  ".authorized_keys.infiniservice"

static int fail(const char *what, int error)
{
	fprintf(stderr, "infiniservice-exec keys: %s%s%s\n", what, error ? ": " : "", error ? strerror(error) : "");
	return EXIT_FAILURE;
}

static int open_beneath(int dir_fd, const char *path, int flags, mode_t mode)
{
	struct open_how how = { .flags = (uint64_t)(flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY),
				.mode = mode,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	long fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));

	/* Both names are single ones: O_NOFOLLOW does for kernels before 5.6. */
	if (fd < 0 && errno == ENOSYS)
		return openat(dir_fd, path, (int)how.flags, mode);
	return (int)fd;
}

/* The whole file, ended by NUL, in *ret, to be freed; "" where there is none. 0 or -errno. */
static int file_read(int ssh_fd, char **ret)
{
	_cleanup_(closep) int fd = ssh_fd < 0 ? -1 : open_beneath(ssh_fd, KEYS_FILE, O_RDONLY, 0);
	size_t len = 0;
	ssize_t got = 0;
	struct stat st;
	char *text = calloc(1, FILE_MAX + 2);

	if (!text)
		return -ENOMEM;
	*ret = text;
	if (fd < 0)
		return ssh_fd < 0 || errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	while (len < FILE_MAX && (got = read(fd, text + len, FILE_MAX - len)) > 0)
		len += (size_t)got;
	if (got < 0)
		return -errno;
	return len == FILE_MAX ? -EFBIG : 0;
}

static bool is_in(const char *line, size_t len, const char *const *keys)
{
	for (; *keys; keys++)
		if (strlen(*keys) == len && memcmp(*keys, line, len) == 0)
			return true;
	return false;
}

static bool has_line(const char *text, const char *line)
{
	const char *const lines[] = { line, NULL };

	for (size_t len; *text; text += len + (text[len] == '\n')) {
		len = strcspn(text, "\n");
		if (is_in(text, len, lines))
			return true;
	}
	return false;
}

/* Writes the new content: what stays of the old text, then what is added. 0 or -errno. */
static int file_write(int ssh_fd, const char *word, const char *text, const char *const *keys)
{
	int fd = open_beneath(ssh_fd, KEYS_FILE_NEW, O_WRONLY | O_CREAT | O_TRUNC, 0600), error = 0;
	bool add = strcmp(word, "remove") != 0;
	const char *at = strcmp(word, "reset") == 0 ? "" : text;
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");

	if (!out) {
		error = -errno;
		if (fd >= 0)
			close(fd);
		return error;
	}
	for (size_t len; *at; at += len + (at[len] == '\n')) {
		len = strcspn(at, "\n");
		if (add || !is_in(at, len, keys))
			fprintf(out, "%.*s\n", (int)len, at);
	}
	for (size_t i = 0; add && keys[i]; i++) {
		bool twice = strcmp(word, "reset") != 0 && has_line(text, keys[i]);

		for (size_t k = 0; k < i; k++)
			twice = twice || strcmp(keys[k], keys[i]) == 0;
		if (!twice)
			fprintf(out, "%s\n", keys[i]);
	}
	if (fflush(out) != 0 || ferror(out) || fchmod(fd, 0600) < 0 || fsync(fd) < 0)
		error = errno ? -errno : -EIO;
	if (fclose(out) != 0 && !error)
		error = -errno;
	if (!error && renameat(ssh_fd, KEYS_FILE_NEW, ssh_fd, KEYS_FILE) < 0)
		error = -errno;
	if (error)
		unlinkat(ssh_fd, KEYS_FILE_NEW, 0);
	return error;
}

int keys_do(int home_fd, const char *word, const char *const *keys)
{
	bool change = strcmp(word, "get") != 0;
	_cleanup_(freep) char *text = NULL;
	_cleanup_(closep) int ssh_fd = -1;
	int r;

	if (change && strcmp(word, "remove") != 0 && mkdirat(home_fd, ".ssh", 0700) < 0 && errno != EEXIST)
		return fail("~/.ssh cannot be made", errno);
	ssh_fd = open_beneath(home_fd, ".ssh", O_RDONLY | O_DIRECTORY, 0);
	if (ssh_fd < 0 && errno != ENOENT)
		return fail("~/.ssh", errno);
	r = file_read(ssh_fd, &text);
	if (r < 0)
		return fail("~/.ssh/" KEYS_FILE, -r);
	if (!change) {
		fputs(text, stdout);
		return fflush(stdout) == 0 ? EXIT_SUCCESS : fail("stdout", errno);
	}
	if (ssh_fd < 0)
		return EXIT_SUCCESS; /* there is nothing to remove a key from */
	if (fchmod(ssh_fd, 0700) < 0)
		return fail("~/.ssh", errno);
	r = file_write(ssh_fd, word, text, keys);
	return r < 0 ? fail("~/.ssh/" KEYS_FILE, -r) : EXIT_SUCCESS;
}

/* Becomes the user for good. 0, or -errno. */
static int become_user(const struct passwd *user)
{
	return initgroups(user->pw_name, user->pw_gid) < 0 || setresgid(user->pw_gid, user->pw_gid, user->pw_gid) < 0 ||
			       setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0
		       ? -errno
		       : 0;
}

/* A key is one line that begins with a word of it, and no comment. */
static bool key_is_plausible(const char *key)
{
	return *key > ' ' && *key != '#' && !strpbrk(key, "\n\r") && strchr(key, ' ');
}

int keys_main(int argc, char *argv[])
{
	static char text[256 << 10];
	static const char *keys[KEYS_MAX + 1];
	const char *word = argc == 2 ? argv[1] : "";
	ssize_t len = pread(RUNNER_INPUT_FD, text, sizeof(text), 0);
	bool get = strcmp(word, "get") == 0,
	     known = get || strcmp(word, "add") == 0 || strcmp(word, "reset") == 0 || strcmp(word, "remove") == 0;
	_cleanup_(closep) int home_fd = -1;
	const struct passwd *user;
	size_t count = 0;
	struct stat st;
	int r;

	if (!known || len <= 0 || (size_t)len == sizeof(text) || text[len - 1] != '\0') {
		fputs("usage: infiniservice-exec keys get|add|reset|remove, with user and keys as input\n", stderr);
		return 2;
	}
	for (const char *at = text + strlen(text) + 1; at < text + len; at += strlen(at) + 1) {
		if (count == KEYS_MAX || !key_is_plausible(at))
			return fail("that is no list of public keys, of one line each", 0);
		keys[count++] = at;
	}
	errno = 0;
	user = getpwnam(text);
	if (!user)
		return fail("there is no such user", errno);
	if (user->pw_uid <= SYSTEM_UID_MAX || user->pw_uid == NOBODY_UID)
		return fail("the keys of users of the system are left alone", 0);
	r = become_user(user);
	if (r < 0)
		return fail("the user cannot be become", -r);
	home_fd = open(user->pw_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (home_fd < 0 || fstat(home_fd, &st) < 0)
		return fail("the home of the user", errno);
	if (st.st_uid != user->pw_uid)
		return fail("the home of the user is another's", 0);
	umask(077);
	return keys_do(home_fd, word, keys);
}
