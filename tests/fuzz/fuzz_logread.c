/* SPDX-License-Identifier: MIT */
/*
 * A file that stands where a segment of the log does, plain or compressed, whole or damaged: the reader says of it what
 * it can and ends. The first byte chooses: the rest as it is, the rest as a .zst, or the rest compressed to one and
 * then cut short.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <zstd.h>

#include "agent/log/reader.h"
#include "require.h"

#define LINES_MOST 100000

static char plain[64], packed[64];

/* In memory where there is such a folder: this is done many times a second. */
static void choose_names(void)
{
	const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	snprintf(plain, sizeof(plain), "%s/fuzz-logread-%d.ndjson", folder, (int)getpid());
	snprintf(packed, sizeof(packed), "%s/fuzz-logread-%d.ndjson.zst", folder, (int)getpid());
}

static void remove_both(void)
{
	unlink(plain);
	unlink(packed);
}

static bool put(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool done = fd >= 0 && write(fd, data, size) == (ssize_t)size;

	if (fd >= 0)
		close(fd);
	return done;
}

static void check_lines(struct reader *reader, int64_t begin_ms)
{
	struct reader_line line;
	unsigned lines = 0;
	int r;

	while ((r = reader_next(reader, &line)) > 0) {
		REQUIRE(++lines < LINES_MOST);
		REQUIRE(line.text[line.len] == '\0' && !memchr(line.text, '\n', line.len) &&
			line.len <= READER_LINE_MAX);
		REQUIRE(line.wall_ms >= begin_ms);
	}
	REQUIRE(r == 0 && reader_stats(reader).lines == lines);
}

static void check_file(char *path, bool headers, int64_t begin_ms)
{
	struct reader *reader;
	struct err e = { 0 };
	char *const paths[] = { path };
	int r = reader_open_files(paths, 1, &reader, &e);

	if (r < 0) {
		REQUIRE(*e.text);
		return;
	}
	reader_headers(reader, headers);
	if (begin_ms != INT64_MIN)
		reader_range(reader, begin_ms, INT64_MAX);
	check_lines(reader, begin_ms);
	reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t frame[1 << 17];
	char *path = plain;
	size_t len;

	if (!*plain) {
		choose_names();
		atexit(remove_both);
	}
	if (size < 2 || size > sizeof(frame) / 2)
		return 0;
	if (data[0] % 3 == 0) {
		if (!put(path, data + 1, size - 1))
			return 0;
	} else if (data[0] % 3 == 1) {
		path = packed;
		if (!put(path, data + 1, size - 1))
			return 0;
	} else {
		path = packed;
		len = ZSTD_compress(frame, sizeof(frame), data + 1, size - 1, 1);
		if (ZSTD_isError(len) || !put(path, frame, len - (data[0] / 3 < len ? data[0] / 3 : 0)))
			return 0;
	}
	check_file(path, data[0] & 64, data[0] & 128 ? 1790000000000 : INT64_MIN);
	return 0;
}
