/* SPDX-License-Identifier: MIT */
/*
 * One file of the log as a sequence of lines, plain or .zst alike. Only whole lines are given out: what follows the
 * last newline stays unread, so that a file still being written can be asked again.
 */
#ifndef AGENT_LOG_SOURCE_H
#define AGENT_LOG_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct source;

enum source_result {
	SOURCE_END, /* no whole line for now */
	SOURCE_LINE,
	SOURCE_TOO_LONG, /* a line longer than READER_LINE_MAX was passed over */
};

/* Opens `path` relative to dir_fd (AT_FDCWD). `follow_links`: for files that a person named. 0 or -errno. */
int source_open(int dir_fd, const char *path, bool follow_links, struct source **ret);
struct source *source_free(struct source *source);

/*
 * Reads the next line: its text without '\n', NUL-terminated, valid until the next call. Returns enum source_result,
 * or -errno (-EBADMSG: damaged compressed data; what came before it was given out).
 */
int source_next(struct source *source, const char **ret_text, size_t *ret_len);

/* True if there are bytes after the last whole line, or a compressed frame that is not complete. */
bool source_torn(const struct source *source);

/*
 * Goes to the last place found by bisection where lines are still older than begin_ms; the caller drops the few that
 * remain. A compressed file cannot be searched and is read from its beginning. 0 or -errno.
 */
int source_seek(struct source *source, int64_t begin_ms);

/* Time of the first line, or of the last whole one in a plain file; false if unknown. Does not move the reading. */
bool source_first_time(struct source *source, int64_t *ret_ms);
bool source_last_time(struct source *source, int64_t *ret_ms);

#endif
