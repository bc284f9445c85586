/* SPDX-License-Identifier: MIT */
/* A file that is called a log, plain or compressed: what the reader gives out are lines with a time, in bounded memory.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/log/reader.h"
#include "require.h"

static char path[64];

static void file_put(const uint8_t *data, size_t size)
{
	int fd;

	if (!path[0])
		snprintf(path, sizeof(path), "/dev/shm/fuzz-log-%d", (int)getpid());
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	REQUIRE(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);
}

static void read_all(int64_t begin_ms, int64_t end_ms)
{
	char *paths[] = { path };
	struct reader *reader = NULL;
	struct reader_line line;
	struct err err = { 0 };
	int r = reader_open_files(paths, 1, &reader, &err);

	if (r < 0) {
		REQUIRE(strstr(err.text, path));
		return;
	}
	reader_range(reader, begin_ms, end_ms);
	while ((r = reader_next(reader, &line)) == 1)
		REQUIRE(line.len <= READER_LINE_MAX && strlen(line.text) == line.len && line.wall_ms >= begin_ms &&
			line.wall_ms < end_ms && !memchr(line.text, '\n', line.len));
	REQUIRE(r == 0);
	reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	file_put(data, size);
	read_all(INT64_MIN, INT64_MAX);
	read_all(1767323045000, 1767323046000);
	unlink(path);
	return 0;
}
