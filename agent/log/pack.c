/* SPDX-License-Identifier: MIT */
/*
 * Frames end at line ends: where the next line would make them longer than FRAME_PLAIN_MAX, and before a line that is
 * older than the one before it. The bytes of the segment are kept as they are, torn tails included.
 */
#include "agent/log/pack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <infiniservice/cleanup.h>

#include "agent/log/frames.h"
#include "agent/log/io.h"
#include "agent/log/scan.h"

/*
 * Measured over samples 30 s apart: level 2 gives within 3 % the size of level 3 at two thirds of its CPU, and frames
 * are too short for the higher ones.
 */
#define LEVEL 2
/* A longer "line" is cut anywhere: its frame ends within it. */
#define LINE_MAX_BYTES (16u << 20)
/* From here on steps of the clock begin no frame more, so that there are enough for the rest of 1 GiB. */
#define FRAMES_FOR_STEPS (FRAMES_MAX - 8192u)

struct pack {
	int dir_fd; /* of the caller */
	int in, out;
	bool made; /* the temporary file is there */
	struct segment_name name;
	struct stat plain_stat;
	ZSTD_CCtx *zstd;
	char *text; /* read and not yet compressed: text[0..len) */
	size_t len, size;
	uint64_t read; /* bytes of the segment */
	void *packed;
	size_t packed_size;
	uint64_t written; /* bytes of the twin */
	struct frames frames;
	int64_t last_ms;
	uint64_t last_seq;
};

struct pack *pack_free(struct pack *p)
{
	if (!p)
		return NULL;
	if (p->made)
		unlinkat(p->dir_fd, PACK_TEMPORARY, 0);
	ZSTD_freeCCtx(p->zstd);
	closep(&p->in);
	closep(&p->out);
	frames_free(&p->frames);
	free(p->text);
	free(p->packed);
	free(p);
	return NULL;
}

static void pack_freep(struct pack **p)
{
	pack_free(*p);
}

static int twin_make(struct pack *p, const struct log_readers *readers)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;

	p->out = openat(p->dir_fd, PACK_TEMPORARY, flags, 0600);
	if (p->out < 0 && errno == EEXIST && unlinkat(p->dir_fd, PACK_TEMPORARY, 0) == 0)
		p->out = openat(p->dir_fd, PACK_TEMPORARY, flags, 0600);
	if (p->out < 0)
		return -errno;
	p->made = true;
	return log_readers_give(readers, p->out, 0640);
}

static int zstd_make(struct pack *p)
{
	p->zstd = ZSTD_createCCtx();
	if (!p->zstd || ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_compressionLevel, LEVEL)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(p->zstd, ZSTD_c_checksumFlag, 1)))
		return -ENOMEM;
	return 0;
}

int pack_begin(int dir_fd, const struct segment_name *name, const struct log_readers *readers, struct pack **ret)
{
	_cleanup_(pack_freep) struct pack *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	p->dir_fd = dir_fd;
	p->name = *name;
	p->out = -1;
	p->last_ms = -1;
	p->in = names_open(dir_fd, name, O_RDONLY);
	if (p->in < 0)
		return p->in;
	r = fstat(p->in, &p->plain_stat) < 0 ? -errno : zstd_make(p);
	if (r == 0)
		r = twin_make(p, readers);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(p);
	return 0;
}

const struct segment_name *pack_name(const struct pack *p)
{
	return &p->name;
}

uint64_t pack_plain_bytes(const struct pack *p)
{
	return (uint64_t)p->plain_stat.st_size;
}

/* Reads until there are `want` bytes, or the file has no more. 0 or -errno. */
static int text_fill(struct pack *p, size_t want)
{
	ssize_t got;

	if (want > p->size) {
		char *more = realloc(p->text, want);

		if (!more)
			return -ENOMEM;
		p->text = more;
		p->size = want;
	}
	if (p->len >= want)
		return 0;
	got = pread_whole(p->in, p->text + p->len, want - p->len, p->read);
	if (got < 0)
		return (int)got;
	p->len += (size_t)got;
	p->read += (uint64_t)got;
	return 0;
}

/*
 * Takes lines from the beginning of the text into a frame. Returns their bytes, 0 if not one whole line is there, and
 * fills the times of `row`.
 */
static size_t lines_take(struct pack *p, struct frame_row *row)
{
	size_t taken = 0;
	bool timed = false;

	while (taken < p->len) {
		const char *line = p->text + taken, *newline = memchr(line, '\n', p->len - taken);
		struct scan scan;
		size_t len;

		if (!newline)
			break;
		len = (size_t)(newline - line);
		if (taken > 0 && taken + len + 1 > FRAME_PLAIN_MAX)
			break;
		if (scan_line(line, len, &scan)) {
			if (timed && scan.wall_ms < p->last_ms && p->frames.count < FRAMES_FOR_STEPS)
				break;
			if (!timed)
				row->first_ms = scan.wall_ms;
			if (scan.seq && !row->first_seq)
				row->first_seq = scan.seq;
			timed = true;
			p->last_ms = scan.wall_ms;
			p->last_seq = scan.seq ? scan.seq : p->last_seq;
		}
		taken += len + 1;
	}
	return taken;
}

