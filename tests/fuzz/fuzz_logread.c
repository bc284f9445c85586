/* SPDX-License-Identifier: MIT */
/*
 * A file that stands where a segment of the log does, plain or compressed, whole or damaged: the reader says of it what
 * it can and ends. The first byte chooses: the rest as it is, the rest as a .zst, or the rest compressed to one and
 * then cut short.
 */
#include <fcntl.h>
#include <unistd.h>

#include <zstd.h>

#include "agent/log/reader.h"
#include "require.h"
#include "scratch.h"

#define LINES_MOST 100000

/* Open for good: to make them anew would take most of the time. What each is, its content says. */
static struct file {
	const char *name;
	char path[96];
	int fd;
} plain = { .name = "metrics.ndjson" }, packed = { .name = "metrics.ndjson.zst" };

static void make(struct file *file)
{
	snprintf(file->path, sizeof(file->path), "%s/%s", scratch, file->name);
	file->fd = open(file->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	REQUIRE(file->fd >= 0);
}

static bool put(struct file *file, const void *data, size_t size)
{
	return ftruncate(file->fd, 0) == 0 && pwrite(file->fd, data, size, 0) == (ssize_t)size;
}

/* As ZSTD_compress, with one context for all. */
static size_t compress(void *out, size_t room, const void *data, size_t size)
{
	static ZSTD_CCtx *context;

	if (!context)
		context = ZSTD_createCCtx();
	REQUIRE(context);
	return ZSTD_compressCCtx(context, out, room, data, size, 1);
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
	struct file *file = &plain;
	size_t len;

	if (!*scratch) {
		scratch_make("logread");
		make(&plain);
		make(&packed);
	}
	if (size < 2 || size > sizeof(frame) / 2)
		return 0;
	if (data[0] % 3 == 0) {
		if (!put(file, data + 1, size - 1))
			return 0;
	} else if (data[0] % 3 == 1) {
		file = &packed;
		if (!put(file, data + 1, size - 1))
			return 0;
	} else {
		file = &packed;
		len = compress(frame, sizeof(frame), data + 1, size - 1);
		if (ZSTD_isError(len) || !put(file, frame, len - (data[0] / 3 < len ? data[0] / 3 : 0)))
			return 0;
	}
	check_file(file->path, data[0] & 64, data[0] & 128 ? 1790000000000 : INT64_MIN);
	return 0;
}
