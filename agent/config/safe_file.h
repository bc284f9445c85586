/* SPDX-License-Identifier: MIT */
/*
 * Reading a file that decides what the agent may do: it must be a regular file of root or of the reading user that
 * nobody else can write. Judged on the opened descriptor, so nothing can be swapped in between. The directories above
 * it are not judged.
 */
#ifndef AGENT_CONFIG_SAFE_FILE_H
#define AGENT_CONFIG_SAFE_FILE_H

#include <stddef.h>
#include <sys/stat.h>

#include <infiniservice/err.h>

/*
 * Reads at most `max` bytes into a new buffer (a NUL follows the content); a longer file is -EFBIG. Errors: -EPERM
 * with the cure in words when the file is unsafe, -EMEDIUMTYPE when it is not a regular file, else that of open or
 * read.
 */
int safe_file_read(const char *path, size_t max, char **ret_text, size_t *ret_len, struct err *err);

/* The same; *ret_st is the file as it was judged. */
int safe_file_read_stat(const char *path, size_t max, char **ret_text, size_t *ret_len, struct stat *ret_st,
			struct err *err);

#endif
