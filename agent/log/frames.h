/* SPDX-License-Identifier: MIT */
/*
 * The end of a compressed segment, by which its zstd frames are found without decompressing what stands before them. A
 * segment is a run of ordinary zstd frames, each readable by itself, and two skippable ones that `zstd -d` passes over:
 *
 *	frame … frame | 0x184D2A50: our index | 0x184D2A5E: the seekable format's table
 *
 * Our index: "INFLOG01", the number of data frames (u32), 0 (u32), and for each of them its first timestamp
 * (milliseconds since 1970, i64), first seq (u64) and byte in the file (u64); then one row more of the same form: the
 * last timestamp, the last seq and the byte where the data ends. All is little-endian. The other table is that of
 * zstd's contrib/seekable_format/zstd_seekable_compression_format.md, without checksums (frames have their own); its
 * last entry is our index, with 0 bytes of text. Pure, but for frames_read.
 */
#ifndef AGENT_LOG_FRAMES_H
#define AGENT_LOG_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Plain bytes of a frame at most, but for a single longer line, which has a frame of its own. */
#define FRAME_PLAIN_MAX (256u << 10)
/* Frames of a segment at most: 16 times what 1 GiB has by size alone, the rest is for steps of the clock. */
#define FRAMES_MAX	  65536u
#define FRAMES_FOOTER_LEN 9u

struct frame_row {
	int64_t first_ms;
	uint64_t first_seq; /* 0: no line of it has one */
	uint64_t offset;    /* in the file */
	uint32_t plain;	    /* bytes of text */
};

struct frames {
	struct frame_row *rows; /* count, and the row of the end, whose times are the last ones and `plain` 0 */
	size_t count, size;
};

/* Appends a row; the row of the end is appended last and not counted. 0, -ENOMEM or -E2BIG. */
int frames_add(struct frames *frames, const struct frame_row *row, bool end);
void frames_free(struct frames *frames);

/* Bytes of both skippable frames behind `count` data frames. */
size_t frames_tail_len(size_t count);

/* Writes them to `out`, which has frames_tail_len(frames->count) bytes; the row of the end must have been added. */
void frames_tail_write(const struct frames *frames, unsigned char *out);

/* Length of both by the last FRAMES_FOOTER_LEN bytes of a file, or 0 if they are not those of such a file. */
size_t frames_tail_find(const unsigned char footer[FRAMES_FOOTER_LEN]);

/*
 * Parses them: the last `len` bytes of a file of `file_size` bytes. 0, -EBADMSG for what frames_tail_write does not
 * write (offsets out of order or out of the file, tables that disagree), or -ENOMEM.
 */
int frames_tail_parse(const unsigned char *tail, size_t len, uint64_t file_size, struct frames *ret);

/* Reads them from a file. 1 and *ret, 0: it has none, or -errno. */
int frames_read(int fd, struct frames *ret);

#endif
