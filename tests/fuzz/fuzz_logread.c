/* SPDX-License-Identifier: MIT */
/*
 * A file that stands where a segment of the log does, plain or compressed, whole or damaged: the reader says of it what
 * it can and ends. The first byte chooses: the rest as it is, the rest as a .zst, the rest compressed to one and
 * then cut short, or compressed in two frames with the index of a segment behind them, some bytes of which are changed.
 * What picks values, and takes summaries, sees every line.
 */
#include <fcntl.h>
#include <unistd.h>

#include <zstd.h>

#include "agent/log/frames.h"
#include "agent/log/pick.h"
#include "agent/log/reader.h"
#include "agent/log/sums.h"
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

static void check_value(void *data, unsigned path, struct pick_text key, struct pick_text value)
{
	const struct reader_line *line = data;
	double number, four[4];

	REQUIRE(path < PICK_MAX && value.text >= line->text && value.text + value.len <= line->text + line->len);
	REQUIRE(!key.text || (key.text >= line->text && key.text + key.len <= line->text + line->len));
	pick_number(value, &number);
	pick_numbers(value, four, 4);
}

static void check_picked(const struct reader_line *line)
{
	static struct pick *kept, *named;
	static struct sums *sums;
	static char out[SUMS_LINE_MAX];
	size_t len;

	if (!kept) {
		kept = sums_pick();
		sums = sums_new();
		named = pick_new();
		REQUIRE(kept && sums && named && pick_add(named, "system.cpu.cores_usage[1]", NULL) == 0 &&
			pick_add(named, "system.disk.usage_stats[/].used_gb", NULL) == 1 &&
			pick_add(named, "seq", NULL) == 2);
	}
	pick_line(named, line->text, line->len, check_value, (void *)(uintptr_t)line);
	pick_line(kept, line->text, line->len, check_value, (void *)(uintptr_t)line);
	sums_reset(sums, line->wall_ms);
	sums_add_sample(sums, kept, line->text, line->len, line->seq);
	sums_add_summary(sums, kept, line->text, line->len);
	len = sums_write(sums, 60000, false, true, out);
	REQUIRE(len > 0 && len <= sizeof(out) && out[len - 1] == '\n');
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
		check_picked(&line);
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

/* Two frames and their index; 0 if it did not fit. */
static size_t segment(uint8_t *out, size_t room, const uint8_t *data, size_t size)
{
	struct frames frames = { 0 };
	size_t half = size / 2, len = 0, tail;

	for (unsigned i = 0; i < 2; i++) {
		struct frame_row row = { .first_ms = 1790000000000 + i * 1000,
					 .first_seq = i + 1,
					 .offset = len,
					 .plain = (uint32_t)(i ? size - half : half) };
		size_t got = compress(out + len, room - len, i ? data + half : data, row.plain);

		if (ZSTD_isError(got))
			return 0;
		REQUIRE(frames_add(&frames, &row, false) == 0);
		len += got;
	}
	REQUIRE(frames_add(&frames, &(struct frame_row){ .first_ms = 1790000002000, .first_seq = 2, .offset = len },
			   true) == 0);
	tail = frames_tail_len(frames.count);
	if (tail > room - len)
		len = 0;
	else
		frames_tail_write(&frames, out + len);
	frames_free(&frames);
	return len ? len + tail : 0;
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
	if (data[0] % 4 == 3) {
		file = &packed;
		len = segment(frame, sizeof(frame), data + 1, size - 1);
		if (len && data[size - 1] & 1) /* some byte of the frames or the tables */
			frame[(size_t)data[0] * data[size / 2] % len] ^= data[size / 3];
		if (!len || !put(file, frame, len))
			return 0;
	} else if (data[0] % 4 == 0) {
		if (!put(file, data + 1, size - 1))
			return 0;
	} else if (data[0] % 4 == 1) {
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
