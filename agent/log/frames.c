/* SPDX-License-Identifier: MIT */
/* Both tables are of fixed width, so that the number of frames in the footer tells where each begins. */
#include "agent/log/frames.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <infiniservice/cleanup.h>

#include "agent/log/io.h"

#define INDEX_MAGIC    0x184D2A50u
#define TABLE_MAGIC    0x184D2A5Eu
#define SEEKABLE_MAGIC 0x8F92EAB1u
#define SKIPPABLE_HEAD 8u /* magic, size */
#define INDEX_HEAD     16u
#define INDEX_ROW      24u
#define TABLE_ROW      8u

static const char mark[8] = { 'I', 'N', 'F', 'L', 'O', 'G', '0', '1' };

static void put32(unsigned char **at, uint32_t value)
{
	value = htole32(value);
	memcpy(*at, &value, sizeof(value));
	*at += sizeof(value);
}

static void put64(unsigned char **at, uint64_t value)
{
	value = htole64(value);
	memcpy(*at, &value, sizeof(value));
	*at += sizeof(value);
}

static uint32_t get32(const unsigned char *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return le32toh(value);
}

static uint64_t get64(const unsigned char *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return le64toh(value);
}

int frames_add(struct frames *frames, const struct frame_row *row, bool end)
{
	if (!end && frames->count == FRAMES_MAX)
		return -E2BIG;
	if (frames->count >= frames->size) {
		size_t size = frames->size ? 2 * frames->size : 64;
		struct frame_row *more = realloc(frames->rows, size * sizeof(*more));

		if (!more)
			return -ENOMEM;
		frames->rows = more;
		frames->size = size;
	}
	frames->rows[frames->count] = *row;
	frames->count += !end;
	return 0;
}

void frames_free(struct frames *frames)
{
	free(frames->rows);
	*frames = (struct frames){ 0 };
}

static size_t index_len(size_t count)
{
	return SKIPPABLE_HEAD + INDEX_HEAD + (count + 1) * INDEX_ROW;
}

/* The table has a row for our index too. */
static size_t table_len(size_t count)
{
	return SKIPPABLE_HEAD + (count + 1) * TABLE_ROW + FRAMES_FOOTER_LEN;
}

size_t frames_tail_len(size_t count)
{
	return index_len(count) + table_len(count);
}

void frames_tail_write(const struct frames *frames, unsigned char *out)
{
	put32(&out, INDEX_MAGIC);
	put32(&out, (uint32_t)(index_len(frames->count) - SKIPPABLE_HEAD));
	memcpy(out, mark, sizeof(mark));
	out += sizeof(mark);
	put32(&out, (uint32_t)frames->count);
	put32(&out, 0);
	for (size_t i = 0; i <= frames->count; i++) {
		put64(&out, (uint64_t)frames->rows[i].first_ms);
		put64(&out, frames->rows[i].first_seq);
		put64(&out, frames->rows[i].offset);
	}
	put32(&out, TABLE_MAGIC);
	put32(&out, (uint32_t)(table_len(frames->count) - SKIPPABLE_HEAD));
	for (size_t i = 0; i < frames->count; i++) {
		put32(&out, (uint32_t)(frames->rows[i + 1].offset - frames->rows[i].offset));
		put32(&out, frames->rows[i].plain);
	}
	put32(&out, (uint32_t)index_len(frames->count));
	put32(&out, 0);
	put32(&out, (uint32_t)frames->count + 1);
	*out++ = 0;
	put32(&out, SEEKABLE_MAGIC);
}

size_t frames_tail_find(const unsigned char footer[FRAMES_FOOTER_LEN])
{
	uint32_t count = get32(footer);

	if (get32(footer + 5) != SEEKABLE_MAGIC || footer[4] != 0 || count < 1 || count > FRAMES_MAX + 1)
		return 0;
	return frames_tail_len(count - 1);
}

/* The rows of both tables as one; nothing is believed that the file's size does not bear out. */
static int rows_parse(const unsigned char *index, const unsigned char *table, size_t count, uint64_t data_len,
		      struct frames *frames)
{
	uint64_t offset = 0;

	for (size_t i = 0; i <= count; i++, index += INDEX_ROW, table += TABLE_ROW) {
		struct frame_row row = {
			.first_ms = (int64_t)get64(index),
			.first_seq = get64(index + 8),
			.offset = get64(index + 16),
			.plain = i < count ? get32(table + 4) : 0,
		};
		int r;

		if (row.offset != offset || (i < count && get32(table) == 0))
			return -EBADMSG;
		r = frames_add(frames, &row, i == count);
		if (r < 0)
			return r;
		offset += i < count ? get32(table) : 0;
	}
	return offset == data_len && get32(table - TABLE_ROW) == index_len(count) ? 0 : -EBADMSG;
}

int frames_tail_parse(const unsigned char *tail, size_t len, uint64_t file_size, struct frames *ret)
{
	const unsigned char *table;
	struct frames frames = { 0 };
	size_t count;
	int r;

	if (len < frames_tail_len(0) || len > file_size || frames_tail_find(tail + len - FRAMES_FOOTER_LEN) != len)
		return -EBADMSG;
	count = get32(tail + len - FRAMES_FOOTER_LEN) - 1;
	table = tail + index_len(count);
	if (get32(tail) != INDEX_MAGIC || get32(tail + 4) != index_len(count) - SKIPPABLE_HEAD ||
	    memcmp(tail + SKIPPABLE_HEAD, mark, sizeof(mark)) != 0 || get32(tail + 16) != count ||
	    get32(table) != TABLE_MAGIC || get32(table + 4) != table_len(count) - SKIPPABLE_HEAD)
		return -EBADMSG;
	r = rows_parse(tail + SKIPPABLE_HEAD + INDEX_HEAD, table + SKIPPABLE_HEAD, count, file_size - len, &frames);
	if (r < 0)
		frames_free(&frames);
	else
		*ret = frames;
	return r;
}

int frames_read(int fd, struct frames *ret)
{
	_cleanup_(freep) unsigned char *tail = NULL;
	unsigned char footer[FRAMES_FOOTER_LEN];
	struct stat st;
	uint64_t size;
	ssize_t got;
	size_t len;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	size = (uint64_t)st.st_size;
	if (size < sizeof(footer))
		return 0;
	got = pread_whole(fd, footer, sizeof(footer), size - sizeof(footer));
	len = got == (ssize_t)sizeof(footer) ? frames_tail_find(footer) : 0;
	if (got < 0 || !len || len > size)
		return got < 0 ? (int)got : 0;
	tail = malloc(len);
	if (!tail)
		return -ENOMEM;
	got = pread_whole(fd, tail, len, size - len);
	if (got != (ssize_t)len)
		return got < 0 ? (int)got : 0;
	r = frames_tail_parse(tail, len, size, ret);
	return r == 0 ? 1 : r == -EBADMSG ? 0 : r;
}
