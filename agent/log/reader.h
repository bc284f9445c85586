/* SPDX-License-Identifier: MIT */
/*
 * Reads the metric log back: the lines of a directory or of given files, plain or .zst, in the order of time, whatever
 * state the writer left them in. A torn tail or a line that is none of ours is counted and passed over, never an error.
 * Works beside a running writer and follows it through rotation.
 */
#ifndef AGENT_LOG_READER_H
#define AGENT_LOG_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/err.h>

/* A longer line is passed over and counted as bad; it also bounds the reader's memory. */
#define READER_LINE_MAX (4u << 20)

struct reader;

struct reader_line {
	const char *text; /* without its '\n', NUL-terminated; valid until the next call with this reader */
	size_t len;
	int64_t wall_ms;
	uint64_t seq;	  /* 0 if it has none */
	bool header;	  /* a log_header line (only with reader_headers) */
	const char *file; /* name or path of the file it came from */
};

struct reader_stats {
	uint64_t files;	     /* opened */
	uint64_t lines;	     /* given out */
	uint64_t bad_lines;  /* not a line of ours, or too long */
	uint64_t torn_tails; /* files that end inside a line or inside a compressed frame */
	uint64_t unreadable; /* files that could not be opened or read; the last reason is in `error` */
	int error;
	char why[sizeof(((struct err *)0)->text)]; /* words for the first of them */
};

/* Opens a log directory. -EACCES and -ENOENT come with words that help. An empty directory is fine. */
int reader_open_dir(const char *dir, struct reader **ret, struct err *err);

/*
 * Opens `count` files, plain or .zst, and sorts them by the time of their first line; each must be readable. One that
 * has no line of a log counts as unreadable and is passed over.
 */
int reader_open_files(char *const paths[], size_t count, struct reader **ret, struct err *err);

/* NULL is accepted; always returns NULL. */
struct reader *reader_free(struct reader *reader);

/*
 * Only lines with begin_ms <= time < end_ms (INT64_MIN and INT64_MAX: no limit). Before the first reader_next. In a
 * plain segment the begin is found by bisection, so the last hour of a long log costs no reading of the rest.
 */
void reader_range(struct reader *reader, int64_t begin_ms, int64_t end_ms);

/* Give out log_header lines too (never by default). */
void reader_headers(struct reader *reader, bool wanted);

/* 1 with a line, 0 when there is no more for now, or -ENOMEM. After 0 it may be called again: a live log grows. */
int reader_next(struct reader *reader, struct reader_line *ret);

/*
 * Waits until something may have been written in the directory, at most timeout_ms: by inotify, or, where that is
 * missing, by looking again after at most 250 ms. True if it is worth calling reader_next (also when unsure).
 */
bool reader_wait(struct reader *reader, int timeout_ms);

struct reader_stats reader_stats(const struct reader *reader);

#endif
