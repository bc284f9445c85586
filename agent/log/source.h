/* SPDX-License-Identifier: MIT */
/*
 * One file of the log as a sequence of lines, plain or .zst. Only whole lines are returned: bytes after the last
 * newline stay unread, so that a file still being written can be read on later.
 */
#ifndef AGENT_LOG_SOURCE_H
#define AGENT_LOG_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/err.h>

struct source;

enum source_result {
	SOURCE_END, /* no whole line at present */
	SOURCE_LINE,
	SOURCE_TOO_LONG,  /* a line longer than READER_LINE_MAX was skipped */
	SOURCE_BAD_FRAME, /* a damaged frame was left out, reading goes on at the next one */
};

/* Bytes of a file that are read or decompressed at most. A segment has 1 GiB at most. */
#define SOURCE_FILE_MAX (4ULL << 30)
/* A line longer than this, in bytes, means that the file is no log: it is given up. */
#define SOURCE_SKIP_MAX (64ULL << 20)

/*
 * Opens the file `path`, or with dir_fd >= 0 the file of that name in it, if guarded.h permits it. 0, or -errno with
 * the reason in `err`.
 */
int source_open(int dir_fd, const char *path, struct source **ret, struct err *err);
struct source *source_free(struct source *source);

/*
 * Reads the next line: its text without '\n', NUL-terminated, valid until the next call. Returns enum source_result, or
 * -errno (-EBADMSG: damaged compressed data, after all lines before it were returned; -EFBIG: no log, see above).
 */
int source_next(struct source *source, const char **ret_text, size_t *ret_len);

/* True if there are bytes after the last whole line, or a compressed frame that is not complete. */
bool source_torn(const struct source *source);

/*
 * Moves to the last place found by bisection where lines are still older than begin_ms; the caller drops the few that
 * remain. A compressed file is moved to a frame by its index (frames.h); one without is read from its beginning. 0 or
 * -errno.
 */
int source_seek(struct source *source, int64_t begin_ms);

/*
 * Time of the first line, or of the last whole line (of a compressed file only by its index); false if unknown. The
 * reading position stays.
 */
bool source_first_time(struct source *source, int64_t *ret_ms);
bool source_last_time(struct source *source, int64_t *ret_ms);

#endif