/* Bytes of the next frame, 0 at the end of the segment, or -errno. */
static ssize_t frame_take(struct pack *p, struct frame_row *row)
{
	size_t want = FRAME_PLAIN_MAX, taken;

	for (;;) {
		int r = text_fill(p, want);

		if (r < 0)
			return r;
		*row = (struct frame_row){ .first_ms = p->last_ms, .offset = p->written };
		taken = lines_take(p, row);
		if (taken || p->len < want || want >= LINE_MAX_BYTES)
			break;
		want *= 2; /* a single line, and not all of it */
	}
	return (ssize_t)(taken ? taken : p->len);
}

static int twin_write(struct pack *p, const void *bytes, size_t len)
{
	int r;

	if (p->written + len > PACK_WORTH(pack_plain_bytes(p)))
		return -EFBIG;
	r = write_whole(p->out, bytes, len);
	p->written += len;
	return r;
}

static int frame_write(struct pack *p, struct frame_row *row, size_t len)
{
	size_t room = ZSTD_compressBound(len), packed;
	int r;

	if (room > p->packed_size) {
		free(p->packed);
		p->packed = malloc(room);
		p->packed_size = p->packed ? room : 0;
		if (!p->packed)
			return -ENOMEM;
	}
	packed = ZSTD_compress2(p->zstd, p->packed, room, p->text, len);
	if (ZSTD_isError(packed))
		return -ENOMEM;
	row->plain = (uint32_t)len;
	r = frames_add(&p->frames, row, false);
	if (r == 0)
		r = twin_write(p, p->packed, packed);
	if (r < 0)
		return r;
	memmove(p->text, p->text + len, p->len - len);
	p->len -= len;
	return 1;
}

static int tail_write(struct pack *p)
{
	struct frame_row end = { .first_ms = p->last_ms, .first_seq = p->last_seq, .offset = p->written };
	size_t len = frames_tail_len(p->frames.count);
	_cleanup_(freep) unsigned char *tail = malloc(len);
	int r = tail ? frames_add(&p->frames, &end, true) : -ENOMEM;

	if (r < 0)
		return r;
	frames_tail_write(&p->frames, tail);
	return twin_write(p, tail, len);
}

/* True if the segment still is what was read. */
static bool plain_unchanged(const struct pack *p)
{
	char file[NAMES_SIZE];
	struct stat st;

	names_format(&p->name, file);
	return fstatat(p->dir_fd, file, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == p->plain_stat.st_ino &&
	       st.st_dev == p->plain_stat.st_dev && st.st_size == p->plain_stat.st_size &&
	       (uint64_t)st.st_size == p->read;
}

/* The twin takes the segment's place: on the disk first, then by its name, then alone. */
static int twin_finish(struct pack *p)
{
	struct segment_name twin = p->name;
	char file[NAMES_SIZE], plain[NAMES_SIZE];
	int r = tail_write(p);

	if (r < 0)
		return r;
	if (fsync(p->out) < 0)
		return -errno;
	if (!plain_unchanged(p))
		return -ESTALE;
	twin.compressed = true;
	names_format(&twin, file);
	names_format(&p->name, plain);
	if (renameat(p->dir_fd, PACK_TEMPORARY, p->dir_fd, file) < 0)
		return -errno;
	p->made = false;
	if (fsync(p->dir_fd) < 0)
		return -errno;
	return unlinkat(p->dir_fd, plain, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int pack_step(struct pack *p)
{
	struct frame_row row;
	ssize_t len = frame_take(p, &row);

	if (len < 0)
		return (int)len;
	return len > 0 ? frame_write(p, &row, (size_t)len) : twin_finish(p);
}

/* ---------------------------------------------------------------------------------------------------- recovery */

/* Bytes of text in a twin by its own table; 0 if it has none that fits the file. */
static uint64_t twin_plain_bytes(int fd)
{
	_cleanup_(frames_free) struct frames frames = { 0 };
	uint64_t sum = 0;

	if (frames_read(fd, &frames) <= 0)
		return 0;
	for (size_t i = 0; i < frames.count; i++)
		sum += frames.rows[i].plain;
	return sum;
}

/* Removes the plain segment if its twin has all of it. */
static void twin_settle(int dir_fd, const struct segment_name *plain)
{
	struct segment_name name = *plain;
	_cleanup_(closep) int fd = -1;
	char file[NAMES_SIZE];
	struct stat st;

	names_format(plain, file);
	name.compressed = true;
	if (fstatat(dir_fd, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	fd = names_open(dir_fd, &name, O_RDONLY);
	if (fd >= 0 && st.st_size > 0 && twin_plain_bytes(fd) == (uint64_t)st.st_size)
		unlinkat(dir_fd, file, 0);
}

static void closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

int pack_recover(int dir_fd)
{
	_cleanup_(closep) int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closedirp) DIR *dir = NULL;
	struct segment_name name;
	struct dirent *entry;

	if (fd < 0 || !(dir = fdopendir(fd)))
		return -errno;
	fd = -1;
	unlinkat(dir_fd, PACK_TEMPORARY, 0);
	while (errno = 0, (entry = readdir(dir)))
		if (names_parse(entry->d_name, &name) && name.compressed) {
			name.compressed = false;
			twin_settle(dir_fd, &name);
		}
	return errno ? -errno : 0;
}
