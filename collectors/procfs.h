/* SPDX-License-Identifier: MIT */
/*
 * Reading and scanning the text files of /proc and /sys. A file read at every collect keeps its fd open and is read
 * again with pread (a third to two thirds cheaper than open, read, close); the text goes into a bounded buffer that
 * grows to the largest size needed. The scanners work on (text, length): they never rely on a final NUL or newline, so
 * every cut of a text is a legal input.
 */
#ifndef COLLECTORS_PROCFS_H
#define COLLECTORS_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

/* ------------------------------------------------------------------------------------------------------ reading */

/* Where a file's text goes. Owned by the caller; several files of one collector may share one in turn. */
struct procfs_buffer {
	char *text;	/* NULL until the first read */
	size_t len;	/* of the last text read */
	size_t size;	/* allocated */
	size_t max;	/* bound of size; 0 means PROCFS_BUFFER_MAX */
	bool truncated; /* the text was longer than max: it ends after the last whole line that fits */
};

#define PROCFS_BUFFER_MAX (4U << 20)

/* A file that is read again and again. Initialise with one of the three below. */
struct procfs_file {
	int fd; /* -1 while not open */
	/*
	 * The kernel shows the whole file in one record (single_open in fs/seq_file.c: stat, meminfo, loadavg, uptime,
	 * sysfs attributes): a read that leaves room was the last one, which saves the read that only says "end".
	 */
	bool single;
	/*
	 * No record of the file is longer than PROCFS_RECORD_MAX. seq_read (the same file) ends a read early only where
	 * the next record has no room in its page: so a read of much less than a page was the last one.
	 */
	bool short_records;
};

#define PROCFS_RECORD_MAX 1024U
#define PROCFS_PAGE_MIN	  4096U /* the least page of any machine; the kernel's buffer is never less than one */

#define PROCFS_FILE	   ((struct procfs_file){ .fd = -1 })
#define PROCFS_FILE_SINGLE ((struct procfs_file){ .fd = -1, .single = true })
#define PROCFS_FILE_SHORT  ((struct procfs_file){ .fd = -1, .short_records = true })

/*
 * Reads the whole of `path` (relative to dir_fd) into the buffer, opening it at the first call and again when the
 * kept fd has died (ESTALE, ENOENT, ENODEV, ESRCH, ENXIO). 0 or -errno; then the file is closed and the next call opens
 * it anew, and the buffer's len is 0.
 */
int procfs_read(struct procfs_file *file, int dir_fd, const char *path, struct procfs_buffer *buffer);

/*
 * Opens, reads at most `size` bytes into `text` and closes: for files seen once, such as /proc/PID/stat. Returns the
 * number of bytes (`size` may mean that there was more) or -errno. ENOENT and ESRCH mean that it has vanished.
 */
ssize_t procfs_read_once(int dir_fd, const char *path, char *text, size_t size);

/* Closes the fd; may be called again or on a file never opened (with fd -1). */
void procfs_close(struct procfs_file *file);

/* Frees the text. The buffer may be used again. */
void procfs_buffer_free(struct procfs_buffer *buffer);

/* ----------------------------------------------------------------------------------------------------- scanning */

/* A part of a text: [at, end). As a cursor, `at` moves on. Valid as long as the text is. */
struct scan {
	const char *at, *end;
};

static inline struct scan scan_text(const char *text, size_t len)
{
	return (struct scan){ text, len ? text + len : text };
}

static inline size_t scan_len(const struct scan *s)
{
	return (size_t)(s->end - s->at);
}

/* The next line, without its '\n'; the last may lack it. False at the end of the text. */
static inline bool scan_line(struct scan *text, struct scan *ret_line)
{
	const char *newline;

	if (text->at == text->end)
		return false;
	newline = memchr(text->at, '\n', scan_len(text));
	ret_line->at = text->at;
	ret_line->end = newline ? newline : text->end;
	text->at = newline ? newline + 1 : text->end;
	return true;
}

/* Moves past spaces and tabs. */
static inline void scan_blanks(struct scan *line)
{
	while (line->at < line->end && (*line->at == ' ' || *line->at == '\t'))
		line->at++;
}

/* The next run of bytes other than space and tab. False (nothing moved but blanks) at the end of the line. */
static inline bool scan_field(struct scan *line, struct scan *ret_field)
{
	scan_blanks(line);
	if (line->at == line->end)
		return false;
	ret_field->at = line->at;
	while (line->at < line->end && *line->at != ' ' && *line->at != '\t')
		line->at++;
	ret_field->end = line->at;
	return true;
}

/* Skips `count` fields. False when there were fewer. */
static inline bool scan_skip(struct scan *line, unsigned count)
{
	struct scan field;

	while (count-- > 0)
		if (!scan_field(line, &field))
			return false;
	return true;
}

/* The part up to the next `byte`, moving past it. False, and nothing moved, when there is none. */
static inline bool scan_until(struct scan *line, char byte, struct scan *ret_part)
{
	const char *found = line->at == line->end ? NULL : memchr(line->at, byte, scan_len(line));

	if (!found)
		return false;
	ret_part->at = line->at;
	ret_part->end = found;
	line->at = found + 1;
	return true;
}

/* Moves past `byte` if it is next. */
static inline bool scan_byte(struct scan *line, char byte)
{
	if (line->at == line->end || *line->at != byte)
		return false;
	line->at++;
	return true;
}

/* Unsigned decimal digits at the cursor. False, and nothing moved, when there is no digit or more than 2^64 - 1. */
static inline bool scan_digits(struct scan *line, uint64_t *ret)
{
	const char *at = line->at;
	uint64_t value = 0;

	for (; at < line->end && *at >= '0' && *at <= '9'; at++) {
		unsigned digit = (unsigned)(*at - '0');

		/* The exact test only where the cheap one cannot rule an overflow out. */
		if (value >= UINT64_MAX / 10 && (value > UINT64_MAX / 10 || digit > UINT64_MAX % 10))
			return false;
		value = value * 10 + digit;
	}
	if (at == line->at)
		return false;
	line->at = at;
	*ret = value;
	return true;
}

/*
 * The next field as an unsigned decimal number: digits only, up to a blank or the end. False otherwise (*ret
 * untouched).
 */
static inline bool scan_u64(struct scan *line, uint64_t *ret)
{
	uint64_t value;

	scan_blanks(line);
	if (!scan_digits(line, &value) || (line->at < line->end && *line->at != ' ' && *line->at != '\t'))
		return false;
	*ret = value;
	return true;
}

/* The next field as a signed decimal number. */
bool scan_i64(struct scan *line, int64_t *ret);

/*
 * The next field as a decimal fraction ("0.52", "1234.56", "7"): digits, optionally a point and more digits. Free of
 * the locale.
 */
bool scan_decimal(struct scan *line, double *ret);

/* True when the whole of `s` is `literal`. */
static inline bool scan_equals(const struct scan *s, const char *literal)
{
	size_t len = strlen(literal);

	return scan_len(s) == len && memcmp(s->at, literal, len) == 0;
}

/* If the line begins with `key`, moves past it. */
static inline bool scan_key(struct scan *line, const char *key)
{
	size_t len = strlen(key);

	if (scan_len(line) < len || memcmp(line->at, key, len) != 0)
		return false;
	line->at += len;
	return true;
}

#endif
