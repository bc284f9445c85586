/* SPDX-License-Identifier: MIT */
/*
 * A tree of its own for the cleaner and its verbs: a directory made for the test, which stands for the root of a
 * machine. Everything is removed below it alone, and a verb, which acts on "/", runs in a child whose root it is.
 */
#ifndef TESTS_CLEANER_FIXTURE_H
#define TESTS_CLEANER_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <infiniservice/child_end.h>
#include <infiniservice/cleanup.h>

#include "agent/cleaner/cleaner.h"
#include "tests/room.h"

struct tree {
	char root[64];
	struct cleaner cleaner;
	char removed[4096];	    /* " path" each */
	char revoked[4096];	    /* " path:what" each */
	char out[16384], err[4096]; /* of the last verb */
};

__attribute__((format(printf, 3, 4))) static inline void tree_note(char *text, size_t size, const char *format, ...)
{
	size_t len = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + len, size - len, format, args);
	va_end(args);
}

static inline void tree_removed(void *data, const char *path, uint64_t bytes)
{
	struct tree *tree = data;

	(void)bytes;
	tree_note(tree->removed, sizeof(tree->removed), " %s", path);
}

static inline void tree_revoked(void *data, const char *path, const char *what)
{
	struct tree *tree = data;

	tree_note(tree->revoked, sizeof(tree->revoked), " %s:%s", path, what);
}

static inline void make_dir(struct tree *tree, const char *path)
{
	assert_int_equal(mkdirat(tree->cleaner.root_fd, path, 0755), 0);
}

/* Makes the directories above it, too. */
static inline void make_file(struct tree *tree, const char *path, const char *text)
{
	char part[1024];
	int fd;

	for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
		snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		if (mkdirat(tree->cleaner.root_fd, part, 0755) < 0)
			assert_int_equal(errno, EEXIST);
	}
	fd = openat(tree->cleaner.root_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static inline void make_link(struct tree *tree, const char *target, const char *path)
{
	assert_int_equal(symlinkat(target, tree->cleaner.root_fd, path), 0);
}

static inline bool there(const struct tree *tree, const char *path)
{
	struct stat st;

	return fstatat(tree->cleaner.root_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The text of a file, valid until the next call; NULL: there is none. */
static inline const char *text_of(const struct tree *tree, const char *path)
{
	static char text[8192];
	int fd = openat(tree->cleaner.root_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (len >= 0)
		text[len] = '\0';
	return len < 0 ? NULL : text;
}

static inline void tree_read(int fd, char *text, size_t size)
{
	ssize_t len = pread(fd, text, size - 1, 0);

	text[len > 0 ? len : 0] = '\0';
	close(fd);
}

/* The verb's exit status; what it wrote is in `out` and `err`. */
static inline int run_verb(struct tree *tree, int (*verb)(int argc, char *argv[]), const char *const arguments[])
{
	int out = memfd_create("out", MFD_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC), status = -1, argc = 0;
	char *argv[16] = { NULL };
	pid_t child;

	for (; arguments[argc]; argc++)
		assert_non_null(argv[argc] = strdup(arguments[argc]));
	fflush(NULL);
	child = fork();
	if (child == 0) {
		int before = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (before < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0 ||
		    chroot(tree->root) < 0 || chdir("/") < 0)
			child_end(99);
		optind = 0; /* getopt begins anew */
		status = verb(argc, argv);
		fflush(stdout);
		/* Back, for what counts the lines. */
		child_end(fchdir(before) == 0 && chroot(".") == 0 ? status : 98);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	tree_read(out, tree->out, sizeof(tree->out));
	tree_read(err, tree->err, sizeof(tree->err));
	while (argc > 0)
		free(argv[--argc]);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define VERB(tree, verb, ...) run_verb(tree, verb, (const char *const[]){ #verb, ##__VA_ARGS__, NULL })

static inline int tree_begin(void **state)
{
	struct tree *tree = calloc(1, sizeof(*tree));

	if (!tree)
		return -1;
	strcpy(tree->root, "/tmp/cleaner-XXXXXX");
	if (!mkdtemp(tree->root))
		return -1;
	tree->cleaner = (struct cleaner){ .root_fd = open(tree->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
					  .now_s = time(NULL),
					  .age_s = -1,
					  .removed = tree_removed,
					  .revoked = tree_revoked,
					  .data = tree };
	*state = tree;
	return 0;
}

static inline int tree_remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

static inline int tree_end(void **state)
{
	struct tree *tree = *state;

	close(tree->cleaner.root_fd);
	nftw(tree->root, tree_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(tree);
	return 0;
}

#endif
