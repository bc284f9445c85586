/* SPDX-License-Identifier: MIT */
/*
 * A buffer that always begins at the start of a line, refilled by pread or by the decompressor. For a plain file the
 * offset of the first line not returned is stored: at the end of the file the rest of the buffer is dropped and read
 * again next time, because the writer may have cut it off.
 */
#include "agent/log/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <infiniservice/cleanup.h>

#include "agent/log/frames.h"
#include "agent/log/guarded.h"
#include "agent/log/reader.h"
#include "agent/log/scan.h"

/* Fuzzers are built with a smaller block, so that short files reach block ends too. */
#ifndef SOURCE_BLOCK
#define SOURCE_BLOCK 65536u
#endif
#define BLOCK SOURCE_BLOCK
/* Memory for a frame's window: 8 MiB is what zstd -19 uses; a larger one is refused. */
#define WINDOW_LOG_MAX 23

struct source {
	int fd;
	bool packed;	    /* compressed */
	ZSTD_DStream *zstd; /* NULL: not needed yet */
	char *in;	    /* BLOCK compressed bytes */
	ZSTD_inBuffer input;
	bool frame_open;
	uint64_t frame_start; /* byte in the file where the frame that is being read begins */
	struct frames frames; /* none: there is no index */
	uint64_t offset;      /* plain: of buffer[start]; compressed: of the next bytes to read */
	char *buffer;
	size_t start, len, size; /* unread: buffer[start..len) */
	bool skipping;		 /* inside a line that is too long */
	uint64_t skipped;	 /* bytes skipped of that line */
	uint64_t produced;	 /* bytes decompressed */
	bool torn;
};

struct source *source_free(struct source *s)
{
	if (!s)
		return NULL;
	ZSTD_freeDStream(s->zstd);
	closep(&s->fd);
	frames_free(&s->frames);
	free(s->in);
	free(s->buffer);
	free(s);
	return NULL;
}

static void source_freep(struct source **s)
{
	source_free(*s);
}

