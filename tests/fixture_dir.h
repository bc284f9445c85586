/* SPDX-License-Identifier: MIT */
/*
 * A temporary directory that stands for /proc, /sys and / of some machine, as a collector's context sees them. Create
 * it in a test's setup and remove it in the teardown: cmocka leaves a failing test by longjmp.
 */
#ifndef TESTS_FIXTURE_DIR_H
#define TESTS_FIXTURE_DIR_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <infiniservice/cleanup.h>
#include <infiniservice/collector.h>

struct fixture {
	char path[64];
	struct collect_ctx ctx; /* proc_fd, sys_fd and root_fd are the directory's proc, sys and root; not live */
	void *state;		/* of the collector under test */
};

static inline int fixture_open_dir(const struct fixture *fixture, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", fixture->path, name);
	if (mkdir(path, 0700) < 0)
		abort();
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static inline struct fixture *fixture_new(void)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	if (!fixture)
		abort();
	strcpy(fixture->path, "/tmp/fixture-XXXXXX");
	if (!mkdtemp(fixture->path))
		abort();
	fixture->ctx.proc_fd = fixture_open_dir(fixture, "proc");
	fixture->ctx.sys_fd = fixture_open_dir(fixture, "sys");
	fixture->ctx.root_fd = fixture_open_dir(fixture, "root");
	fixture->ctx.limits = (struct collect_limits){ .processes_top = 20, .ports_max = 1000, .cgroups_top = 8 };
	fixture->ctx.now =
		(struct moment){ .mono_ns = 1000 * NS_PER_S, .boot_ns = 1000 * NS_PER_S, .wall_ms = 1767225600000 };
	return fixture;
}

static inline int fixture_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void fixture_free(struct fixture *fixture)
{
	close(fixture->ctx.proc_fd);
	close(fixture->ctx.sys_fd);
	close(fixture->ctx.root_fd);
	nftw(fixture->path, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(fixture);
}

/*
 * Creates the directories above `path` ("proc/1/mountinfo"), then the file, in place if it is there (a kept fd sees
 * it).
 */
static inline void fixture_write_bytes(const struct fixture *fixture, const char *path, const void *bytes, size_t len)
{
	char full[512];
	int fd;

	snprintf(full, sizeof(full), "%s/%s", fixture->path, path);
	for (char *slash = full + strlen(fixture->path) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		if (mkdir(full, 0700) < 0 && errno != EEXIST)
			abort();
		*slash = '/';
	}
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
		abort();
	close(fd);
}

static inline void fixture_write(const struct fixture *fixture, const char *path, const char *text)
{
	fixture_write_bytes(fixture, path, text, strlen(text));
}

static inline void fixture_remove(const struct fixture *fixture, const char *path)
{
	char full[512];

	snprintf(full, sizeof(full), "%s/%s", fixture->path, path);
	if (remove(full) < 0)
		abort();
}

/* Lets `seconds` pass on all clocks. */
static inline void fixture_pass(struct fixture *fixture, uint64_t seconds)
{
	fixture->ctx.now.mono_ns += seconds * NS_PER_S;
	fixture->ctx.now.boot_ns += seconds * NS_PER_S;
	fixture->ctx.now.wall_ms += (int64_t)(seconds * 1000);
}

#endif
