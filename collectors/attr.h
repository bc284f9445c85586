/* SPDX-License-Identifier: MIT */
/* Small texts that are read whole and seldom: one value in a file of /sys, /proc/sys or /run. Opened, read, closed. */
#ifndef COLLECTORS_ATTR_H
#define COLLECTORS_ATTR_H

#include <stddef.h>
#include <stdint.h>

#include <infiniservice/sink.h>

#define ATTR_TEXT_MAX 256

/* A number that is not known. */
#define ATTR_ABSENT UINT64_MAX

/*
 * The first line of the file, without blanks at its ends and cut at a NUL, NUL-terminated into `out` of `size` bytes
 * (1 to ATTR_TEXT_MAX; what is longer is cut). 0, or -errno and "": -ENODATA where the line is empty.
 */
int attr_text(int dir_fd, const char *path, char *out, size_t size);

/*
 * The file's first line as a number in decimal digits. 0, or -errno and ATTR_ABSENT: -EBADMSG where it is none (or the
 * highest of all, which no file of the kernel has).
 */
int attr_u64(int dir_fd, const char *path, uint64_t *ret);

/* The same with a sign; *ret is untouched on failure. */
int attr_i64(int dir_fd, const char *path, int64_t *ret);

/*
 * The numbers N of the entries PREFIX N SUFFIX of a directory ("hwmon", "": hwmon0, hwmon1, …), in rising order, at
 * most `max` (the lowest ones). Returns how many there are in all, or -errno of opening the directory.
 */
int attr_numbers(int dir_fd, const char *path, const char *prefix, const char *suffix, unsigned *out, unsigned max);

/* Writes a number, or null for ATTR_ABSENT. */
static inline void attr_emit(struct sink *out, const char *key, uint64_t value)
{
	if (value == ATTR_ABSENT)
		sink_null(out, key);
	else
		sink_uint(out, key, value);
}

/* Writes a text, or null for "". */
static inline void attr_emit_text(struct sink *out, const char *key, const char *text)
{
	sink_str(out, key, text[0] ? text : NULL);
}

/* Why something is null, of the error of reading it: "unsupported", "denied", "invalid" or "unreadable"; 0: NULL. */
const char *attr_reason(int error);

#endif
