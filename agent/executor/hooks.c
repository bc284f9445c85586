/* SPDX-License-Identifier: MIT */
/* The verb `hooks`, see freeze.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniservice/cleanup.h>

#include "agent/executor/freeze.h"

#define HOOKS_MAX 256

bool hook_name_counts(const char *name)
{
	static const char *const copies[] = { ".*",	    "*~",	   "*.bak",	 "*.orig",     "*.rpmnew",
					      "*.rpmorig",  "*.rpmsave",   "*.sample",	 "*.dpkg-old", "*.dpkg-new",
					      "*.dpkg-tmp", "*.dpkg-dist", "*.dpkg-bak", "*.dpkg-del" };

	for (size_t i = 0; i < ARRAY_SIZE(copies); i++)
		if (fnmatch(copies[i], name, 0) == 0)
			return false;
	return true;
}

/* Whether nobody but the owner, root (or the tests' user), can write it. */
static bool is_own(const struct stat *st)
{
	return st->st_uid == geteuid() && (st->st_mode & 022) == 0;
}

static int refuse(const char *dir, const char *name, const char *why)
{
	fprintf(stderr, "infiniservice-exec hooks: %s/%s: %s\n", dir, name, why);
	return -1;
}

/* 0, or -1 with a message. */
static int hook_run(const char *dir, const char *name, char *word)
{
	char path[4352], *words[] = { path, word, NULL };
	int status = 0, error;
	pid_t pid;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return refuse(dir, name, strerror(ENAMETOOLONG));
	error = posix_spawn(&pid, path, NULL, NULL, words, environ);
	if (error)
		return refuse(dir, name, strerror(error));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return refuse(dir, name, strerror(errno));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	fprintf(stderr, "infiniservice-exec hooks: %s %s ended with %s %d\n", path, word,
		WIFEXITED(status) ? "status" : "signal", WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
	return -1;
}

/* Whether it is to be run: 1, 0, or -1 with a message. */
static int hook_judge(int dir_fd, const char *dir, const char *name)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return refuse(dir, name, strerror(errno));
	if (S_ISLNK(st.st_mode))
		return refuse(dir, name, "a symbolic link is no hook: copy the program");
	if (!S_ISREG(st.st_mode) || !(st.st_mode & S_IXUSR))
		return 0;
	return is_own(&st) ? 1 : refuse(dir, name, "others than root can write it; cure: chown root, chmod go-w");
}

static int hooks_of(const char *dir, bool thaw, char *word)
{
	_cleanup_(closep) int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct dirent **entries;
	int count, failed = 0;
	struct stat st;

	if (dir_fd < 0)
		return errno == ENOENT ? 0 : refuse(dir, "", strerror(errno));
	if (fstat(dir_fd, &st) < 0 || !is_own(&st))
		return refuse(dir, "", "others than root can write it; cure: chown root, chmod go-w");
	count = scandirat(dir_fd, ".", &entries, NULL, alphasort);
	if (count < 0)
		return refuse(dir, "", strerror(errno));
	if (count > HOOKS_MAX)
		failed = refuse(dir, "", "too many files");
	for (int i = 0; i < count; i++) {
		const char *name = entries[thaw ? count - 1 - i : i]->d_name;
		int judged = hook_name_counts(name) && (!failed || thaw) ? hook_judge(dir_fd, dir, name) : 0;

		if (judged < 0 || (judged && hook_run(dir, name, word) < 0))
			failed = -1;
	}
	for (int i = 0; i < count; i++)
		free(entries[i]);
	free(entries);
	return failed;
}

int hooks_main(int argc, char *argv[])
{
	bool thaw = argc > 1 && strcmp(argv[1], "thaw") == 0;
	int failed = 0;

	if (argc < 2 || (!thaw && strcmp(argv[1], "freeze") != 0)) {
		fputs("usage: infiniservice-exec hooks freeze|thaw FOLDER...\n", stderr);
		return 2;
	}
	for (int i = 2; i < argc && (!failed || thaw); i++)
		failed |= hooks_of(argv[thaw ? argc + 1 - i : i], thaw, argv[1]);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
