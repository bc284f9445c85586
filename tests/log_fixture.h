/* SPDX-License-Identifier: MIT */
/*
 * A temporary log directory and samples to put into it, for the tests of agent/log and of what reads it.
 */
#ifndef TESTS_LOG_FIXTURE_H
#define TESTS_LOG_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <infiniservice/moment.h>

#include "agent/log/writer.h"

#define T0 1790000000000LL /* 2026-09-21T14:13:20.000Z */

struct log_fixture {
	char base[64]; /* removed with everything in it */
	char dir[80];  /* base/log, not made yet */
	struct writer_config config;
	struct writer writer;
};

/* Runs a shell command in a directory; "$OLDPWD" is the directory after a `cd /`. */
static inline void run(const char *dir, const char *shell)
{
	char command[512];

	snprintf(command, sizeof(command), "cd %s && %s", dir, shell);
	assert_int_equal(system(command), 0);
}

static inline int log_setup(void **state)
{
	struct log_fixture *f = calloc(1, sizeof(*f));

	strcpy(f->base, "/tmp/test-log-XXXXXX");
	assert_non_null(mkdtemp(f->base));
	snprintf(f->dir, sizeof(f->dir), "%s/log", f->base);
	f->config = (struct writer_config){
		.segment_bytes = 65536,
		.max_total_bytes = 4 * 65536,
		.sync = LOG_SYNC_NONE,
		.boot_id = "0f0f0f0f-1111-2222-3333-444444444444",
	};
	strcpy(f->config.dir, f->dir);
	writer_init(&f->writer, &f->config);
	*state = f;
	return 0;
}

static inline struct moment at(int64_t wall_ms)
{
	return (struct moment){ .wall_ms = wall_ms, .mono_ns = (uint64_t)(wall_ms - T0 + 100000) * NS_PER_MS };
}

static inline int log_teardown(void **state)
{
	struct log_fixture *f = *state;

	writer_close(&f->writer, at(T0));
	run(f->base, "cd / && rm -rf \"$OLDPWD\"");
	free(f);
	return 0;
}

/* A sample line padded to `len` bytes ('\n' included), or as short as it gets with 0. */
static inline size_t sample(char *out, size_t size, int64_t wall_ms, uint64_t seq, size_t len)
{
	char time[RFC3339_SIZE];
	int head;

	rfc3339_format(wall_ms, time);
	head = snprintf(out, size,
			"{\"type\":\"metrics\",\"timestamp\":\"%s\",\"seq\":%" PRIu64 ",\"data\":{\"pad\":\"", time,
			seq);
	assert_true((size_t)head + 8 < size && len < size);
	while ((size_t)head + 4 < len)
		out[head++] = 'x';
	memcpy(out + head, "\"}}\n", 5);
	return (size_t)head + 4;
}

static inline int append(struct log_fixture *f, int64_t wall_ms, uint64_t seq, size_t len)
{
	static char line[300000];
	size_t real = sample(line, sizeof(line), wall_ms, seq, len);

	return writer_append(&f->writer, line, real, seq, at(wall_ms));
}

/* The names in the directory, sorted. Returns their number. */
static inline int names(const char *dir, char out[][NAMES_SIZE], int max)
{
	struct dirent **entries;
	int count = scandir(dir, &entries, NULL, alphasort), kept = 0;

	assert_true(count >= 0);
	for (int i = 0; i < count; i++) {
		if (entries[i]->d_name[0] != '.' && kept < max)
			snprintf(out[kept++], NAMES_SIZE, "%.63s", entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return kept;
}

static inline char *slurp(const char *dir, const char *name, size_t *ret_len)
{
	char path[256], *text = calloc(1, 1 << 20);
	size_t len;
	FILE *file;

	snprintf(path, sizeof(path), "%.100s/%.100s", dir, name);
	file = fopen(path, "re");
	assert_non_null(file);
	len = fread(text, 1, (1 << 20) - 1, file);
	fclose(file);
	if (ret_len)
		*ret_len = len;
	return text;
}

static inline void spit(const char *dir, const char *name, const char *text, size_t len)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%.100s/%.100s", dir, name);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	fclose(file);
	assert_int_equal(chmod(path, 0640), 0);
}

static inline uint64_t count_lines(const char *text)
{
	uint64_t count = 0;

	for (; (text = strchr(text, '\n')); text++)
		count++;
	return count;
}

#endif
