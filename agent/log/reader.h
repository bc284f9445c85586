/* SPDX-License-Identifier: MIT */
/*
 * Reads the metric log: the lines of a directory or of given files, plain or .zst, in the order of time, in any state
 * the writer left them. A torn tail or a malformed line is counted and skipped, never an error. Works beside a running
 * writer and follows it through rotation.
 */
#ifndef AGENT_LOG_READER_H
#define AGENT_LOG_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniservice/err.h>

/* A longer line is skipped and counted as bad; this also bounds the reader's memory. */
#define READER_LINE_MAX (4u << 20)

struct reader;

struct reader_line {
	const char *text; /* without its '\n', NUL-terminated; valid until the next call with this reader */
	size_t len;
	int64_t wall_ms;
	uint64_t seq;	  /* 0: none */
	bool header;	  /* a log_header line (only with reader_headers) */
	bool sample;	  /* a metrics message */
	const char *file; /* name or path of the file */
};

struct reader_stats {
	uint64_t files;	     /* opened */
	uint64_t lines;	     /* returned */
	uint64_t bad_lines;  /* malformed or too long */
	uint64_t torn_tails; /* files that end inside a line or inside a compressed frame */
	uint64_t bad_frames; /* damaged compressed frames that were left out; what follows them was read */
	uint64_t unreadable; /* files that could not be opened or read; the last errno is in `error` */
	int error;
	char why[sizeof(((struct err *)0)->text)]; /* reason of the first failure */
};

/* Opens a log directory. 0 or -errno; -EACCES and -ENOENT come with a cure in `err`. The directory may be empty. */
int reader_open_dir(const char *dir, struct reader **ret, struct err *err);

/*
 * Opens `count` files, plain or .zst, and sorts them by the time of their first line; each must be readable. A file
 * without any line of a log counts as unreadable and is skipped.
 */
int reader_open_files(char *const paths[], size_t count, struct reader **ret, struct err *err);

/* Accepts NULL; returns NULL. */
struct reader *reader_free(struct reader *reader);

/*
 * Restricts the lines to begin_ms <= time < end_ms (INT64_MIN and INT64_MAX: no limit). Call it before the first
 * reader_next. In a plain segment the begin is found by bisection, in a compressed one by its index, and what is behind
 * the end is not read: the last hour of a long log is read without the rest.
 */
void reader_range(struct reader *reader, int64_t begin_ms, int64_t end_ms);

/*
 * The time of the first and the last line of a directory, also of what reader_range leaves out; false if there is none.
 * Before the first reader_next.
 */
bool reader_times(struct reader *reader, int64_t *ret_first_ms, int64_t *ret_last_ms);

/* Whether log_header lines are returned too (default: no). */
void reader_headers(struct reader *reader, bool wanted);

/* 1 with a line, 0 when there is no more at present, or -ENOMEM. After 0 it may be called again: a live log grows. */
int reader_next(struct reader *reader, struct reader_line *ret);

/*
 * Waits until something may have been written to the directory, at most timeout_ms: by inotify or, where that is
 * missing, by polling every 250 ms. True if reader_next should be called (also when unsure).
 */
bool reader_wait(struct reader *reader, int timeout_ms);

struct reader_stats reader_stats(const struct reader *reader);

#endif