static ssize_t pread_retry(int fd, void *to, size_t len, uint64_t offset)
{
	ssize_t got;

	do
		got = pread(fd, to, len, (off_t)offset);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

/*
 * Detects compression by content, not by name: a copied file may have any name. An index at the end will do, should the
 * beginning be damaged; without one the file is read from its beginning.
 */
static int detect(struct source *s)
{
	static const unsigned char magic[] = { 0x28, 0xb5, 0x2f, 0xfd };
	unsigned char head[sizeof(magic)];
	int rc = frames_read(s->fd, &s->frames);

	if (rc == -ENOMEM)
		return rc;
	if (rc <= 0 &&
	    (pread_retry(s->fd, head, sizeof(head), 0) != sizeof(head) || memcmp(head, magic, sizeof(magic))))
		return 0;
	s->packed = true;
	return 0;
}

/* What decompression needs is made with the first use: many files are only asked for their times. */
static int unpack_begin(struct source *s)
{
	if (s->zstd && s->in)
		return 0;
	s->zstd = s->zstd ? s->zstd : ZSTD_createDStream();
	s->in = s->in ? s->in : malloc(BLOCK);
	if (!s->zstd || !s->in || ZSTD_isError(ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
		return -ENOMEM;
	s->input.src = s->in;
	return 0;
}

int source_open(int dir_fd, const char *path, struct source **ret, struct err *err)
{
	_cleanup_(source_freep) struct source *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return err_set(err, -ENOMEM, "out of memory");
	s->fd = dir_fd < 0 ? guarded_open(path, SOURCE_FILE_MAX, err)
			   : guarded_open_at(dir_fd, path, SOURCE_FILE_MAX, err);
	if (s->fd < 0)
		return s->fd;
	rc = detect(s);
	if (rc)
		return err_set(err, rc, "%s: %s", path, strerror(-rc));
	*ret = TAKE_PTR(s);
	return 0;
}

/* ---------------------------------------------------------------------------------------------------- filling */

static int buffer_make_room(struct source *s)
{
	size_t held = s->len - s->start, size = s->size ? s->size : 2 * BLOCK;
	char *more;

	if (s->start)
		memmove(s->buffer, s->buffer + s->start, held);
	s->start = 0;
	s->len = held;
	if (s->size - held > BLOCK)
		return 0;
	while (size - held <= BLOCK)
		size *= 2;
	more = realloc(s->buffer, size);
	if (!more)
		return -ENOMEM;
	s->buffer = more;
	s->size = size;
	return 0;
}

static ssize_t fill_zstd(struct source *s)
{
	ZSTD_outBuffer out = { s->buffer + s->len, BLOCK, 0 };

	if (unpack_begin(s) < 0)
		return -ENOMEM;
	while (out.pos == 0) {
		size_t before, rc;

		if (s->input.pos == s->input.size) {
			ssize_t got = pread_retry(s->fd, s->in, BLOCK, s->offset);

			if (got <= 0 && !(got == 0 && s->frame_open))
				return got;
			s->offset += (uint64_t)got;
			s->input.size = (size_t)got;
			s->input.pos = 0;
		}
		before = s->input.pos;
		rc = ZSTD_decompressStream(s->zstd, &out, &s->input);
		if (ZSTD_isError(rc))
			return -EBADMSG;
		s->frame_open = rc != 0;
		if (!s->frame_open)
			s->frame_start = s->offset - (s->input.size - s->input.pos);
		s->produced += out.pos;
		if (s->produced > SOURCE_FILE_MAX)
			return -EFBIG;
		if (out.pos == 0 && s->input.pos == before && s->input.size == 0)
			break;
	}
	return (ssize_t)out.pos;
}

/* Bytes added, 0 at the end at present, or -errno. */
static ssize_t fill(struct source *s)
{
	ssize_t got = buffer_make_room(s);

	if (got < 0)
		return got;
	got = s->packed ? fill_zstd(s) : pread_retry(s->fd, s->buffer + s->len, BLOCK, s->offset + (s->len - s->start));
	if (got > 0)
		s->len += (size_t)got;
	return got;
}

static void consume(struct source *s, size_t len)
{
	s->start += len;
	if (!s->packed)
		s->offset += len;
}

/* Called without a newline in the buffer: reads on, or begins to skip a line that is too long. */
static int skip_if_too_long(struct source *s)
{
	size_t held = s->len - s->start;

	if (held <= READER_LINE_MAX && !s->skipping)
		return 0;
	s->skipped = (s->skipping ? s->skipped : 0) + held;
	s->skipping = true;
	consume(s, held);
	return s->skipped > SOURCE_SKIP_MAX ? -EFBIG : 0;
}

/* Goes to a byte of a compressed file where a frame begins. */
static void frame_seek(struct source *s, uint64_t offset)
{
	if (s->zstd)
		ZSTD_DCtx_reset(s->zstd, ZSTD_reset_session_only);
	s->offset = s->frame_start = offset;
	s->input.size = s->input.pos = 0;
	s->frame_open = false;
	s->start = s->len = 0;
	s->skipping = false;
}

/* Behind a damaged frame: goes to the next one, if there is an index that names it. */
static bool frame_skip(struct source *s)
{
	for (size_t i = 0; i < s->frames.count; i++) {
		if (s->frames.rows[i].offset <= s->frame_start)
			continue;
		frame_seek(s, s->frames.rows[i].offset);
		return true;
	}
	return false;
}

int source_next(struct source *s, const char **ret_text, size_t *ret_len)
{
	size_t looked = 0;
	ssize_t got = s->buffer ? 0 : buffer_make_room(s);

	if (got < 0)
		return (int)got;
	for (;;) {
		char *text = s->buffer + s->start, *newline = NULL;

		if (s->len > s->start + looked)
			newline = memchr(text + looked, '\n', s->len - s->start - looked);
		if (newline) {
			size_t len = (size_t)(newline - text);

			consume(s, len + 1);
			if (s->skipping || len > READER_LINE_MAX) {
				s->skipping = false;
				return SOURCE_TOO_LONG;
			}
			*newline = '\0';
			*ret_text = text;
			*ret_len = len;
			return SOURCE_LINE;
		}
		got = skip_if_too_long(s);
		looked = s->len - s->start;
		if (got == 0)
			got = fill(s);
		if (got > 0)
			continue;
		if (got == -EBADMSG && frame_skip(s))
			return SOURCE_BAD_FRAME;
		s->torn = s->len > s->start || s->skipping || s->frame_open || got == -EBADMSG;
		if (!s->packed)
			s->len = s->start;
		return got < 0 ? (int)got : SOURCE_END;
	}
}

bool source_torn(const struct source *s)
{
	return s->torn;
}

/* ------------------------------------------------------------------------------------------------------ times */

/*
 * Finds the first valid line in [from, to) that begins after a newline (or at offset 0): its place and time. 1, 0 if
 * there is none, or -errno. Reads at most the range, in blocks.
 */
static int probe_line(struct source *s, uint64_t from, uint64_t to, uint64_t *ret_start, int64_t *ret_ms)
{
	struct source probe = { .fd = s->fd, .offset = from };
	struct scan scan;
	const char *text;
	size_t len;
	int rc = SOURCE_LINE;

	if (from > 0) /* from one byte before, so that a line beginning exactly at `from` counts */
		probe.offset--;
	for (bool first = from > 0; rc != SOURCE_END && rc >= 0; first = false) {
		uint64_t start = probe.offset;

		rc = source_next(&probe, &text, &len);
		if (start >= to)
			break;
		if (rc == SOURCE_LINE && !first && scan_line(text, len, &scan)) {
			free(probe.buffer);
			*ret_start = start;
			*ret_ms = scan.wall_ms;
			return 1;
		}
	}
	free(probe.buffer);
	return rc < 0 ? rc : 0;
}

static int64_t file_size(const struct source *s)
{
	struct stat st;

	return fstat(s->fd, &st) < 0 ? 0 : st.st_size;
}

/* The first frame that may have lines from begin_ms on: the next one begins after it. */
static void index_seek(struct source *s, int64_t begin_ms)
{
	size_t at = 0;

	while (at + 1 < s->frames.count && s->frames.rows[at + 1].first_ms < begin_ms)
		at++;
	if (at > 0)
		frame_seek(s, s->frames.rows[at].offset);
}

int source_seek(struct source *s, int64_t begin_ms)
{
	uint64_t low = 0, high = (uint64_t)file_size(s);

	if (s->packed) {
		index_seek(s, begin_ms);
		return 0;
	}
	while (high - low > BLOCK) {
		uint64_t middle = low + (high - low) / 2, start;
		int64_t ms;
		int rc = probe_line(s, middle, high, &start, &ms);

		if (rc < 0)
			return rc;
		if (rc == 1 && ms < begin_ms)
			low = start;
		else
			high = middle;
	}
	s->offset = low;
	s->start = s->len = 0;
	s->skipping = false;
	return 0;
}

bool source_first_time(struct source *s, int64_t *ret_ms)
{
	_cleanup_(source_freep) struct source *twin = NULL;
	struct scan scan;
	const char *text;
	uint64_t start;
	size_t len;

	if (!s->packed)
		return probe_line(s, 0, (uint64_t)file_size(s), &start, ret_ms) == 1;
	if (s->frames.count && s->frames.rows[0].first_ms >= 0) {
		*ret_ms = s->frames.rows[0].first_ms;
		return true;
	}
	/* A compressed file is decompressed a second time for its first block; the stream in use is not moved. */
	twin = calloc(1, sizeof(*twin));
	if (!twin)
		return false;
	twin->fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 3);
	if (twin->fd < 0 || detect(twin) < 0)
		return false;
	while (source_next(twin, &text, &len) == SOURCE_LINE) {
		if (!scan_line(text, len, &scan))
			continue;
		*ret_ms = scan.wall_ms;
		return true;
	}
	return false;
}

bool source_last_time(struct source *s, int64_t *ret_ms)
{
	uint64_t size = (uint64_t)file_size(s);

	if (s->packed) {
		if (s->frames.count == 0 || s->frames.rows[s->frames.count].first_ms < 0)
			return false;
		*ret_ms = s->frames.rows[s->frames.count].first_ms;
		return true;
	}
	/* The last valid line that begins in the end of the file, which is taken longer until there is one. */
	for (uint64_t back = BLOCK;; back *= 8) {
		struct source probe = { .fd = s->fd, .offset = size > back ? size - back : 0 };
		bool found = false, whole = probe.offset == 0, first = !whole;
		struct scan scan;
		const char *text;
		size_t len;

		for (int rc; (rc = source_next(&probe, &text, &len)) != SOURCE_END && rc >= 0; first = false) {
			if (rc != SOURCE_LINE || first || !scan_line(text, len, &scan))
				continue;
			*ret_ms = scan.wall_ms;
			found = true;
		}
		free(probe.buffer);
		if (found || whole)
			return found;
	}
}
